//! What the engine says to the agent and hears from it: one [`Request`] as JSON on standard input, then one [`Report`]
//! a line on standard output.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Step;

/// Where the engine stages the bytes of archives on an instance.
pub const BLOB_DIR: &str = "/var/lib/bascule/blobs";
/// Where the agent keeps what it must remember between calls: digests of the inputs of units at their last good start.
pub const STATE_DIR: &str = "/var/lib/bascule/state";
/// Where the agent notes, by a file for each, which generations of the lock it has heard of since the instance booted.
pub const GENERATION_DIR: &str = "/run/bascule/generations";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub mode: Mode,
    /// The generation of the lock that the engine holds. An instance that has heard of a newer one applies nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    pub steps: Vec<Step>,
    /// Values for [`crate::Content::Secret`], by name. Never logged, never in a report.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
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
        #[serde(default, skip_serializing_if = "Evidence::is_empty")]
        evidence: Evidence,
    },
    /// Every step has ended, or the first failure was reported. A stream without this was cut.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Unchanged,
    /// Check: it differs. Nothing was changed.
    WouldChange,
    /// Apply: it differed, was changed, and was found right afterwards.
    Changed,
    Failed,
}

/// What a person needs to understand a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
