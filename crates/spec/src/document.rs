//! TOML files as one tree that still knows where each of its values was written.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml_edit::{Document, Item, TomlError};

/// A value with the places of its key and of itself. A merged tree holds values of several files.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// `None` for the root and for the elements of a list.
    key: Option<Place>,
    place: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// In the order of the file.
    Table(Vec<(String, Node)>),
    List(Vec<Node>),
    String(String),
    Integer(i64),
    Boolean(bool),
    Float(f64),
    Date(String),
}

/// Bytes of a file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: Source,
    pub(crate) span: Range<usize>,
}

/// A file that was read, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Source(Arc<(PathBuf, String)>);

/// Parses one file.
pub(crate) fn parse(source: &Source) -> Result<Node, TomlError> {
    let document = Document::parse(source.text())?;
    Ok(node(source, None, document.as_item(), &(0..0)))
}

impl Node {
    /// Lays `overlay` over `self`: tables are merged key by key, everything else is replaced.
    pub(crate) fn merge(&mut self, overlay: Node) {
        match (&mut self.value, overlay) {
            (Value::Table(entries), Node { value: Value::Table(others), .. }) => {
                for (name, other) in others {
                    match entries.iter_mut().find(|(existing, _)| *existing == name) {
                        Some((_, node)) => node.merge(other),
                        None => entries.push((name, other)),
                    }
                }
            }
            (_, overlay) => *self = overlay,
        }
    }

    pub(crate) fn get(&self, path: &[&str]) -> Option<&Node> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        let child = match &self.value {
            Value::Table(entries) => entries.iter().find(|(name, _)| name == first).map(|(_, node)| node),
            Value::List(items) => first.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        child?.get(rest)
    }

    /// Where the value at `path` is written; for a table, its key; for what was left out, the nearest table around it.
    pub(crate) fn locate(&self, path: &[&str]) -> Place {
        for length in (0..=path.len()).rev() {
            let Some(node) = self.get(&path[..length]) else {
                continue;
            };
            return match (&node.value, &node.key) {
                (Value::Table(_), Some(key)) => key.clone(),
                _ if length == path.len() => node.place.clone(),
                (_, Some(key)) => key.clone(),
                _ => node.place.clone(),
            };
        }
        self.place.clone()
    }

    /// Where the key at the end of `path` is written.
    pub(crate) fn locate_key(&self, path: &[&str]) -> Place {
        self.get(path).and_then(|node| node.key.clone()).unwrap_or_else(|| self.locate(path))
    }

    /// The keys of the table at `path`, in the order of the file.
    pub(crate) fn keys<'a>(&'a self, path: &[&str]) -> impl Iterator<Item = &'a str> + use<'a> {
        let entries = match self.get(path).map(|node| &node.value) {
            Some(Value::Table(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(name, _)| name.as_str())
    }

    /// The tree as JSON. Fractions and dates become `null`: no key takes one, and JSON Schema would let `2.0` pass
    /// for a whole number and a date for a string.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Table(entries) => entries.iter().map(|(name, node)| (name.clone(), node.to_json())).collect(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::String(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Boolean(truth) => (*truth).into(),
            Value::Float(_) | Value::Date(_) => serde_json::Value::Null,
        }
    }
}

impl Value {
    /// What a person calls a value of this type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "a boolean",
            Self::Float(_) => "a fraction",
            Self::Date(_) => "a date",
        }
    }
}

impl Source {
    pub(crate) fn new(file: &Path, text: String) -> Self {
        Self(Arc::new((file.to_owned(), text)))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0.0
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.1
    }

    /// A path that this file names is relative to the folder that the file is in.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.file().parent().unwrap_or(Path::new("")).join(path)
    }

    pub(crate) fn start(&self) -> Place {
        self.place(0..0)
    }

    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place { source: self.clone(), span }
    }
}

/// Without the text, which would drown everything else.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.file()).finish()
    }
}

/// `around` is the place of the enclosing table, for values that toml_edit gives none (tables that no header names).
fn node(source: &Source, key: Option<Range<usize>>, item: &Item, around: &Range<usize>) -> Node {
    let span = item.span().or_else(|| key.clone()).unwrap_or_else(|| around.clone());
    let value = match item {
        Item::None => Value::Table(Vec::new()),
        Item::Table(table) => {
            let entry = |(name, _)| table.get_key_value(name).map(|(key, item)| (name, key.span(), item));
            table_value(source, table.iter().filter_map(entry), &span)
        }
        Item::ArrayOfTables(tables) => {
            Value::List(tables.iter().map(|table| node(source, None, &Item::Table(table.clone()), &span)).collect())
        }
        Item::Value(value) => match value {
            toml_edit::Value::String(text) => Value::String(text.value().clone()),
            toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
            toml_edit::Value::Boolean(truth) => Value::Boolean(*truth.value()),
            toml_edit::Value::Float(number) => Value::Float(*number.value()),
            toml_edit::Value::Datetime(date) => Value::Date(date.value().to_string()),
            toml_edit::Value::Array(array) => {
                Value::List(array.iter().map(|value| node(source, None, &Item::Value(value.clone()), &span)).collect())
            }
            toml_edit::Value::InlineTable(table) => {
                let entries: Vec<_> = table
                    .iter()
                    .filter_map(|(name, _)| table.get_key_value(name).map(|(key, item)| (name, key.span(), item)))
                    .collect();
                table_value(source, entries.into_iter(), &span)
            }
        },
    };
    Node { key: key.map(|span| source.place(span)), place: source.place(span), value }
}

fn table_value<'a>(
    source: &Source,
    entries: impl Iterator<Item = (&'a str, Option<Range<usize>>, &'a Item)>,
    around: &Range<usize>,
) -> Value {
    Value::Table(entries.map(|(name, key, item)| (name.to_owned(), node(source, key, item, around))).collect())
}
