//! Who may read what: `recipients.toml`, in the clear.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use age::x25519;
use toml_edit::{Array, Document, DocumentMut, InlineTable, Item, TableLike, value};

use crate::{Mistake, Place, SecretsError, write};

/// Everybody that the file names.
#[derive(Debug)]
pub struct Recipients(Vec<Recipient>);

/// A person, a machine or a pipeline that may read secrets.
#[derive(Clone, Debug)]
pub struct Recipient {
    pub name: String,
    pub(crate) key: x25519::Recipient,
    /// `None`: of all of them.
    pub environments: Option<Vec<String>>,
}

impl Recipient {
    /// `age1…`
    pub fn key(&self) -> String {
        self.key.to_string()
    }

    pub(crate) fn may_read(&self, environment: &str) -> bool {
        self.environments.as_ref().is_none_or(|only| only.iter().any(|name| name == environment))
    }
}

impl Recipients {
    /// Those who may read an environment's secrets; at least one.
    pub fn of(place: &Place) -> Result<Vec<Recipient>, SecretsError> {
        let Self(mut recipients) = Self::read(&place.recipients)?;
        recipients.retain(|recipient| recipient.may_read(&place.environment));
        if recipients.is_empty() {
            let (path, environment) = (place.recipients.clone(), place.environment.clone());
            return Err(SecretsError::NoRecipients { path, environment });
        }
        Ok(recipients)
    }

    /// Fails where somebody may read the secrets of an environment that is none of these.
    pub fn know(path: &Path, environments: &[String]) -> Result<(), SecretsError> {
        for recipient in Self::read(path)?.0 {
            let unknown = recipient.environments.into_iter().flatten().find(|name| !environments.contains(name));
            if let Some(environment) = unknown {
                return Err(SecretsError::NoEnvironment { path: path.to_owned(), name: recipient.name, environment });
            }
        }
        Ok(())
    }

    /// Everybody; nobody where there is no file.
    fn read(path: &Path) -> Result<Self, SecretsError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(SecretsError::Unreadable { path: path.to_owned(), source }),
        };
        Self::parse(&text).map_err(|mistake| SecretsError::NotRecipients { path: path.to_owned(), mistake })
    }

    /// Writes a file that names one recipient, where there is none.
    pub fn create(path: &Path, name: &str, key: &str) -> Result<(), SecretsError> {
        let text = format!(
            "\
# Who may read the secrets of this platform: a name, and the public half of an age key.
# After a change: `bascule secrets rekey`, then commit. Who is taken out still has what was in the repository before:
# `bascule secrets rotate` what they knew.
#
# bob = \"age1…\"
# pipeline = {{ recipient = \"age1…\", environments = [\"staging\"] }}
{name} = \"{key}\"
"
        );
        write::create(path, text.as_bytes(), 0o644)
    }

    /// Adds a recipient that may read the secrets of one environment, in place of another of its name. False when it was
    /// there already.
    pub fn add(place: &Place, name: &str, key: &str) -> Result<bool, SecretsError> {
        let path = &place.recipients;
        let before =
            fs::read_to_string(path).map_err(|source| SecretsError::Unreadable { path: path.clone(), source })?;
        let mistake = |message| SecretsError::NotRecipients { path: path.clone(), mistake: message };
        let known = Self::parse(&before).map_err(mistake)?.0;
        if known.iter().any(|known| known.name == name && known.key() == key && known.may_read(&place.environment)) {
            return Ok(false);
        }
        let mut document: DocumentMut = before
            .parse()
            .map_err(|error: toml_edit::TomlError| mistake(Mistake { line: 1, message: error.message().to_owned() }))?;
        let mut recipient = InlineTable::new();
        recipient.insert("recipient", key.into());
        recipient.insert("environments", Array::from_iter([place.environment.as_str()]).into());
        document[name] = value(recipient);
        write::replace(path, Some(before.as_bytes()), document.to_string().as_bytes(), 0o644)?;
        Ok(true)
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        let mistake = |span: Option<Range<usize>>, message: String| {
            let at = span.map_or(0, |span| span.start).min(text.len());
            Mistake { line: text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1, message }
        };
        let document =
            Document::parse(text).map_err(|error| mistake(error.span(), error.message().trim().replace('\n', ", ")))?;
        let recipient = |(name, item): (&str, &Item)| {
            let span = || document.as_table().key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let (key, environments) = match (item.as_str(), item.as_table_like()) {
                (Some(key), _) => (key, None),
                (None, Some(table)) => limited(table).map_err(|why| mistake(span(), format!("{name} {why}")))?,
                (None, None) => return Err(mistake(span(), format!("{name} is no recipient: {name} = \"age1…\""))),
            };
            let key = key.parse().map_err(|why: &str| {
                mistake(span(), format!("the key of {name} is no recipient of age, which begins with age1: {why}"))
            })?;
            Ok(Recipient { name: name.to_owned(), key, environments })
        };
        document.iter().map(recipient).collect::<Result<_, _>>().map(Self)
    }
}

