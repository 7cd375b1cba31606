//! The book's page about the platform file, made from the schema so that it cannot grow old.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::{Map, Value};

const HEAD: &str = "\
# The platform file

`platform.toml` describes the platform; `env/NAME.toml` beside it overlays it for one environment: tables are merged key by
key, every other value is replaced. A key that is neither in the one nor in the other has its default. `bascule check`
tells every mistake in both, and `bascule schema platform` prints the schema that this page is made from, for your editor.

Durations and sizes have their unit in the key or in the value. Paths are relative to the file that names them.
";

#[test]
#[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
fn the_page_about_the_platform_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference/platform-file.md");
    let current = page(&crate::schema::whole());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == current, "the page is old: run `UPDATE_DOCS=1 cargo test -p bascule-spec reference`");
}

#[test]
fn every_key_of_every_table_is_on_the_page() {
    let schema = crate::schema::whole();
    let page = page(&schema);
    let tables = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for (key, value) in tables.filter_map(|table| table["properties"].as_object()).flatten() {
        let row = format!("| `{key}` |");
        let heading = [format!("{key}]`\n"), format!("{key}.NAME]`\n")];
        let is_table = table(&schema, value).is_some();
        let is_there =
            if is_table { heading.iter().any(|heading| page.contains(heading)) } else { page.contains(&row) };
        assert!(is_there, "{key} is missing");
    }
}

fn page(schema: &Value) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## At the top\n");
    keys(&mut page, schema, schema, "");
    page
}

/// The keys of a table, then the tables in it, each under a heading of its own. `path` is empty or ends with a dot.
fn keys(page: &mut String, schema: &Value, of: &Value, path: &str) {
    let required = |key: &str| of["required"].as_array().is_some_and(|keys| keys.iter().any(|name| name == key));
    let (tables, plain): (Vec<_>, Vec<_>) =
        of["properties"].as_object().unwrap().iter().partition(|(_, value)| table(schema, value).is_some());
    page.push_str("\n| key | value | |\n| --- | --- | --- |\n");
    for (key, value) in plain {
        row(page, schema, key, value, required(key));
    }
    for (name, value) in tables {
        let (table, by_name) = table(schema, value).unwrap();
        let path = if by_name { format!("{path}{name}.NAME") } else { format!("{path}{name}") };
        let must = if required(name) { " Required." } else { "" };
        let _ = write!(page, "\n## `[{path}]`\n\n{}{must}\n", value["description"].as_str().unwrap());
        keys(page, schema, table, &format!("{path}."));
    }
}

/// The schema of a table, and whether there is one for each name.
fn table<'a>(schema: &'a Value, value: &'a Value) -> Option<(&'a Value, bool)> {
    let by_name = value["additionalProperties"].is_object();
    let table = resolved(schema, if by_name { &value["additionalProperties"] } else { value });
    table["properties"].is_object().then_some((table, by_name))
}

fn resolved<'a>(schema: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|reference| schema.pointer(reference.trim_start_matches('#')));
    reference.unwrap_or(value)
}

fn row(page: &mut String, schema: &Value, key: &str, value: &Value, required: bool) {
    let shape = resolved(schema, value);
    let mut meaning = value["description"].as_str().unwrap_or_default().to_owned();
    for word in shape["oneOf"].as_array().into_iter().flatten() {
        let _ =
            write!(meaning, "<br>`\"{}\"`: {}", word["const"].as_str().unwrap(), word["description"].as_str().unwrap());
    }
    let default = value.get("default").filter(|default| !is_empty(default));
    if let Some(default) = default {
        let _ = write!(meaning, "<br>Default: `{default}`");
    }
    if required {
        meaning.push_str("<br>Required.");
    }
    let _ = writeln!(page, "| `{key}` | {} | {meaning} |", kind(value, shape));
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// The type in words, with its bounds, or an example.
fn kind(value: &Value, shape: &Value) -> String {
    let example = value["examples"][0].clone();
    let example = if example.is_null() { String::new() } else { format!(", e.g. `{example}`") };
    match shape["type"].as_str() {
        Some("integer") => match (shape["minimum"].as_u64(), shape["maximum"].as_u64()) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "a number".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => format!("a list{example}"),
        Some("object") => "a table".to_owned(),
        _ if shape["oneOf"].is_array() => "one of these".to_owned(),
        _ => format!("text{example}"),
    }
}
