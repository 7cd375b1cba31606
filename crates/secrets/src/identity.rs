use std::fs;
use std::io::{self, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use age::IdentityFile;
use age::secrecy::ExposeSecret as _;
use age::x25519;

use crate::{SecretsError, write};

/// A person's or a machine's age key: what opens secrets. Its file is age's own format, one key a line, and never lies in
/// a repository.
pub struct Identity {
    pub path: PathBuf,
    keys: Vec<Box<dyn age::Identity + Send + Sync>>,
    /// The public halves.
    recipients: Vec<String>,
}

/// The keys never get into a log by way of a debug print.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("path", &self.path).field("recipients", &self.recipients).finish()
    }
}

impl Identity {
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let mode = match fs::metadata(path) {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SecretsError::NoIdentity { path: path.to_owned() });
            }
            Err(source) => return Err(SecretsError::Unreadable { path: path.to_owned(), source }),
        };
        if mode & 0o077 != 0 {
            return Err(SecretsError::IdentityOpen { path: path.to_owned(), mode });
        }
        let text = fs::read(path).map_err(|source| SecretsError::Unreadable { path: path.to_owned(), source })?;
        let invalid = || SecretsError::NotAnIdentity { path: path.to_owned() };
        let file = |text| IdentityFile::from_buffer(BufReader::new(text)).map_err(|_| invalid());
        let mut recipients = Vec::new();
        file(&text[..])?.write_recipients_file(&mut recipients).map_err(|_| invalid())?;
        let recipients = String::from_utf8_lossy(&recipients).lines().map(str::to_owned).collect();
        let keys = file(&text[..])?.into_identities().map_err(|_| invalid())?;
        Ok(Self { path: path.to_owned(), keys, recipients })
    }

    /// Draws a key that is kept nowhere: itself, and its public half.
    pub fn draw() -> (String, String) {
        let key = x25519::Identity::generate();
        (key.to_string().expose_secret().to_owned(), key.to_public().to_string())
    }

    /// Makes a key where there is none; one that is there is never overwritten.
    pub fn create(path: &Path) -> Result<Self, SecretsError> {
        if let Some(folder) = path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| SecretsError::Unwritten { path: folder.to_owned(), source })?;
        }
        let (key, public) = Self::draw();
        let text = format!("# public key: {public}\n{key}\n");
        write::create(path, text.as_bytes(), 0o600)?;
        Self::read(path)
    }

    /// The public half of a key that was drawn: `age1…`.
    pub fn public_half(key: &str) -> Option<String> {
        Some(key.trim().parse::<x25519::Identity>().ok()?.to_public().to_string())
    }

    /// The public halves of its keys: `age1…`.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| &**key as &dyn age::Identity)
    }
}
