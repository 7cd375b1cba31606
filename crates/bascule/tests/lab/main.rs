//! Level 3: the real thing, on this machine's Incus. `make test-lab` runs it.
//!
//! Two environments of their own, each with its project, bridge and subnet: `shop` is blue-green and runs Veza,
//! `rolling` has no colours. They are made by the first test that needs them and left to the end of the run
//! (`scripts/sweep-tests` removes them), since making them is what takes long. One test at a time touches them.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a test of a program runs programs")]

mod faults;
mod hardening;
mod lab;
mod load;
mod lock;
mod releases;
mod rolling;
mod verbs;
