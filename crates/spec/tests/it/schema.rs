use std::path::Path;
use std::{env, fs};

use bascule_spec::schema;

#[test]
#[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
fn the_schema_that_editors_read_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("platform.schema.json");
    let current = format!("{:#}\n", schema());
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == current, "the schema is old: run `UPDATE_SCHEMA=1 cargo test -p bascule-spec schema`");
}

#[test]
fn the_schema_takes_an_overlay_that_holds_a_part_only() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    assert!(validator.is_valid(&serde_json::json!({ "network": { "bridge": "shop" } })));
    assert!(!validator.is_valid(&serde_json::json!({ "network": { "bridg": "shop" } })));
}

#[test]
fn every_key_is_described() {
    fn undescribed(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            if !property["description"].is_string() {
                found.push(path.clone());
            }
            undescribed(property, &path, found);
        }
    }
    let schema = schema();
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        undescribed(definition, name, &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
}
