//! Roles: pure functions from a platform and the facts to a plan. No I/O, no clock, no randomness.

mod facts;

pub use facts::{ColourRelease, ColourState, Existing, Facts, Releases};
