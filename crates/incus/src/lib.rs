//! A client of the Incus REST API, and a modelled Incus behind the same narrow trait.
//!
//! [`Incus`] is what an orchestrator needs of Incus and nothing else. [`Client`] speaks to a daemon; `fake::FakeIncus`
//! (feature `fake`) keeps the daemon's observable rules in memory. One conformance suite runs on both.
//!
//! This crate knows nothing of platforms, roles or plans. Nothing here retries a change on its own, except the
//! read-merge-write of a configuration that met another writer.

mod api;
mod client;
mod connection;
mod error;
mod events;
mod exec;
#[cfg(feature = "fake")]
pub mod fake;
mod files;
mod images;
mod instances;
mod networks;
mod operations;
mod projects;
mod quiet;
mod terminal;
mod tls;
mod transport;
mod types;
mod volumes;

pub use api::Incus;
pub use client::{Client, DEFAULT_SOCKET, NEEDED_EXTENSIONS};
pub use error::{Error, Result, Unreachable};
pub use tls::{Identity, fingerprint};
pub use types::{
    Changes, Config, Device, Devices, Exec, Exited, FileKind, Image, Instance, InstanceFile, InstancePatch, Network,
    NewImage, NewInstance, Profile, Progress, Project, Publish, STDERR_TAIL_BYTES, Server, Space, Status, Stdin,
    StopMode, StoragePool, Terminal, TerminalInput, TerminalSize, Transferred, Volume,
};
