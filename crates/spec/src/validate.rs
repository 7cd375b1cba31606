//! The merged document against the schema: unknown keys, missing keys, wrong types, values out of range.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::document::{Node, Value};
use crate::raw;
use crate::schema;
use crate::words::{alternatives, did_you_mean, heading};

/// What could be read of a document, and what is wrong with the rest.
pub(crate) struct Validated {
    pub(crate) file: raw::File,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Paths below which something may be missing from `file` only because it was wrong.
    pub(crate) suspects: Vec<Vec<String>>,
}

/// Checks all of `root`. What is wrong is reported and left out, so that the rest can be checked for its meaning.
pub(crate) fn validate(root: &Node) -> Validated {
    let schema = schema::whole();
    let mut json = root.to_json();
    let mut diagnostics = Vec::new();
    let mut wrong = Vec::new();
    match jsonschema::validator_for(&schema) {
        Ok(validator) => {
            for error in validator.iter_errors(&json) {
                Explainer {
                    schema: &schema,
                    root,
                    error: &error,
                    path: path_of(&error),
                }
                .explain(&mut diagnostics, &mut wrong);
            }
        }
        Err(error) => diagnostics.push(defect(root, &error.to_string())),
    }
    let mut suspects = Vec::new();
    for Wrong { path, suspect } in wrong {
        remove(&mut json, &path);
        suspects.push(suspect);
    }
    let file = serde_json::from_value(json).unwrap_or_else(|error| {
        diagnostics.push(defect(root, &error.to_string()));
        raw::File::default()
    });
    Validated {
        file,
        diagnostics,
        suspects,
    }
}

/// What has to be left out, and the path below which its absence may mislead.
struct Wrong {
    path: Vec<String>,
    suspect: Vec<String>,
}

/// One error of the validator and all that is needed to say it in our own words.
struct Explainer<'a> {
    schema: &'a Json,
    root: &'a Node,
    error: &'a ValidationError<'a>,
    /// Where in the document.
    path: Vec<String>,
}

