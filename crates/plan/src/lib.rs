//! A plan is data: what every instance must be, step by step, with no choice left for the moment of applying.
//!
//! The engine, the agent and the renderers all speak these types; none of them lives here. This crate does no I/O,
//! knows no clock and draws no random number, so that a plan can be printed, compared, stored and replayed.

pub mod agent;
mod check;
pub mod event;
mod fingerprint;
mod line;
mod narrow;
mod outline;
mod resource;
mod schema;
#[cfg(test)]
mod testing;
mod waits;

pub use check::PlanError;
pub use fingerprint::{Fingerprint, FingerprintKey};
pub use line::{Lease, Line, LineItem, Machine, MachineAction, Milestone, Plan, Step, Volume, World};
pub use narrow::UnknownSelector;
pub use resource::{
    Archive, Authority, Blob, Certificate, Command, Content, Directory, File, OnTimeout, Packages, Probe, Resource,
    Secret, Symlink, Sysctl, Unit, UnitState, Usage, User, Wait,
};
pub use schema::event_schema;
