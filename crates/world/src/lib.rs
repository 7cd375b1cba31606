//! A world in memory for level 2 of the tests: the product's own code, from the platform file to the steps on an
//! instance, over a fake Incus with a modelled machine behind every instance. No daemon, no clock, no root.
//!
//! A [`World`] runs verbs ([`World::up`], [`World::deploy`], [`World::rollback`]) as the command line does, and can kill
//! the tool after any event ([`World::kill_after`]). What is in the world stays; the next verb finds it as it is.
//!
//! Modelled beyond what the fakes below know: HAProxy's runtime map and its view of servers, replicas that answer with
//! the commit they run, a front door that sends to the active colour, and releases that never become healthy
//! ([`World::make_sick`]).

mod artifacts;
mod behaviour;
mod machines;
mod outline;
mod scenario;
mod state;
mod verbs;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bascule_incus::fake::FakeIncus;
use bascule_incus::{Incus as _, StopMode};
use bascule_spec::Platform;

use machines::Machines;

pub use outline::outline;
pub use scenario::play;
pub use verbs::Ended;

/// See the [crate].
#[derive(Debug)]
pub struct World {
    pub incus: FakeIncus,
    pub platform: Platform,
    machines: Arc<Machines>,
    artifacts: artifacts::Artifacts,
    kill_after: Option<usize>,
}

impl World {
    /// An empty world for a platform file, given as text.
    ///
    /// # Panics
    /// When the platform file is not sound: the message holds its diagnostics.
    pub fn new(platform: &str) -> Self {
        let files = Files(platform.to_owned());
        let loaded = bascule_spec::load(&files, Path::new("platform.toml"), "test");
        let mut platform = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        let artifacts = artifacts::Artifacts::new();
        platform.release.artifacts = artifacts.folder();
        let machines = Machines::new(&platform);
        let incus = FakeIncus::new(machines.clone());
        Self { incus, platform, machines, artifacts, kill_after: None }
    }

    /// The tool is killed right after the event number `n` of the next verb, counted from 0.
    pub fn kill_after(&mut self, n: usize) {
        self.kill_after = Some(n);
    }

    /// A release of this commit starts and never becomes healthy.
    pub fn make_sick(&self, commit: &str) {
        self.machines.make_sick(commit);
    }

    /// What a request through the first load balancer's front door would be answered with, by component: the commit.
    pub fn served(&self) -> BTreeMap<String, String> {
        let components = self.platform.components.iter();
        components
            .filter_map(|component| {
                let answer = self.machines.front_door("lb-1", &component.version).ok()?;
                Some((component.name.clone(), answer))
            })
            .collect()
    }
}

impl World {
    /// An instance loses its power and stays off.
    pub async fn stop(&self, instance: &str) {
        let project = &self.platform.incus.project;
        self.incus.stop(project, instance, StopMode::Force).await.expect("an instance that runs");
    }
}

/// One platform file and an overlay that changes nothing.
struct Files(String);

impl bascule_spec::Files for Files {
    fn read(&self, path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("platform.toml") => Ok(self.0.clone()),
            Some("env/test.toml") => Ok(String::new()),
            _ => Err("there is no such file in this world".to_owned()),
        }
    }

    fn list(&self, _: &Path) -> Vec<String> {
        vec!["test.toml".to_owned()]
    }
}
