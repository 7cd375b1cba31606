//! The JSON Schema of the platform file, made from the types in `raw`.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::{Map, Value};

use crate::raw;

/// The JSON Schema (2020-12) for editors. A platform file and its overlays each hold a part of the whole, so it requires no key.
pub fn schema() -> Value {
    let mut schema = whole();
    strip_required(&mut schema);
    schema
}

/// The schema of the merged document: a key that the platform cannot do without is required.
pub(crate) fn whole() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(for_toml);
    settings.into_generator().into_root_schema_for::<raw::File>().to_value()
}

/// TOML has no null: where a key is optional, it is left out.
fn for_toml(schema: &mut Schema) {
    transform_subschemas(&mut for_toml, schema);
    let Some(object) = schema.as_object_mut() else { return };
    // Lines of a doc comment are broken for the reader of the source, not for an editor's tooltip.
    if let Some(Value::String(description)) = object.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Object(default)) = object.get_mut("default") {
        default.retain(|_, value| !value.is_null());
    }
    if let Some(Value::Array(variants)) = object.get_mut("anyOf") {
        variants.retain(|variant| variant["type"] != "null");
        if let [Value::Object(only)] = variants.as_slice() {
            let only: Map<_, _> = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
}

fn strip_required(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // A list is the keyword; the name of a key would have a schema here.
            object.retain(|name, value| name != "required" || !value.is_array());
            object.values_mut().for_each(strip_required);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_required),
        _ => {}
    }
}