fn limited(table: &dyn TableLike) -> Result<(&str, Option<Vec<String>>), String> {
    if let Some((key, _)) = table.iter().find(|(key, _)| !["recipient", "environments"].contains(key)) {
        return Err(format!("has `recipient` and `environments`, and no `{key}`"));
    }
    let key = table.get("recipient").and_then(Item::as_str).ok_or("lacks its `recipient`, which begins with age1")?;
    let Some(environments) = table.get("environments") else { return Ok((key, None)) };
    let names =
        environments.as_array().map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    match names {
        Some(Some(names)) => Ok((key, Some(names))),
        _ => Err("may read `environments`, which is a list of names".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key() -> String {
        x25519::Identity::generate().to_public().to_string()
    }

    #[test]
    fn a_recipient_may_be_limited_to_environments() {
        let text = format!("ada = \"{}\"\n[ci]\nrecipient = \"{}\"\nenvironments = [\"staging\"]\n", key(), key());
        let Recipients(recipients) = Recipients::parse(&text).unwrap();
        let readers = |environment| {
            let may = recipients.iter().filter(|recipient| recipient.may_read(environment));
            may.map(|recipient| recipient.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(readers("staging"), ["ada", "ci"]);
        assert_eq!(readers("prod"), ["ada"]);
    }

    #[test]
    fn a_machine_is_added_once_and_again_with_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::beside(&folder.path().join("platform.toml"), "lab");
        let ada = key();
        Recipients::create(&place.recipients, "ada", &ada).unwrap();
        let (first, second) = (key(), key());
        assert!(Recipients::add(&place, "ops-lab", &first).unwrap());
        assert!(!Recipients::add(&place, "ops-lab", &first).unwrap());
        assert!(Recipients::add(&place, "ops-lab", &second).unwrap());
        let names = |environment: &str| {
            let place = Place { environment: environment.to_owned(), ..place.clone() };
            let readers = Recipients::of(&place).unwrap();
            readers.iter().map(|reader| (reader.name.clone(), reader.key())).collect::<Vec<_>>()
        };
        assert_eq!(names("lab"), [("ada".to_owned(), ada.clone()), ("ops-lab".to_owned(), second)]);
        assert_eq!(names("prod"), [("ada".to_owned(), ada)]);
        assert!(fs::read_to_string(&place.recipients).unwrap().starts_with("# Who may read"));
    }

    #[test]
    fn a_mistake_names_the_line_and_whom_it_is_about() {
        let ours = key();
        for (text, line, said) in [
            (format!("ada = \"{ours}\"\nbob = \"ssh-ed25519 AAAA\"\n"), 2, "the key of bob is no recipient of age"),
            ("\nbob = 5\n".to_owned(), 2, "bob is no recipient"),
            (format!("bob = {{ recipient = \"{ours}\", environment = \"lab\" }}\n"), 1, "no `environment`"),
            (format!("bob = {{ recipient = \"{ours}\", environments = \"lab\" }}\n"), 1, "is a list of names"),
            ("bob = { environments = [\"lab\"] }\n".to_owned(), 1, "bob lacks its `recipient`"),
            ("bob =\n".to_owned(), 1, ""),
        ] {
            let mistake = Recipients::parse(&text).unwrap_err();
            assert_eq!(mistake.line, line, "{mistake}");
            assert!(mistake.message.contains(said), "{mistake}");
        }
    }
}
