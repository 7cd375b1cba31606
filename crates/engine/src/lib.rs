//! The engine runs a plan over many instances at once and emits events. It never prints, and it has no opinion on what
//! a step means.
//!
//! A run is [`Engine::plan`] (ask, change nothing) or [`Engine::converge`] (ask; where something differs, apply line by
//! line). Killed anywhere and run again, it converges: nothing is remembered between runs but what Incus and the
//! instances themselves hold.

mod agent;
mod board;
mod check;
mod destroy;
mod error;
mod glance;
mod image;
mod line;
mod lock;
mod machine;
#[cfg(test)]
mod nothing;
mod program;
mod reach;
mod run;
mod world;

use std::fmt::Debug;
use std::sync::Arc;

use bascule_incus::Incus;
use bascule_plan::{Blob, Certificate, FingerprintKey};
use bytes::Bytes;

pub use agent::AgentError;
pub use check::Checked;
pub use destroy::Destroy;
pub use error::EngineError;
pub use glance::Glance;
pub use image::{BaseFiles, BaseImage, Debootstrap, ImageError, base_alias};
pub use lock::{Claim, Holder, Lock, LockError, LockOf, LockState};
pub use program::AgentProgram;
pub use reach::{Call, HostError, Hosts, Pins, Reach, Transport, shell};
pub use run::{Clock, Converged, Run};

/// What every run needs, made once by the caller.
#[derive(Debug, Clone)]
pub struct Engine {
    pub incus: Arc<dyn Incus>,
    pub agent: AgentProgram,
    pub secrets: Arc<dyn Secrets>,
    pub authority: Arc<dyn Authority>,
    pub blobs: Arc<dyn Blobs>,
    /// Makes the base image where it is missing.
    pub base: Arc<dyn BaseImage>,
    pub clock: Arc<dyn Clock>,
    pub parallel: Parallel,
    /// The generation of the lock that changes are made under; see [`Run::under`].
    pub generation: Option<u64>,
}

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub struct Parallel {
    /// Instances that are asked at once.
    pub agents: usize,
    /// Instances that are made, started or rebuilt at once.
    pub machines: usize,
}

impl Default for Parallel {
    fn default() -> Self {
        Self { agents: 32, machines: 8 }
    }
}

/// Gives the value of a secret by its name, or says why not and what to do.
pub trait Secrets: Send + Sync + Debug {
    fn value(&self, name: &str) -> Result<String, String>;

    /// What tells values of this secret apart.
    fn fingerprint_key(&self, name: &str) -> FingerprintKey;
}

/// Issues a certificate with a new key, or says why not and what to do.
pub trait Authority: Send + Sync + Debug {
    /// PEM, the certificate first. `now_s`: seconds since 1970 began, UTC.
    fn issue(&self, wanted: &Certificate, now_s: u64) -> Result<String, String>;
}

/// Gives the bytes of a blob by its digest, or says why not and what to do.
pub trait Blobs: Send + Sync + Debug {
    fn bytes(&self, blob: &Blob) -> Result<Bytes, String>;
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
