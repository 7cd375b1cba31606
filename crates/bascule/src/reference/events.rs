use std::fmt::Write as _;

use serde_json::Value;

const HEAD: &str = "\
# Events

With `--output json` a verb prints what happens as one JSON object a line, and nothing else, on standard output. The last one
is always a summary. `bascule schema events` prints the JSON Schema that this page is made from.

A reader skips types and keys that it does not know: new ones may come with any version, and none changes its meaning.

```json
{\"type\":\"note\",\"message\":\"shop/lab is sound: 5 instances\"}
{\"type\":\"summary\",\"changed\":0,\"unchanged\":0,\"failed\":0,\"duration_ms\":1,\"instances\":5,\"applied\":false}
```
";

pub(super) fn page() -> String {
    let schema = bascule_plan::event_schema().to_value();
    let mut page = HEAD.to_owned();
    for event in schema["oneOf"].as_array().unwrap() {
        let kind = event["properties"]["type"]["const"].as_str().unwrap();
        let _ = write!(page, "\n## `{kind}`\n\n{}\n", text(event));
        fields(&mut page, &schema, if event["$ref"].is_string() { resolved(&schema, event) } else { event });
    }
    page.push_str("\n# Parts of events\n");
    let whole: Vec<&str> =
        schema["oneOf"].as_array().unwrap().iter().filter_map(|event| event["$ref"].as_str()).collect();
    for (name, part) in schema["$defs"].as_object().unwrap() {
        if part["properties"].is_object() && !whole.contains(&format!("#/$defs/{name}").as_str()) {
            let _ = write!(page, "\n## {name}\n\n{}\n", text(part));
            fields(&mut page, &schema, part);
        }
    }
    page
}

fn fields(page: &mut String, schema: &Value, of: &Value) {
    page.push_str("\n| key | value | |\n| --- | --- | --- |\n");
    let properties = of["properties"].as_object().unwrap().iter().filter(|(key, _)| *key != "type");
    for (key, value) in properties {
        let shape = resolved(schema, value);
        let mut meaning = text(value).to_owned();
        for word in shape["oneOf"].as_array().into_iter().flatten() {
            let _ = write!(meaning, "<br>`\"{}\"`: {}", word["const"].as_str().unwrap(), text(word));
        }
        let always = of["required"].as_array().is_some_and(|keys| keys.iter().any(|name| name == key));
        let may_lack = if always { "" } else { "<br>Left out where there is none." };
        let _ = writeln!(page, "| `{key}` | {} | {meaning}{may_lack} |", kind(shape));
    }
}

fn kind(shape: &Value) -> String {
    let words: Vec<&str> = match &shape["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    match words[..] {
        [] => "one of these".to_owned(),
        ["object"] => "an object, see below".to_owned(),
        ["array"] => format!("a list of {}s", shape["items"]["type"].as_str().unwrap_or("value")),
        _ => words.join(" or "),
    }
}

fn text(of: &Value) -> &str {
    of["description"].as_str().unwrap_or_default()
}

fn resolved<'a>(schema: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |reference| schema.pointer(reference.trim_start_matches('#')).unwrap())
}
