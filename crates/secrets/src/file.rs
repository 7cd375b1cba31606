use std::fs;
use std::io;
use std::path::Path;

use bascule_plan::{Fingerprint, FingerprintKey};

use crate::document::{Document, check_value};
use crate::names::{FINGERPRINT_KEY, READERS, is_internal, is_name};
use crate::{Identity, Mistake, Place, Recipient, Recipients, SecretsError, draw, sealed, write};

/// An environment's secrets, open in memory. What is changed is there until [`SecretsFile::save`].
pub struct SecretsFile {
    place: Place,
    identity: Option<Identity>,
    document: Document,
    /// The file as it was read; `None` when there is none yet.
    sealed: Option<Vec<u8>>,
}

/// Values never get into a log by way of a debug print.
impl std::fmt::Debug for SecretsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.names().collect();
        f.debug_struct("SecretsFile").field("place", &self.place).field("names", &names).finish_non_exhaustive()
    }
}

impl SecretsFile {
    /// Opens the file with the key at `identity`. An environment without a file has no secrets yet, and needs no key.
    pub fn open(place: Place, identity: &Path) -> Result<Self, SecretsError> {
        let path = &place.secrets;
        let sealed = match fs::read(path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = identity.exists().then(|| Identity::read(identity)).transpose()?;
                let document = with_key(Document::new(&place.environment))?;
                return Ok(Self { document, identity, sealed: None, place });
            }
            Err(source) => return Err(SecretsError::Unreadable { path: path.clone(), source }),
        };
        let identity = Identity::read(identity)?;
        let text = sealed::open(path, &sealed, &identity)?;
        let document =
            Document::parse(&text).map_err(|mistake| SecretsError::Syntax { path: path.clone(), mistake })?;
        Ok(Self { document: with_key(document)?, identity: Some(identity), sealed: Some(sealed), place })
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether there is a file, not only what would be in it.
    pub fn exists(&self) -> bool {
        self.sealed.is_some()
    }

    /// The names of the secrets, the platform's own among them, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.document.names().filter(|name| *name != READERS)
    }

    pub fn value(&self, name: &str) -> Result<&str, SecretsError> {
        let value = self.document.value(name).filter(|_| name != READERS);
        value.ok_or_else(|| SecretsError::Unknown { path: self.place.secrets.clone(), name: name.to_owned() })
    }

    /// Fails, with all of their names, unless every one of these secrets is there.
    pub fn require<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), SecretsError> {
        let mut missing: Vec<String> = names.filter(|name| self.value(name).is_err()).map(str::to_owned).collect();
        missing.sort();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        Err(SecretsError::Missing { path: self.place.secrets.clone(), names: missing })
    }

    /// Fails unless this secret is there, which nobody can draw.
    pub fn require_given(&self, name: &str, is: &'static str) -> Result<(), SecretsError> {
        let missing = || SecretsError::NotGiven { path: self.place.secrets.clone(), name: name.to_owned(), is };
        self.value(name).map(drop).map_err(|_| missing())
    }

    /// What tells values of this secret apart without telling any of them; of no use for another secret.
    pub fn fingerprint_key(&self, name: &str) -> FingerprintKey {
        let master = self.document.value(FINGERPRINT_KEY).unwrap_or_default();
        FingerprintKey::derive(master, name)
    }

    pub fn fingerprint(&self, name: &str) -> Result<Fingerprint, SecretsError> {
        Ok(self.fingerprint_key(name).fingerprint(self.value(name)?.as_bytes()))
    }

    /// Gives a secret a value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SecretsError> {
        if !is_name(name) && !is_internal(name) || [FINGERPRINT_KEY, READERS].contains(&name) {
            return Err(SecretsError::Name { name: name.to_owned() });
        }
        check_value(value).map_err(|why| SecretsError::Value { name: name.to_owned(), why })?;
        self.document.set(name, value);
        Ok(())
    }

    /// Draws a value for a secret that has none, the platform's own included. True if there was none: then the file is to
    /// be saved.
    pub fn ensure<E: From<SecretsError>>(
        &mut self,
        name: &str,
        generate: impl FnOnce() -> Result<String, E>,
    ) -> Result<bool, E> {
        debug_assert!(is_name(name) || is_internal(name), "{name} is no name");
        if self.document.value(name).is_some() {
            return Ok(false);
        }
        let value = generate()?;
        check_value(&value).map_err(|why| SecretsError::Value { name: name.to_owned(), why })?;
        self.document.set(name, &value);
        Ok(true)
    }

    /// The user's own secrets as a text to edit.
    pub fn text(&self) -> String {
        self.document.own()
    }

    /// Takes an edited text for the user's own secrets.
    pub fn replace_text(&mut self, text: &str) -> Result<(), Mistake> {
        self.document.replace_own(text)
    }

    /// Those who can read the file as it is, by name and key. A change of `recipients.toml` comes true with the next
    /// [`SecretsFile::save`].
    pub fn readers(&self) -> Vec<(String, String)> {
        let lines = self.document.value(READERS).into_iter().flat_map(str::lines);
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, key)| (name.to_owned(), key.to_owned())).collect()
    }

    /// Encrypts for the recipients as they are named now, and puts the file in place.
    pub fn save(&mut self) -> Result<(), SecretsError> {
        let recipients = Recipients::of(&self.place)?;
        self.can_read_what_it_writes(&recipients)?;
        self.document.set(READERS, &readers(&recipients));
        let sealed = sealed::seal(&self.document.to_string(), &recipients)?;
        write::replace(&self.place.secrets, self.sealed.as_deref(), &sealed, 0o644)?;
        self.sealed = Some(sealed);
        Ok(())
    }

    fn can_read_what_it_writes(&self, recipients: &[Recipient]) -> Result<(), SecretsError> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let named = recipients.iter().any(|recipient| identity.recipients().contains(&recipient.key()));
        if named {
            return Ok(());
        }
        Err(SecretsError::NotOurs {
            path: self.place.recipients.clone(),
            identity: identity.path.clone(),
            key: identity.recipients().first().cloned().unwrap_or_default(),
        })
    }
}

fn readers(recipients: &[Recipient]) -> String {
    let mut lines: Vec<String> =
        recipients.iter().map(|recipient| format!("{} {}", recipient.name, recipient.key())).collect();
    lines.sort();
    lines.join("\n")
}

fn with_key(mut document: Document) -> Result<Document, SecretsError> {
    if document.value(FINGERPRINT_KEY).is_none() {
        document.set(FINGERPRINT_KEY, &draw::token()?);
    }
    Ok(document)
}
