use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bascule_spec::Platform;

/// The values of an environment's secrets, read once from a file that only its owner may read.
#[derive(Default)]
pub(crate) struct SecretsFile {
    values: BTreeMap<String, String>,
}

/// Values never get into a log by way of a debug print.
impl std::fmt::Debug for SecretsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    #[error("the secrets file {} cannot be read: {message}", path.display())]
    Unreadable { path: PathBuf, message: String },
    #[error("the secrets file {} may be read by others (mode {mode:04o})", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("the secrets file {}, line {line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("the secrets file {} lacks {}", path.display(), names.join(", "))]
    Missing { path: PathBuf, names: Vec<String> },
}

impl SecretsError {
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => {
                format!("write it as `name = \"value\"` lines, then chmod 600 {}", path.display())
            }
            Self::Open { path, .. } => format!("chmod 600 {}", path.display()),
            Self::Syntax { .. } => "every line is `name = \"value\"`".to_owned(),
            Self::Missing { names, .. } => format!("add a line `{} = \"…\"` for each of them", names[0]),
        }
    }
}

impl SecretsFile {
    /// Reads the file and makes sure that it has every secret that some component uses.
    pub(crate) fn load(platform: &Platform) -> Result<Self, SecretsError> {
        let Some(path) = &platform.release.secrets else { return Ok(Self::default()) };
        let values = read(path)?;
        let used = platform.components.iter().flat_map(|component| &component.secrets);
        let mut names: Vec<String> = used.filter(|name| !values.contains_key(*name)).cloned().collect();
        names.dedup();
        if !names.is_empty() {
            return Err(SecretsError::Missing { path: path.clone(), names });
        }
        Ok(Self { values })
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, SecretsError> {
    let unreadable =
        |error: std::io::Error| SecretsError::Unreadable { path: path.to_owned(), message: error.to_string() };
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::Open { path: path.to_owned(), mode });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    // The parser's own message would quote the line, value and all: only its place is told.
    toml_edit::de::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text[..at.min(text.len())].lines().count().max(1);
        SecretsError::Syntax {
            path: path.to_owned(),
            line,
            message: "not a line of the form name = \"value\"".to_owned(),
        }
    })
}

impl bascule_engine::Secrets for SecretsFile {
    fn value(&self, name: &str) -> Result<String, String> {
        self.values.get(name).cloned().ok_or_else(|| format!("there is no secret `{name}`"))
    }
}
