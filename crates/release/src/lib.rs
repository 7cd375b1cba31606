//! Releases: put a commit on the idle colour (or roll it through the replicas), switch traffic to it, go back, and
//! keep a history. What is active and what each colour holds is recorded in Incus, before the load balancers are told.

mod artifacts;
mod commit;
mod deploy;
mod drill;
mod history;
mod observe;
mod record;
mod renew;
mod restore;
mod rollback;
mod switchover;
mod up;

pub use artifacts::{ArtifactError, BlobError, Folder};
pub use commit::{Commit, CommitError};
pub use deploy::deploy;
pub use drill::{DrillRecord, Drills, drill, drills, end_drill, record_drill};
pub use history::{Entry, Outcome, history};
pub use observe::{observe, tell_of_strays};
pub use renew::renew;
pub use restore::{Restored, restore};
pub use rollback::rollback;
pub use switchover::{postgres_rejoin, postgres_switchover, switchover};
pub use up::up;

use bascule_engine::{EngineError, Run};
use bascule_incus::Error as IncusError;
use bascule_roles::RoleError;
use bascule_spec::{AllocateError, Platform};

/// What a release is done with.
#[derive(Debug)]
pub struct Context<'a> {
    pub platform: &'a Platform,
    pub run: &'a Run,
    /// Who does it, for the history: `ada@laptop`.
    pub who: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error("the platform is not up: {missing} does not exist or does not run")]
    NotUp { missing: String },
    #[error(
        "a secret was replaced, and {instance} does not have it yet ({step}): who came with it would be turned away"
    )]
    SecretNotBrought { instance: String, step: String },
    #[error("no address is left for {0}: destroy formations that are not needed any more")]
    NoAddress(String),
    #[error("there is nothing to roll back to: {reason}")]
    NothingToRollBackTo { reason: String },
    #[error("{commit} did not become healthy; {serving}")]
    Unhealthy { commit: Commit, serving: String },
    #[error("{commit} was switched to but does not answer through the front door; {serving}")]
    SwitchFailed { commit: Commit, serving: String },
    #[error("the record in Incus cannot be read: {key} = {value}")]
    Record { key: String, value: String, source: Option<serde_json::Error> },
    #[error(transparent)]
    Addresses(#[from] AllocateError),
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error(transparent)]
    Incus(#[from] IncusError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}
