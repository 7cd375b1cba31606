use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

/// Who answers. A release is told its commit by the environment, never by the build: one binary serves any commit
/// that did not change it.
#[derive(Clone, Debug)]
pub struct Identity {
    pub commit: Commit,
    /// The name of the machine or container, as its owner calls it.
    pub instance: String,
    pub(crate) started_at: Timestamp,
    started: Instant,
}

impl Identity {
    /// `started_at` is only told to clients; the uptime counts from this call.
    pub fn new(commit: Commit, instance: String, started_at: Timestamp) -> Self {
        Self { commit, instance, started_at, started: Instant::now() }
    }

    /// By the monotonic clock: a corrected wall clock does not change it.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A git commit, 40 lower-case hex digits, or `unknown` where nobody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit(String);

impl Commit {
    pub fn unknown() -> Self {
        Self("unknown".to_owned())
    }
}

impl FromStr for Commit {
    type Err = NotACommit;

    fn from_str(text: &str) -> Result<Self, NotACommit> {
        let is_hex = text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex || text == "unknown" { Ok(Self(text.to_owned())) } else { Err(NotACommit) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 40 lower-case hex digits, or \"unknown\"")]
pub struct NotACommit;

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
