//! Checks and applies resources on the machine it runs on. Knows nothing of the platform they belong to.
//!
//! The binary is its own agent: the engine runs it inside an instance for the length of one call. One
//! [`Request`](bascule_plan::agent::Request) comes in on standard input, [`Report`](bascule_plan::agent::Report)s go out on
//! standard output, one a line. Nothing stays resident.
//!
//! All resource logic is written over the narrow trait [`System`]; [`Linux`] is the real machine, and `fake::Machine`
//! (feature `fake`) a modelled one that can be killed and lose its power at any point.

mod digest;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod generation;
mod linux;
mod pending;
mod place;
mod redact;
mod resource;
mod run;
mod serve;
mod system;
#[cfg(test)]
mod tests;
mod unit_record;
mod unpack;

pub use linux::Linux;
pub use run::run;
pub use serve::main;
pub use system::{
    Access, Apt, Beat, Ending, Exec, Finished, HttpAnswer, Kind, Meta, Result, System, SystemError, UnitStatus,
    UnitVerb, UserEntry,
};
