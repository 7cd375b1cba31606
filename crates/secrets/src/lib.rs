//! The secrets of an environment: one age-encrypted file beside the platform file, readable by the people and machines
//! that `recipients.toml` names.
//!
//! ```text
//! platform.toml
//! recipients.toml           name → age recipient, in the clear
//! env/lab.toml
//! env/lab.secrets.age       name = "value" lines, encrypted for the recipients of `lab`
//! ```
//!
//! Values are in the memory of this process, in the request to an agent and in the file on the instance; nowhere else.
//! Names that begin with `bascule/` are the platform's own (keys of authorities and clients): they are drawn where they
//! are missing, by [`SecretsFile::ensure`], and no user's name can be taken for one.

mod document;
mod draw;
mod error;
mod file;
mod identity;
mod names;
mod place;
mod recipients;
mod sealed;
mod write;

pub use document::Mistake;
pub use draw::{aws_credentials, token};
pub use error::SecretsError;
pub use file::SecretsFile;
pub use identity::Identity;
pub use names::{is_internal, is_name};
pub use place::Place;
pub use recipients::{Recipient, Recipients};
