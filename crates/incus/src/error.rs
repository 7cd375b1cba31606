use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::connection::Unanswered;
use crate::tls;

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// `doing` is always what was asked for, in the imperative: `start instance lb-1`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the socket or address. Nothing was changed.
    #[error("cannot reach Incus at {address}: {why}")]
    Unreachable { address: String, why: Unreachable, source: Source },

    /// Incus answered that the object, or one it needs (its project, its image), does not exist.
    #[error("cannot {doing}: {message}")]
    NotFound { doing: String, message: String },

    /// Another object has the name.
    #[error("cannot {doing}: {message}")]
    AlreadyExists { doing: String, message: String },

    /// Incus refused, or its operation failed; `message` is its own text.
    #[error("cannot {doing}: {message}")]
    Refused {
        doing: String,
        /// The HTTP status, or the operation's status code.
        status: u16,
        message: String,
    },

    /// A layer above kept the change back; Incus was not asked.
    #[error("did not {doing}: {why}")]
    Withheld { doing: String, why: String },

    /// Others changed the object each time between being read and being written.
    #[error("cannot {doing}: it was changed by somebody else {attempts} times in a row")]
    Contended { doing: String, attempts: u32 },

    /// The bound given by the caller ran out. The operation goes on in Incus, except a command, which is killed.
    #[error("gave up to {doing} after {after:?}: operation {operation}, last seen as {last_status}")]
    Timeout {
        doing: String,
        after: Duration,
        /// Its id and Incus's own description of it.
        operation: String,
        last_status: String,
    },

    /// Incus no longer knows the operation: it was restarted, or the operation ended while nobody could listen.
    #[error("cannot tell how it ended to {doing}: Incus no longer knows operation {operation}")]
    OperationLost { doing: String, operation: String },

    /// The connection broke in the middle. A change may have been made or not.
    #[error("the connection broke trying to {doing}")]
    Interrupted { doing: String, source: Source },

    /// Incus answered something this client does not understand.
    #[error("cannot understand the answer to {doing}")]
    Malformed { doing: String, source: Source },

    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },

    /// What proves who is who, for HTTPS. Never says what it holds.
    #[error("{what} cannot be used")]
    Credential { what: &'static str, source: Source },
}

/// Why a daemon could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// There is no such socket: Incus is not installed, or keeps it elsewhere.
    NoSocket,
    /// The socket is there and nobody listens: the daemon does not run.
    Refused,
    /// The socket may not be opened: the user is not in its group.
    PermissionDenied,
    /// Somebody answers, but not the daemon whose certificate is pinned.
    OtherCertificate,
    Other,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSocket => "no such socket",
            Self::Refused => "connection refused",
            Self::PermissionDenied => "permission denied",
            Self::OtherCertificate => "it shows another certificate than the pinned one",
            Self::Other => "the connection failed",
        })
    }
}

impl Error {
    /// Sorts an error that Incus answered. Incus reports several of these as a plain 400 or 500 (a second project of one
    /// name is a 500 with the database's text), so its wording counts as well as the status.
    pub(crate) fn answered(doing: &str, status: u16, message: &str) -> Self {
        let (doing, message) = (doing.to_owned(), message.to_owned());
        let says = |text: &str| message.contains(text);
        if says("already exists") || says("UNIQUE constraint failed") {
            Self::AlreadyExists { doing, message }
        } else if status == 404 || says("Image not provided") || says("Instance not found") {
            Self::NotFound { doing, message }
        } else {
            Self::Refused { doing, status, message }
        }
    }

    /// Sorts a request that got no whole answer.
    pub(crate) fn unanswered(address: &str, doing: &str, error: Unanswered) -> Self {
        let Unanswered::Connect(error) = error else { return Self::interrupted(doing, error) };
        let why = match error.kind() {
            io::ErrorKind::NotFound => Unreachable::NoSocket,
            io::ErrorKind::ConnectionRefused => Unreachable::Refused,
            io::ErrorKind::PermissionDenied => Unreachable::PermissionDenied,
            _ if tls::is_other_certificate(&error) => Unreachable::OtherCertificate,
            _ => Unreachable::Other,
        };
        Self::Unreachable { address: address.to_owned(), why, source: error.into() }
    }

    /// The same error, of a request that came after Incus had taken a change on: that may have been made.
    pub(crate) fn after_acceptance(self, doing: &str) -> Self {
        match self {
            Self::Unreachable { source, .. } => Self::interrupted(doing, source),
            error => error,
        }
    }

    pub(crate) fn interrupted(doing: &str, source: impl Into<Source>) -> Self {
        Self::Interrupted { doing: doing.to_owned(), source: source.into() }
    }

    pub(crate) fn malformed(doing: &str, source: impl Into<Source>) -> Self {
        Self::Malformed { doing: doing.to_owned(), source: source.into() }
    }
}
