//! Roles: pure functions from a platform and the facts to a plan. No I/O, no clock, no randomness.
//!
//! A role is a folder: what it makes of an instance, step by step, with its templates and scripts beside the code.
//! The functions that this crate exports put the roles' steps together into the plan of one verb.

mod certificates;
mod common;
mod component;
mod edge;
mod error;
mod facts;
mod firewall;
mod group;
mod host;
mod line;
mod load_balancer;
mod ops;
mod postgres;
mod redis;
mod store;
mod template;
mod verbs;

#[cfg(test)]
mod tests;

pub use certificates::AUTHORITY_KEY;
pub use edge::purge;
pub use error::RoleError;
pub use facts::{ColourRelease, ColourState, Existing, Facts, Releases};
pub use host::{ClientCertificate, HostFacts, host_up};
pub use line::ROLE;
pub use load_balancer::OWN_FRONT_CERTIFICATE;
pub use postgres::backup::stanza;
pub use postgres::drill::{DRILL, EPHEMERAL};
pub use postgres::restore::{Target, beside};
pub use store::STORE_SHAPE;
pub use verbs::{
    catch_up, drain, drill, due, due_or_out_of_rotation, health, out_of_rotation, postgres_rejoin, postgres_switchover,
    prepare, probe, renewal, restore, roll, rotation, service_secrets, switch, switchover, up,
};
