//! Events are the only output of the engine and of releases; `--output json` prints exactly these, one a line.

use serde::{Deserialize, Serialize};

use crate::agent::{Evidence, Outcome};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first event of every verb.
    Started { verb: String, platform: String, environment: String, version: String },
    /// A phase of the run begins: `check`, `images`, `apply`, `probe`, `switch`…
    Phase { name: String, title: String },
    /// Something in Incus around or below the instances: a project, a bridge, an image, the instance itself.
    Thing { kind: ThingKind, name: String, outcome: Outcome, reason: String, duration_ms: u64 },
    /// A step began on an instance.
    StepBegan { instance: String, step: String, title: String },
    /// A long step or a phase says what it sees.
    Progress { instance: Option<String>, step: Option<String>, message: String },
    /// A step ended on an instance.
    StepEnded {
        instance: String,
        step: String,
        title: String,
        outcome: Outcome,
        reason: String,
        duration_ms: u64,
        #[serde(default, skip_serializing_if = "Evidence::is_empty")]
        evidence: Evidence,
    },
    /// A line waits for another line, or for its turn.
    Waiting { instance: String, r#for: String, reason: String },
    /// A line got to a milestone, or holds or gives back a lease.
    Reached { instance: String, what: String },
    /// Traffic was moved, or is about to be.
    Switch { from: Option<String>, to: String, generation: u64, commit: String },
    /// Something a person should know that is no failure.
    Note { message: String },
    /// Something failed. The run goes on to its summary.
    Failure(Failure),
    /// The last event of every verb that converges.
    Summary(Summary),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThingKind {
    Project,
    Network,
    Image,
    Instance,
}

/// One failure, told so that it can be acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What failed, in one sentence.
    pub message: String,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Counts of steps and things. `changed` counts what would change when nothing was applied (`applied` is false).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub changed: u64,
    pub unchanged: u64,
    pub failed: u64,
    pub duration_ms: u64,
    pub instances: u64,
    pub applied: bool,
}
