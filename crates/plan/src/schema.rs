use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;

use crate::event::Event;

/// The JSON Schema (2020-12) of one line of `--output json`, as it is written.
///
/// It forbids no further keys: a program that reads an older version's events goes on to read a newer one's.
pub fn event_schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(unbroken);
    settings.into_generator().into_root_schema_for::<Event>()
}

/// Lines of a doc comment are broken for the reader of the source, not for the schema's.
fn unbroken(schema: &mut Schema) {
    transform_subschemas(&mut unbroken, schema);
    let description = schema.get("description").and_then(|description| description.as_str());
    if let Some(joined) = description.map(|description| description.replace('\n', " ")) {
        schema.insert("description".to_owned(), joined.into());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use serde_json::Value;

    use super::event_schema;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
    fn the_schema_that_programs_read_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events.schema.json");
        let current = format!("{:#}\n", event_schema().to_value());
        if env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert!(checked_in == current, "the schema is old: run `UPDATE_SCHEMA=1 cargo test -p bascule-plan schema`");
    }

    #[test]
    fn every_type_every_key_and_every_word_is_described() {
        let mut missing = Vec::new();
        undescribed(&event_schema().to_value(), "", &mut missing);
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn a_key_without_a_description_is_found() {
        let mut missing = Vec::new();
        let schema = serde_json::json!({ "oneOf": [{ "properties": { "type": { "const": "note" }, "message": {} } }] });
        undescribed(&schema, "", &mut missing);
        assert_eq!(missing, ["/oneOf/0", "/oneOf/0/message"]);
    }

    /// What the schema says nothing about; the `type` that tells events apart needs no words.
    fn undescribed(schema: &Value, path: &str, missing: &mut Vec<String>) {
        let lacks_one = |value: &Value| !value["description"].is_string();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{key}");
            if key != "type" && lacks_one(property) {
                missing.push(path.clone());
            }
            undescribed(property, &path, missing);
        }
        for (index, variant) in schema["oneOf"].as_array().into_iter().flatten().enumerate() {
            let path = format!("{path}/oneOf/{index}");
            if lacks_one(variant) {
                missing.push(path.clone());
            }
            undescribed(variant, &path, missing);
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            undescribed(definition, &format!("{path}/{name}"), missing);
        }
    }
}
