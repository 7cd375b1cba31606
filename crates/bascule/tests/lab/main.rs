//! Level 3: the real thing, on this machine's Incus. `make test-lab` runs it.
//!
//! Environments of their own, each with its project, bridge and subnet: `shop` is blue-green and runs Veza behind two load
//! balancers, `rolling` has no colours, `data` has Redis, `pg` PostgreSQL, `backup` PostgreSQL with backups, `store` the object store with edges before it, `edge` has edges
//! before a store that does what a test wants. They are made by the first test that needs them, since making them is what takes long,
//! and removed by `scripts/test-lab` when a module's tests are over. One test at a time touches one of them.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a test of a program runs programs")]
#![expect(clippy::print_stdout, reason = "the figures of a run are read in its output")]

mod backup;
mod book;
mod edge;
mod faults;
mod firewall;
mod front_door;
mod hardening;
mod hosts;
mod inside;
mod killed;
mod lab;
mod load;
mod lock;
mod postgres;
mod redis;
mod releases;
mod rolling;
mod secrets;
mod starter;
mod store;
mod tls;
#[path = "../shared/valid.rs"]
mod valid;
mod verbs;
mod visitors;
