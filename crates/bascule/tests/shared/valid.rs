//! Whether an event is one, as the documented schema has it. Every test that reads events asks.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| bascule_plan::event_schema().to_value());
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| jsonschema::validator_for(&SCHEMA).unwrap());

/// The event, once it is known to be what the schema says, with no key that the schema does not have.
#[track_caller]
pub(crate) fn valid(event: Value) -> Value {
    let wrong: Vec<String> = VALIDATOR.iter_errors(&event).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{event} is no event: {wrong:#?}");
    let known = keys(event["type"].as_str().unwrap());
    for key in event.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "`{key}` of {event} is in no schema");
    }
    event
}

/// The keys that an event of a type can have.
fn keys(kind: &str) -> Vec<&'static str> {
    let variants = SCHEMA["oneOf"].as_array().unwrap();
    let variant = variants.iter().find(|variant| variant["properties"]["type"]["const"] == kind).unwrap();
    let definition = variant["$ref"].as_str().and_then(|reference| SCHEMA.pointer(reference.trim_start_matches('#')));
    let schemas = [Some(variant), definition];
    let properties = schemas.into_iter().flatten().filter_map(|schema| schema["properties"].as_object());
    properties.flat_map(|properties| properties.keys().map(String::as_str)).collect()
}

#[test]
fn what_is_no_event_is_found() {
    let refused = |event: Value| std::panic::catch_unwind(|| valid(event)).is_err();
    assert!(!refused(serde_json::json!({ "type": "note", "message": "well" })));
    assert!(refused(serde_json::json!({ "type": "note" })));
    assert!(refused(serde_json::json!({ "type": "rumour", "message": "no such type" })));
    assert!(refused(serde_json::json!({ "type": "note", "message": "well", "colour": "blue" })));
    assert!(refused(serde_json::json!({ "type": "failure", "message": "it broke", "tried": 1 })));
}
