use std::io;
use std::path::PathBuf;

use crate::Mistake;

/// What is wrong with secrets, with whatever holds them, or with who asks. None of it repeats a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", path.display())]
    Unwritten { path: PathBuf, source: io::Error },
    #[error("{} was written by somebody else meanwhile; nothing was changed", path.display())]
    Meanwhile { path: PathBuf },
    #[error("there is no age key {}", path.display())]
    NoIdentity { path: PathBuf },
    #[error("the age key {} may be read by others (mode {mode:04o})", path.display())]
    IdentityOpen { path: PathBuf, mode: u32 },
    #[error("{} is no age key: it has no line AGE-SECRET-KEY-1…", path.display())]
    NotAnIdentity { path: PathBuf },
    #[error("{}, {mistake}", path.display())]
    NotRecipients { path: PathBuf, mistake: Mistake },
    #[error("{} lets {name} read the secrets of `{environment}`, which is no environment of the platform", path.display())]
    NoEnvironment { path: PathBuf, name: String, environment: String },
    #[error("{} names nobody who may read the secrets of {environment}", path.display())]
    NoRecipients { path: PathBuf, environment: String },
    #[error("{} does not name the age key {}: whoever uses it could not read what it writes", path.display(), identity.display())]
    NotOurs { path: PathBuf, identity: PathBuf, key: String },
    #[error("{} is not encrypted for the age key {}", path.display(), identity.display())]
    NotForUs { path: PathBuf, identity: PathBuf, key: String },
    #[error("{} is no age file, or was changed since it was written", path.display())]
    Damaged { path: PathBuf, source: age::DecryptError },
    #[error("in {}, {mistake}", path.display())]
    Syntax { path: PathBuf, mistake: Mistake },
    #[error("{} lacks {}", path.display(), names.join(", "))]
    Missing { path: PathBuf, names: Vec<String> },
    #[error("{} lacks {name}, {is}", path.display())]
    NotGiven { path: PathBuf, name: String, is: &'static str },
    #[error("there is no secret `{name}` in {}", path.display())]
    Unknown { path: PathBuf, name: String },
    #[error("`{name}` cannot be the name of a secret")]
    Name { name: String },
    #[error("the value of {name} {why}")]
    Value { name: String, why: &'static str },
    #[error("the secrets could not be encrypted")]
    Encrypt(#[source] age::EncryptError),
    #[error("this machine gives no random numbers")]
    Random(#[source] io::Error),
}

impl SecretsError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreadable { .. } | Self::Unwritten { .. } | Self::Encrypt(_) | Self::Random(_) => return None,
            Self::Meanwhile { .. } => "look at what changed, and run again".to_owned(),
            Self::NoIdentity { .. } => {
                "put your key there, name another file with --age-key, or make one: bascule init".to_owned()
            }
            Self::IdentityOpen { path, .. } => format!("chmod 600 {}", path.display()),
            Self::NotAnIdentity { .. } => {
                "name the file of your age key with --age-key, or make a key: bascule init".to_owned()
            }
            Self::NotRecipients { .. } => "a line is name = \"age1…\"".to_owned(),
            Self::NoEnvironment { environment, .. } => {
                format!("take it out there, or write env/{environment}.toml")
            }
            Self::NoRecipients { .. } => {
                "bascule init names the public half of your age key there; name others beside it".to_owned()
            }
            Self::NotOurs { key, .. } => format!("add a line there: NAME = \"{key}\""),
            Self::NotForUs { key, .. } => format!(
                "ask somebody who can read it to add NAME = \"{key}\" to recipients.toml and to run `bascule secrets rekey`"
            ),
            Self::Damaged { .. } => "get the file back from the repository".to_owned(),
            Self::Syntax { .. } => "bascule secrets edit".to_owned(),
            Self::Missing { names, .. } => format!(
                "draw a strong value: bascule secrets rotate {0}; or give your own: bascule secrets set {0} < FILE",
                names[0]
            ),
            Self::NotGiven { name, .. } => format!("bascule secrets set {name} < FILE"),
            Self::Unknown { .. } => "bascule secrets list shows the names".to_owned(),
            Self::Name { .. } => "a name has lower-case letters, digits and `_`, a letter first".to_owned(),
            Self::Value { .. } => "give the value on standard input".to_owned(),
        })
    }
}
