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
//! use bascule_incus::fake::{Command, FakeExit, FakeIncus, Handler};
//! use bascule_incus::{Config, Exec, Incus};
//!
//! #[derive(Debug)]
//! struct Greeter;
//! #[async_trait::async_trait]
//! impl Handler for Greeter {
//!     async fn exec(&self, command: Command) -> FakeExit {
//!         FakeExit::ok(format!("hello from {}", command.instance))
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
//! [`Faults`] is asked before every change and told after it: it can refuse it, make it and lose the answer as a killed
//! connection would, have it carried out twice, cut a command's output off, and let calls travel for as long as it likes
//! on the runtime's clock, so that they overtake each other. [`FakeIncus::calls`] is the log of all calls in order, reads
//! included. Every call gives way to other tasks once before and once after it acts, so concurrent callers interleave, and
//! a future that is dropped has either acted or not. Clones share one world: drop what was killed, and run again on a clone.

mod api;
mod exec;
mod hooks;
mod images;
mod instances;
mod under_way;
mod world;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use hooks::{Call, Command, FakeExit, Fault, Faults, Handler, Travel};
use world::World;

use crate::types::{Config, Image, Profile};
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

    /// A project's keys as they are now, without asking as a client does: for a test that watches.
    pub fn config_of(&self, project: &str) -> Config {
        self.world().projects.get(project).cloned().unwrap_or_default()
    }

    /// The profiles that a project sees, in the same way.
    pub fn profiles_of(&self, project: &str) -> Vec<Profile> {
        self.world().profiles(project)
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

    async fn read<T>(
        &self,
        verb: &'static str,
        project: &str,
        object: &str,
        look: impl FnOnce(&World) -> T,
    ) -> Result<T> {
        let call = self.log(verb, project, object, "");
        let travel = self.faults.travel(&call);
        under_way::pass(travel.there).await;
        if let Some(message) = self.faults.unreadable(&call) {
            return Err(Error::Refused { doing: call.to_string(), status: 500, message });
        }
        let seen = look(&self.world());
        if !travel.back.is_zero() {
            under_way::pass(travel.back).await;
        }
        Ok(seen)
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
