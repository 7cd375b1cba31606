//! A world in memory for level 2 of the tests: the product's own code, from the platform file to the steps on an
//! instance, over a fake Incus with a modelled machine behind every instance. No daemon, no root, and a time of its own
//! that goes on only when everybody waits.
//!
//! A [`World`] runs verbs ([`World::up`], [`World::deploy`], [`World::rollback`]) as the command line does, and can kill
//! the tool after any event ([`World::run`]). What is in the world stays; the next verb finds it as it is.
//!
//! Modelled beyond what the fakes below know: HAProxy's runtime map and its view of servers, programs that take a while
//! from their start to their first answer, replicas that answer with the commit they run, a front door that sends to the
//! active colour, and releases that never become healthy ([`World::make_sick`]). And bare machines with Debian's archive,
//! which [`World::host_up`] makes hosts of: two for a platform file that ends with [`HOSTS`].
//!
//! [`simulate`] draws a platform, a list of verbs and all that goes wrong from a seed, and looks after every single thing
//! that happens whether the [properties](Property) still hold.

mod agent;
mod artifacts;
mod authority;
mod bare;
mod behaviour;
mod chaos;
mod course;
mod dice;
mod faults;
mod machines;
mod outline;
mod promise;
mod reach;
mod redis;
mod scenario;
mod simulation;
mod state;
mod time;
mod verbs;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, atomic};

use bascule_incus::fake::FakeIncus;
use bascule_incus::{Incus as _, StopMode};
use bascule_spec::Platform;

use artifacts::Artifacts;
use chaos::Chaos;
use dice::Dice;
use machines::{Below, Machines};
use watch::Watch;

pub use chaos::Planted;
pub use course::HOSTS;
pub use outline::outline;
pub use promise::{plan_equals_apply, unchanged};
pub use scenario::play;
pub use simulation::{Failed, simulate};
pub use verbs::{Ended, Verb};
pub use watch::{Property, Violation};

/// See the [crate].
#[derive(Debug)]
pub struct World {
    pub incus: FakeIncus,
    pub platform: Platform,
    machines: Arc<Machines>,
    watch: Arc<Watch>,
    chaos: Arc<Chaos>,
    artifacts: Arc<Artifacts>,
    authority: authority::SeededAuthority,
    /// How often the secrets were changed.
    rotations: Arc<AtomicU64>,
    /// How many times the tool was run.
    processes: AtomicU64,
}

impl World {
    /// An empty world for a platform file, given as text.
    ///
    /// # Panics
    /// When the platform file is not sound: the message holds its diagnostics.
    pub fn new(platform: &str) -> Self {
        const WARM_UP_MS: u64 = 300;
        Self::with(platform, WARM_UP_MS, Arc::new(Artifacts::new()), Chaos::new(Dice::new(0), None))
    }

    /// The same, and nobody looks whether the properties hold: that takes as long as the world is large, after everything
    /// that happens in it.
    pub fn unwatched(platform: &str) -> Self {
        let world = Self::new(platform);
        world.watch.close_eyes();
        world
    }

    pub(crate) fn with(platform: &str, warm_up_ms: u64, artifacts: Arc<Artifacts>, chaos: Chaos) -> Self {
        let files = Files(platform.to_owned());
        let loaded = bascule_spec::load(&files, Path::new("platform.toml"), "test");
        let mut platform = loaded.unwrap_or_else(|diagnostics| panic!("{diagnostics}\n{}", files.0));
        platform.release.artifacts = artifacts.folder();
        let authority = authority::SeededAuthority::new();
        platform.internal_authority = Some(authority.certificate().to_owned());
        let chaos = Arc::new(chaos);
        let machines = Machines::new(&platform, warm_up_ms, chaos.clone());
        machines.make_hosts(&bare::facts(&platform));
        let incus = FakeIncus::new(Arc::new(Below(machines.clone())));
        let watch = Watch::new(&platform, incus.clone(), machines.clone());
        Self {
            incus,
            platform,
            machines,
            watch,
            chaos,
            artifacts,
            authority,
            rotations: Arc::default(),
            processes: AtomicU64::new(1),
        }
    }

    /// A release of this commit starts and never becomes healthy.
    pub fn make_sick(&self, commit: &str) {
        self.machines.model.make_sick(commit);
    }

    /// Every secret gets another value.
    pub fn rotate_secrets(&self) {
        self.rotations.fetch_add(1, atomic::Ordering::Relaxed);
    }

    /// What a request through the first load balancer's front door would be answered with, by component: the commit.
    pub fn served(&self) -> BTreeMap<String, String> {
        let now_ms = self.machines.time.now_ms();
        let components = self.platform.components.iter();
        components
            .filter_map(|component| {
                let answer = self.machines.model.front_door("lb-1", &component.version, now_ms).ok()?;
                Some((component.name.clone(), answer))
            })
            .collect()
    }

    /// An instance loses its power and stays off.
    pub async fn stop(&self, instance: &str) {
        self.watch.taken(instance);
        let stopped = self.incus.stop(&self.platform.incus.project, instance, StopMode::Force).await;
        // Who does not run cannot be stopped.
        drop(stopped);
        self.watch.look();
    }

    /// A service that runs on an instance dies, and stays dead.
    pub fn die(&self, instance: &str, unit: &str) {
        let host = self.machines.host(instance);
        if let Some(host) = host.filter(|host| host.machine.is_active(unit)) {
            self.watch.taken(instance);
            host.machine.unit_dies(unit);
        }
    }

    /// The first property that did not hold since the world began.
    ///
    /// # Errors
    /// That one.
    pub fn is_sound(&self) -> Result<(), Violation> {
        self.watch.violation().map_or(Ok(()), Err)
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