impl Explainer<'_> {
    fn explain(&self, diagnostics: &mut Vec<Diagnostic>, wrong: &mut Vec<Wrong>) {
        match self.error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected {
                    let path: Vec<String> = self.path.iter().chain([name]).cloned().collect();
                    let (message, help) = self.unknown_key(name);
                    diagnostics.push(Diagnostic::new(self.root.locate_key(&borrow(&path)), message, help));
                    // It may be the misspelt name of any key of its table.
                    wrong.push(Wrong {
                        path,
                        suspect: self.path.clone(),
                    });
                }
            }
            ValidationErrorKind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                let (message, help) = self.missing_key(property);
                let path: Vec<String> = self.path.iter().cloned().chain([property.to_owned()]).collect();
                diagnostics.push(Diagnostic::new(self.root.locate(&borrow(&self.path)), message, help));
                wrong.push(Wrong {
                    suspect: path.clone(),
                    path,
                });
            }
            kind => {
                let (message, help) = self.wrong_value(kind);
                let mut path = self.path.clone();
                if matches!(kind, ValidationErrorKind::UniqueItems) {
                    path.extend(self.repeated_item().map(|(index, _)| index.to_string()));
                }
                diagnostics.push(Diagnostic::new(self.root.locate(&borrow(&path)), message, help));
                wrong.push(Wrong {
                    path: self.path.clone(),
                    suspect: self.path.clone(),
                });
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
        let description = describe(property);
        let place = heading(&self.path);
        if let Some(Json::Array(needed)) = property.get("required") {
            let needed: Vec<_> = needed
                .iter()
                .filter_map(Json::as_str)
                .map(|key| format!("`{key}`"))
                .collect();
            let message = format!("{place} has no table [{name}]");
            return (
                message,
                format!("add [{name}] with {}: {description}", needed.join(", ")),
            );
        }
        let value = match (example(property), choices(property).as_slice()) {
            (Some(example), _) => format!("`{name} = {example}`"),
            (None, []) => format!("`{name}`"),
            (None, choices) => alternatives(choices.iter().map(|choice| format!("{name} = \"{choice}\""))),
        };
        let to = if self.path.is_empty() {
            "the top of it".to_owned()
        } else {
            place.clone()
        };
        (
            format!("{place} has no `{name}`"),
            format!("add e.g. {value} to {to}: {description}"),
        )
    }

    fn wrong_value(&self, kind: &ValidationErrorKind) -> (String, String) {
        let key = self.key();
        let rule = self.rule();
        let text = self.text();
        match kind {
            ValidationErrorKind::Type {
                kind: TypeKind::Single(expected),
            } => {
                let found = self.found().map_or("nothing", Value::kind);
                (
                    format!("`{key}` expects {}, found {found}", kind_name(*expected)),
                    self.retype(*expected),
                )
            }
            ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::Enum { .. } => {
                let choices = choices(self.resolve(rule));
                let listed = format!(
                    "write {}",
                    alternatives(choices.iter().map(|choice| format!("\"{choice}\"")))
                );
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
            ValidationErrorKind::Minimum { limit } => (
                format!("`{key}` is {}, but the least is {limit}", self.error.instance()),
                range(rule),
            ),
            ValidationErrorKind::Maximum { limit } => (
                format!("`{key}` is {}, but the most is {limit}", self.error.instance()),
                range(rule),
            ),
            ValidationErrorKind::Pattern { pattern } => {
                let text = text.unwrap_or_default();
                if pattern.starts_with("^/") && !text.starts_with('/') {
                    return (format!("`{text}` does not start with `/`"), format!("write `/{text}`"));
                }
                let like = example(self.resolve(rule)).map(|example| format!("write it like {example}: "));
                let help = format!("{}{}", like.unwrap_or_default(), self.purpose());
                (
                    format!("`{text}` is not a possible `{key}`: it does not match `{pattern}`"),
                    help,
                )
            }
            ValidationErrorKind::MinLength { .. } => (
                format!("`{key}` is empty"),
                format!("give it a value: {}", self.purpose()),
            ),
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
                (
                    format!("`{item}` is in `{key}` twice"),
                    "remove one of the two".to_owned(),
                )
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

    fn resolve<'a>(&'a self, rule: &'a Json) -> &'a Json {
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

    /// What the key is for, in the words of the schema. For an element of a list, the list is what is described.
    fn purpose(&self) -> String {
        let mut pointer = self.error.schema_path().as_str();
        while let Some((parent, _)) = pointer.rsplit_once('/') {
            let rule = self.schema.pointer(parent).unwrap_or(&Json::Null);
            if rule["description"].is_string() {
                return describe(rule);
            }
            pointer = parent;
        }
        "see the schema of the platform file".to_owned()
    }

    fn repeated_item(&self) -> Option<(usize, String)> {
        let items = self.error.instance().as_array()?;
        let (index, item) = items
            .iter()
            .enumerate()
            .find(|(index, item)| items[..*index].contains(item))?;
        Some((index, item.as_str().map_or_else(|| item.to_string(), str::to_owned)))
    }
}

fn path_of(error: &ValidationError<'_>) -> Vec<String> {
    error
        .instance_path()
        .iter()
        .map(|segment| segment.to_string())
        .collect()
}

fn borrow(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// A description as the end of a sentence.
fn describe(rule: &Json) -> String {
    let description = rule["description"].as_str().unwrap_or("it is needed");
    let mut letters = description.trim_end_matches('.').chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// An example, written as TOML; strings and lists of strings are the same in JSON.
fn example(rule: &Json) -> Option<String> {
    rule["examples"].get(0).map(Json::to_string)
}

fn choices(rule: &Json) -> Vec<&str> {
    let variants = rule["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variant| variant["const"].as_str());
    variants
        .chain(rule["enum"].as_array().into_iter().flatten().filter_map(Json::as_str))
        .collect()
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

/// Leaves out what is at `path`; a list is left out whole, so that the elements of others keep their numbers.
fn remove(json: &mut Json, path: &[String]) {
    match path {
        [] => *json = Json::Object(serde_json::Map::new()),
        [key] => {
            if let Json::Object(object) = json {
                object.remove(key);
            }
        }
        [key, rest @ ..] => {
            let Json::Object(object) = json else { return };
            match object.get_mut(key) {
                Some(Json::Array(_)) => drop(object.remove(key)),
                Some(child) => remove(child, rest),
                None => {}
            }
        }
    }
}

/// The schema and the types that are read are made from the same source; if they disagree, that is our mistake.
fn defect(root: &Node, reason: &str) -> Diagnostic {
    let message = format!("the file cannot be read although nothing is known to be wrong with it: {reason}");
    Diagnostic::new(
        root.locate(&[]),
        message,
        "this is a defect of Bascule: please report it with the file",
    )
}
