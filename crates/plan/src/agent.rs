//! What the engine says to the agent and hears from it: one [`Request`] as JSON on standard input, then one [`Report`]
//! a line on standard output.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FingerprintKey, Step};

/// Where the engine stages the bytes of archives on an instance.
pub const BLOB_DIR: &str = "/var/lib/bascule/blobs";
/// Where the agent keeps what it must remember between calls: digests of the inputs of units at their last good start.
pub const STATE_DIR: &str = "/var/lib/bascule/state";
/// Where the agent notes, by a file for each, which generations of the lock it has heard of since the instance booted.
pub const GENERATION_DIR: &str = "/run/bascule/generations";

/// The newest program that was brought to an instance: Bascule itself.
pub const PROGRAM: &str = "/usr/local/lib/bascule/bascule";

/// The certificate of the authority whose servers an instance trusts: a probe of an `https` URL believes in no other.
pub const AUTHORITY_FILE: &str = "/etc/bascule/authority.pem";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub mode: Mode,
    /// The generation of the lock that the engine holds. An instance that has heard of a newer one applies nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    pub steps: Vec<Step>,
    /// What [`crate::Content::Secret`] stands for, by name. Never logged, never in a report.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretValue>,
    /// For an apply: a new certificate with its key for each [`crate::Certificate`] of the steps, by its path. Used where
    /// the one that is there is not right, and forgotten where it is. As secret as the secrets.
    #[serde(default)]
    pub certificates: BTreeMap<String, String>,
}

/// A secret as an agent knows it, for as long as it runs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretValue {
    pub value: String,
    /// Tells what lies on the instance by its fingerprint.
    pub fingerprint_key: FingerprintKey,
}

/// The value never gets into a log by way of a debug print.
impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Changes nothing; tells for every step whether it would change, as if the steps before it had been applied.
    Check,
    /// Checks, applies and checks again, step by step; stops at the first failure.
    Apply,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// A step began (apply only).
    Begin { step: String },
    /// A step that takes long says what it sees, e.g. a wait its last answer.
    Progress { step: String, message: String },
    /// A step ended.
    End {
        step: String,
        outcome: Outcome,
        /// Why: what differed, or what was found to be right already.
        reason: String,
        duration_ms: u64,
        /// The last second, since 1970, at which a certificate is good; absent for everything else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_s: Option<u64>,
        #[serde(default, skip_serializing_if = "Evidence::is_empty")]
        evidence: Evidence,
    },
    /// Every step has ended, or the first failure was reported. A stream without this was cut.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was right already.
    Unchanged,
    /// Check: it differs. Nothing was changed.
    WouldChange,
    /// Apply: it differed, was changed, and was found right afterwards.
    Changed,
    /// It could not be made right.
    Failed,
}

/// What a person needs to understand a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The last answer a wait got, or the end of a command's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<String>,
    /// `systemctl status`, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_status: Option<String>,
    /// The unit's last log lines, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl Evidence {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
