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
    /// A mistake in the platform file.
    Diagnostic {
        file: String,
        line: usize,
        column: usize,
        message: String,
        help: String,
        /// The same for people, with the line of the file.
        rendered: String,
    },
    /// One instance at a glance (`status`).
    Instance(InstanceStatus),
    /// What one colour holds (`status`); `colour` is absent under `multi-instance`.
    Colour { colour: Option<String>, commit: String, state: String, active: bool, generation: u64 },
    /// Who holds the environment's lock (`status`, `unlock`). Absent while nobody does.
    Lock(LockStatus),
    /// A piece of what a command or a log said on an instance (`exec`, `logs`).
    Output {
        instance: String,
        stream: Stream,
        /// What is no UTF-8 is replaced in it.
        text: String,
        /// The bytes themselves, for a renderer that hands them on as they are.
        #[serde(skip)]
        bytes: Vec<u8>,
    },
    /// One release or rollback (`history`). Times are RFC 3339, UTC.
    History {
        number: u64,
        verb: String,
        commit: String,
        colour: Option<String>,
        who: String,
        began: String,
        ended: Option<String>,
        outcome: String,
        reason: Option<String>,
    },
    /// Something a person should know that is no failure.
    Note { message: String },
    /// Something failed. The run goes on to its summary.
    Failure(Failure),
    /// The last event of every verb that converges.
    Summary(Summary),
}

/// The reason of every step of an instance that is not there to be asked: all of them follow once it is made.
pub const INSTANCE_FIRST: &str = "the instance is made first";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThingKind {
    Project,
    Network,
    Image,
    Instance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub name: String,
    pub roles: Vec<String>,
    pub address: String,
    /// `running`, `stopped`, `frozen` or `absent`.
    pub state: String,
    pub colour: Option<String>,
    /// The instance's colour has the traffic, or there are no colours.
    pub active: bool,
    /// What it runs: a commit, or the version of its main package.
    pub version: Option<String>,
    pub healthy: bool,
    /// Why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Who holds the lock of an environment. Times are RFC 3339, UTC, by the holder's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockStatus {
    pub generation: u64,
    /// A person and a machine: `ada@laptop`.
    pub who: String,
    /// The verb that it was taken for.
    pub doing: String,
    pub since: String,
    /// When its lease runs out, unless the holder renews it.
    pub until: String,
    /// The holder runs on this machine and has certainly ended: the next verb takes the lock over at once.
    pub ended: bool,
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
