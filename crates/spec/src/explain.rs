//! The errors of the JSON Schema validator in our own words.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::document::{Node, Value};
use crate::validate::Wrong;
use crate::words::{alternatives, did_you_mean, heading};

/// One error of the validator and all that is needed to say it in our own words.
pub(crate) struct Explainer<'a> {
    schema: &'a Json,
    root: &'a Node,
    error: &'a ValidationError<'a>,
    /// Where in the document.
    path: Vec<String>,
}

impl<'a> Explainer<'a> {
    pub(crate) fn new(schema: &'a Json, root: &'a Node, error: &'a ValidationError<'a>) -> Self {
        let path = error.instance_path().iter().map(|segment| segment.to_string()).collect();
        Self { schema, root, error, path }
    }

    /// Adds a diagnostic for each mistake that the error stands for, and what has to be left out because of it.
    pub(crate) fn explain(&self, diagnostics: &mut Vec<Diagnostic>, wrong: &mut Vec<Wrong>) {
        match self.error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected {
                    let path: Vec<String> = self.path.iter().chain([name]).cloned().collect();
                    let (message, help) = self.unknown_key(name);
                    diagnostics.push(Diagnostic::new(self.root.locate_key(&borrow(&path)), message, help));
                    // It may be the misspelt name of any key of its table.
                    wrong.push(Wrong { path, suspect: self.path.clone() });
                }
            }
            ValidationErrorKind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                let (message, help) = self.missing_key(property);
                let path: Vec<String> = self.path.iter().cloned().chain([property.to_owned()]).collect();
                diagnostics.push(Diagnostic::new(self.root.locate(&borrow(&self.path)), message, help));
                wrong.push(Wrong { suspect: path.clone(), path });
            }
            kind => {
                let (message, help) = self.wrong_value(kind);
                let mut path = self.path.clone();
                if matches!(kind, ValidationErrorKind::UniqueItems) {
                    path.extend(self.repeated_item().map(|(index, _)| index.to_string()));
                }
                diagnostics.push(Diagnostic::new(self.root.locate(&borrow(&path)), message, help));
                wrong.push(Wrong { path: self.path.clone(), suspect: self.path.clone() });
            }
        }
    }

    fn unknown_key(&self, name: &str) -> (String, String) {
        let known: Vec<&str> = match &self.rule()["properties"] {
            Json::Object(properties) => properties.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let help = did_you_mean(name, &known).unwrap_or_else(|| match known.as_slice() {
            [] => "remove it".to_owned(),
            _ => format!("remove it, or use one of {}", known.join(", ")),
        });
        (format!("`{name}` is not a key of {}", heading(&self.path)), help)
    }

    fn missing_key(&self, name: &str) -> (String, String) {
        let property = self.resolve(&self.rule()["properties"][name]);
        let description = clause(property["description"].as_str().unwrap_or("it is needed"));
        let place = heading(&self.path);
        if let Some(Json::Array(needed)) = property.get("required") {
            let needed: Vec<_> = needed.iter().filter_map(Json::as_str).map(|key| format!("`{key}`")).collect();
            let message = format!("{place} has no table [{name}]");
            return (message, format!("add [{name}] with {}: {description}", needed.join(", ")));
        }
        let value = match (example(property), choices(property).as_slice()) {
            (Some(example), _) => format!("`{name} = {example}`"),
            (None, []) => format!("`{name}`"),
            (None, choices) => alternatives(choices.iter().map(|choice| format!("{name} = \"{choice}\""))),
        };
        let to = if self.path.is_empty() { "the top of it".to_owned() } else { place.clone() };
        (format!("{place} has no `{name}`"), format!("add e.g. {value} to {to}: {description}"))
    }

    fn wrong_value(&self, kind: &ValidationErrorKind) -> (String, String) {
        let key = self.key();
        let rule = self.rule();
        let text = self.text();
        match kind {
            ValidationErrorKind::Type { kind: TypeKind::Single(expected) } => {
                let found = self.found().map_or("nothing", Value::kind);
                (format!("`{key}` expects {}, found {found}", kind_name(*expected)), self.retype(*expected))
            }
            ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::Enum { .. } => {
                let choices = choices(self.resolve(rule));
                let listed = format!("write {}", alternatives(choices.iter().map(|choice| format!("\"{choice}\""))));
                match text {
                    Some(text) => {
                        let help = did_you_mean(text, &choices).unwrap_or(listed);
                        (format!("`{text}` is not a possible `{key}`"), help)
                    }
                    None => {
                        let found = self.found().map_or("nothing", Value::kind);
                        (format!("`{key}` expects a string, found {found}"), listed)
                    }
                }
            }
            ValidationErrorKind::Minimum { limit } => {
                (format!("`{key}` is {}, but the least is {limit}", self.error.instance()), range(rule))
            }
            ValidationErrorKind::Maximum { limit } => {
                (format!("`{key}` is {}, but the most is {limit}", self.error.instance()), range(rule))
            }
            ValidationErrorKind::Pattern { pattern } => {
                let text = text.unwrap_or_default();
                if text.is_empty() {
                    return self.empty(key);
                }
                if pattern.starts_with("^/") && !text.starts_with('/') {
                    return (format!("`{text}` does not start with `/`"), format!("write `/{text}`"));
                }
                let why = self.said("patternErrorMessage").unwrap_or_else(|| format!("it does not match `{pattern}`"));
                let like = self.like().map(|example| format!("write it like {example}: "));
                let help = format!("{}{}", like.unwrap_or_default(), self.purpose());
                (format!("`{text}` is not a possible `{key}`: {why}"), help)
            }
            ValidationErrorKind::MinLength { .. } => self.empty(key),
            ValidationErrorKind::MaxLength { limit } => {
                let length = text.unwrap_or_default().chars().count();
                let message = format!("`{key}` is {length} characters long, but the most is {limit}");
                (message, format!("shorten it to {limit} characters"))
            }
            ValidationErrorKind::MinItems { .. } => (
                format!("`{key}` is an empty list"),
                format!("leave `{key}` out, or name at least one: {}", self.purpose()),
            ),
            ValidationErrorKind::UniqueItems => {
                let (_, item) = self.repeated_item().unwrap_or_default();
                (format!("`{item}` is in `{key}` twice"), "remove one of the two".to_owned())
            }
            _ => (format!("`{key}` is not possible: {}", self.error), self.purpose()),
        }
    }

    /// How to write the value that was found as the type that is expected.
    fn retype(&self, expected: JsonType) -> String {
        let key = self.key();
        match (expected, self.found()) {
            (JsonType::String, Some(Value::Integer(number))) => format!("put it in quotes: \"{number}\""),
            (JsonType::String, Some(Value::Boolean(truth))) => format!("put it in quotes: \"{truth}\""),
            (JsonType::String, Some(Value::Float(number))) => format!("put it in quotes: \"{number}\""),
            (JsonType::String, Some(Value::Date(date))) => format!("put it in quotes: \"{date}\""),
            (JsonType::Integer, Some(Value::String(text))) if text.parse::<i64>().is_ok() => {
                format!("write {text} without the quotes")
            }
            (JsonType::Integer, _) => range(self.rule()),
            (JsonType::Boolean, _) => "write true or false, without quotes".to_owned(),
            (JsonType::Array, Some(Value::String(text))) => format!("put it in brackets: [\"{text}\"]"),
            (JsonType::Object, _) => format!("write it as a table: {} or `{key} = {{ … }}`", heading(&self.path)),
            _ => match example(self.resolve(self.rule())) {
                Some(example) => format!("write e.g. `{key} = {example}`: {}", self.purpose()),
                None => self.purpose(),
            },
        }
    }

    /// The part of the schema that was not met.
    fn rule(&self) -> &Json {
        let path = self.error.schema_path().as_str();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.schema.pointer(parent).unwrap_or(&Json::Null)
    }

    fn resolve<'b>(&'b self, rule: &'b Json) -> &'b Json {
        let target = rule["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        target.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(rule)
    }

    fn found(&self) -> Option<&Value> {
        self.root.get(&borrow(&self.path)).map(|node| &node.value)
    }

    fn text(&self) -> Option<&str> {
        match self.found() {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The key that a person would name: for an element of a list, the list's.
    fn key(&self) -> &str {
        let named = self.path.iter().rev().find(|segment| segment.parse::<usize>().is_err());
        named.map_or("the file", String::as_str)
    }

    fn empty(&self, key: &str) -> (String, String) {
        (format!("`{key}` is empty"), format!("give it a value: {}", self.purpose()))
    }

    /// What the key is for, in the words of the schema.
    fn purpose(&self) -> String {
        let description = self.said("description");
        description.map_or_else(|| "see the schema of the platform file".to_owned(), |text| clause(&text))
    }

    /// What the schema says of this value, or else of the list that it is in.
    fn around(&self, keyword: &str) -> Option<Json> {
        let mut pointer = self.error.schema_path().as_str();
        while let Some((parent, _)) = pointer.rsplit_once('/') {
            if let Some(said) = self.schema.pointer(parent).and_then(|rule| rule.get(keyword)) {
                return Some(said.clone());
            }
            pointer = parent;
        }
        None
    }

    /// The first example, where it is for a list its first element.
    fn like(&self) -> Option<String> {
        let examples = self.around("examples")?;
        let first = &examples[0];
        Some(first.get(0).unwrap_or(first).to_string())
    }

    fn said(&self, keyword: &str) -> Option<String> {
        self.around(keyword)?.as_str().map(str::to_owned)
    }

    fn repeated_item(&self) -> Option<(usize, String)> {
        let items = self.error.instance().as_array()?;
        let (index, item) = items.iter().enumerate().find(|(index, item)| items[..*index].contains(item))?;
        Some((index, item.as_str().map_or_else(|| item.to_string(), str::to_owned)))
    }
}

fn borrow(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The first sentence of a description, as the end of another sentence.
fn clause(description: &str) -> String {
    let sentence = description.split_once(". ").map_or(description, |(first, _)| first);
    let mut letters = sentence.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// An example, written as TOML; strings and lists of strings are the same in JSON.
fn example(rule: &Json) -> Option<String> {
    rule["examples"].get(0).map(Json::to_string)
}

fn choices(rule: &Json) -> Vec<&str> {
    let variants = rule["oneOf"].as_array().into_iter().flatten().filter_map(|variant| variant["const"].as_str());
    variants.chain(rule["enum"].as_array().into_iter().flatten().filter_map(Json::as_str)).collect()
}

fn range(rule: &Json) -> String {
    match (&rule["minimum"], &rule["maximum"]) {
        (Json::Number(least), Json::Number(most)) => format!("write a whole number from {least} to {most}"),
        _ => "write a whole number".to_owned(),
    }
}

fn kind_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer | JsonType::Number => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Object => "a table",
        JsonType::String => "a string",
    }
}
