//! Roles: pure functions from a platform and the facts to a plan. No I/O, no clock, no randomness.
//!
//! A role is a folder: what it makes of an instance, step by step, with its templates and scripts beside the code.
//! The functions that this crate exports put the roles' steps together into the plan of one verb.

mod common;
mod component;
mod error;
mod facts;
mod group;
mod line;
mod load_balancer;
mod template;
mod verbs;

#[cfg(test)]
mod tests;

pub use error::RoleError;
pub use facts::{ColourRelease, ColourState, Existing, Facts, Releases};
pub use verbs::{drain, health, prepare, probe, roll, switch, up};
