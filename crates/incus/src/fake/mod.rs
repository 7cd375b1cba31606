//! An Incus in memory, with the observable rules of the real one.
//!
//! # What it is for
//! Scenarios run whole verbs against it: same trait, same errors, no daemon. What happens *inside* the instances is not
//! its business: a [`Handler`] is told of every machine that is created, started, stopped, rebuilt, published or
//! deleted, and answers commands and file transfers, so that a test can put a modelled machine behind each name.
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! use bascule_incus::fake::{FakeExit, FakeIncus, Handler};
//! use bascule_incus::{Config, Exec, Incus};
//!
//! #[derive(Debug)]
//! struct Greeter;
//! impl Handler for Greeter {
//!     fn exec(&self, _: &str, instance: &str, _: &[String], _: Vec<u8>) -> FakeExit {
//!         FakeExit::ok(format!("hello from {instance}"))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> bascule_incus::Result<()> {
//! let incus = FakeIncus::new(Arc::new(Greeter)).with_image("base", []);
//! incus.create_project("lab", Config::from([("features.images".into(), "false".into())])).await?;
//! assert!(incus.image("lab", "base").await?.is_some());
//! assert_eq!(incus.calls()[0].to_string(), "create-project lab");
//! # Ok(()) }
//! ```
//!
//! # What it promises
//! The rules that `tests/lab.rs` checks on it and on a real daemon with the same code: names are unique in a project; an
//! instance does not start while another one on its network, in any project and even stopped, has its name or its
//! address; only stopped instances are started, rebuilt, published and deleted, only running ones run commands; files
//! can be pushed either way; a rebuild keeps configuration and devices; what is in use (networks, volumes, profiles,
//! projects) is not deleted; a project without a feature looks in `default`.
//!
//! # What it does not
//! It has no clock, no randomness, no I/O and no host: addresses are the static ones of the devices, an imported
//! image's files are not read, a change is made in one moment. It is not stricter than Incus about the values of
//! configuration keys: it takes any.
//!
//! # Faults
//! [`Faults`] is asked before every change and told after it: it can refuse it, or make it and lose the answer, as a
//! killed connection would. [`FakeIncus::calls`] is the log of all calls in order, reads included. Every call gives
//! way to other tasks once before and once after it acts, so concurrent callers interleave, and a future that is
//! dropped has either acted or not. Clones share one world: drop what was killed, and run again on a clone.

mod api;
mod hooks;
mod images;
mod instances;
mod world;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use hooks::{Call, FakeExit, Fault, Faults, Handler};
use world::World;

use crate::types::Image;
use crate::{Error, Result};

#[derive(Clone)]
pub struct FakeIncus {
    world: Arc<Mutex<World>>,
    calls: Arc<Mutex<Vec<Call>>>,
    handler: Arc<dyn Handler>,
    faults: Arc<dyn Faults>,
}

impl FakeIncus {
    /// A server with a project `default` that is empty, and a storage pool `default`.
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        Self { world: Arc::default(), calls: Arc::default(), handler, faults: Arc::new(hooks::NoFaults) }
    }

    /// The same world under another plan of faults.
    #[must_use]
    pub fn with_faults(self, faults: Arc<dyn Faults>) -> Self {
        Self { faults, ..self }
    }

    /// The same world with one more image in the project `default`.
    #[must_use]
    pub fn with_image(self, alias: &str, properties: impl IntoIterator<Item = (String, String)>) -> Self {
        let properties = properties.into_iter().collect();
        self.world().add_image("default", alias, properties);
        self
    }

    /// All calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, verb: &'static str, project: &str, object: &str, detail: &str) -> Call {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let call = Call {
            index: calls.len(),
            verb,
            project: project.to_owned(),
            object: object.to_owned(),
            detail: detail.to_owned(),
        };
        calls.push(call.clone());
        call
    }

    async fn read<T>(&self, verb: &'static str, project: &str, object: &str, look: impl FnOnce(&World) -> T) -> T {
        self.log(verb, project, object, "");
        tokio::task::yield_now().await;
        look(&self.world())
    }

    /// Makes a change. `act` takes the world's lock itself, and gives it back before it calls the handler.
    async fn change<T>(&self, call: Call, act: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        let doing = call.to_string();
        tokio::task::yield_now().await;
        let fault = self.faults.before(&call);
        if let Fault::Error(message) = fault {
            return Err(Error::Refused { doing, status: 500, message });
        }
        let result = act(&doing);
        self.faults.after(&call);
        tokio::task::yield_now().await;
        if result.is_ok() && fault == Fault::Lost {
            return Err(Error::interrupted(&doing, "the answer was lost, by a planned fault"));
        }
        result
    }

    fn image_of(&self, project: &str, reference: &str, doing: &str) -> Result<Image> {
        let missing = || Error::answered(doing, 400, "Image not provided for instance creation");
        self.world().image(project, reference).ok_or_else(missing)
    }
}

impl fmt::Debug for FakeIncus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeIncus").field("calls", &self.calls().len()).finish_non_exhaustive()
    }
}
