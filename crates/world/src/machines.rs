//! The modelled machines behind the names, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use async_trait::async_trait;
use bascule_agent::fake::Machine;
use bascule_incus::fake::{Command, FakeExit, Handler};
use bascule_incus::{Exited, FileKind, Image, InstanceFile, StopMode};
use bascule_plan::agent::{Mode, Request};
use bascule_plan::{Packages, Resource, Step};
use bascule_roles::HostFacts;
use bascule_spec::Platform;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::bare;
use crate::behaviour::Model;
use crate::chaos::Chaos;
use crate::time::Time;
use crate::watch::Watch;

#[derive(Debug)]
pub(crate) struct Machines {
    pub(crate) model: Model,
    pub(crate) time: Time,
    pub(crate) chaos: Arc<Chaos>,
    /// Looks at the world after everything that happens in it.
    pub(crate) watch: OnceLock<Weak<Watch>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    machines: BTreeMap<String, Host>,
    /// The packages in an image, by its fingerprint.
    images: BTreeMap<String, BTreeSet<String>>,
    /// How often a machine of this name was made, started or stopped: what ran on it before runs no more.
    turns: BTreeMap<String, u64>,
    /// Machines on which an agent is at work: it holds the lock.
    busy: BTreeSet<String>,
    /// How many agents apply something, or wait for their turn to.
    applying: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) machine: Machine,
    pub(crate) running: bool,
    packages: BTreeSet<String>,
    /// Where programs of the agent were put.
    programs: BTreeSet<String>,
}

impl Machines {
    pub(crate) fn new(platform: &Platform, warm_up_ms: u64, chaos: Arc<Chaos>) -> Arc<Self> {
        Arc::new_cyclic(|machines| Self {
            model: Model::new(platform, machines.clone(), warm_up_ms),
            time: Time::begin(),
            chaos,
            watch: OnceLock::new(),
            state: Mutex::default(),
        })
    }

    pub(crate) fn host(&self, name: &str) -> Option<Host> {
        self.state().machines.get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().machines.keys().cloned().collect()
    }

    pub(crate) fn turn(&self, name: &str) -> u64 {
        self.state().turns.get(name).copied().unwrap_or_default()
    }

    /// The agent's lock on a machine, if it is free.
    pub(crate) fn applying(self: &Arc<Self>) -> Applying {
        self.state().applying += 1;
        Applying(self.clone())
    }

    /// Whether an agent is at work somewhere, of a run that is no more.
    pub(crate) fn has_left_behind(&self) -> bool {
        self.state().applying > 0
    }

    pub(crate) fn try_lock(self: &Arc<Self>, name: &str) -> Option<Busy> {
        let taken = self.state().busy.insert(name.to_owned());
        taken.then(|| Busy { machines: self.clone(), name: name.to_owned() })
    }

    /// The power goes and comes back at once: what was not synced is lost, as the seed decides.
    pub(crate) fn lose_power(&self, name: &str, seed: u64) {
        if let Some(host) = self.host(name) {
            self.next_turn(name);
            self.watch(|watch| watch.taken(name));
            host.machine.advance_to_ms(self.time.now_ms());
            host.machine.power_loss(seed);
            self.model.boot(&host.machine, name);
        }
    }

    pub(crate) fn look(&self) {
        self.watch(Watch::look);
    }

    fn watch(&self, tell: impl FnOnce(&Watch)) {
        if let Some(watch) = self.watch.get().and_then(Weak::upgrade) {
            tell(&watch);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_turn(&self, name: &str) {
        *self.state().turns.entry(name.to_owned()).or_default() += 1;
    }

    /// The platform's hosts, bare: they run, with an SSH server and nothing else.
    pub(crate) fn make_hosts(&self, facts: &BTreeMap<String, HostFacts>) {
        for (name, facts) in facts {
            let packages = bare::PACKAGES.map(str::to_owned).into();
            let host = Host { running: true, ..self.make(name, packages) };
            bare::furnish(&host.machine, facts);
            self.state().machines.insert(name.clone(), host);
        }
    }

    /// A machine with some packages, and nothing else.
    fn make(&self, name: &str, packages: BTreeSet<String>) -> Host {
        let machine = Machine::default();
        machine.advance_to_ms(self.time.now_ms());
        self.model.furnish(&machine, name);
        if !packages.is_empty() {
            let names = packages.iter().cloned().collect();
            let resource = Resource::Packages(Packages { names });
            let step = Step { id: "image".to_owned(), title: "be a clone".to_owned(), resource };
            let (secrets, certificates) = (BTreeMap::new(), BTreeMap::new());
            let request = Request { mode: Mode::Apply, generation: None, steps: vec![step], secrets, certificates };
            machine.agent(&request);
        }
        self.chaos.made(&machine);
        Host { machine, running: false, packages, programs: BTreeSet::new() }
    }

    /// Runs what the tool calls on a machine.
    pub(crate) async fn run(
        self: &Arc<Self>,
        name: &str,
        argv: &[String],
        stdin: &[u8],
        stdout: &mpsc::Sender<Bytes>,
    ) -> FakeExit {
        let Some(host) = self.host(name) else { return FakeExit::failed(1, "no such machine") };
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        match argv[..] {
            [program, "agent"] if host.programs.contains(program) => {
                crate::agent::serve(self, name, stdin, stdout).await
            }
            ["/bin/sh", _, script, _, path, ..] if script.contains("mv ") => {
                self.with(name, |host| host.programs.insert(path.to_owned()));
                FakeExit::ok("")
            }
            // Waiting for the boot, and forgetting what clones must not share: a modelled machine has booted and has none.
            ["/bin/sh", ..] => FakeExit::ok(""),
            _ => FakeExit { code: Exited::NOT_FOUND, ..FakeExit::default() },
        }
    }

    pub(crate) fn with<T>(&self, name: &str, change: impl FnOnce(&mut Host) -> T) -> Option<T> {
        self.state().machines.get_mut(name).map(change)
    }

    pub(crate) fn installed(&self, name: &str, packages: &Packages) {
        self.with(name, |host| host.packages.extend(packages.names.iter().cloned()));
    }
}

/// While it lives, an agent applies something, or waits for its turn to.
#[derive(Debug)]
pub(crate) struct Applying(Arc<Machines>);

impl Drop for Applying {
    fn drop(&mut self) {
        self.0.state().applying -= 1;
    }
}

/// While it lives, no other agent works on the machine.
#[derive(Debug)]
pub(crate) struct Busy {
    machines: Arc<Machines>,
    name: String,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.machines.state().busy.remove(&self.name);
    }
}

/// What Incus is given: it owns its handler, and an agent that outlives its call needs the machines, too.
#[derive(Debug)]
pub(crate) struct Below(pub(crate) Arc<Machines>);

#[async_trait]
impl Handler for Below {
    fn created(&self, _: &str, instance: &str, image: &Image) {
        let packages = self.0.state().images.get(&image.fingerprint).cloned().unwrap_or_default();
        let host = self.0.make(instance, packages);
        self.0.next_turn(instance);
        self.0.state().machines.insert(instance.to_owned(), host);
    }

    fn started(&self, _: &str, instance: &str) {
        self.0.next_turn(instance);
        self.0.with(instance, |host| host.running = true);
        if let Some(host) = self.0.host(instance) {
            host.machine.advance_to_ms(self.0.time.now_ms());
            host.machine.boots();
            self.0.model.boot(&host.machine, instance);
        }
    }

    fn stopped(&self, _: &str, instance: &str, mode: StopMode) {
        self.0.next_turn(instance);
        self.0.with(instance, |host| host.running = false);
        let Some(host) = self.0.host(instance) else { return };
        match mode {
            StopMode::Force => host.machine.loses_power(self.0.chaos.power_loss_seed()),
            StopMode::Graceful { .. } => host.machine.shuts_down(),
        }
    }

    fn rebuilt(&self, project: &str, instance: &str, image: &Image) {
        self.created(project, instance, image);
    }

    fn deleted(&self, _: &str, instance: &str) {
        self.0.next_turn(instance);
        self.0.state().machines.remove(instance);
    }

    fn published(&self, _: &str, instance: &str, image: &Image) {
        let packages = self.0.host(instance).map(|host| host.packages).unwrap_or_default();
        self.0.state().images.insert(image.fingerprint.clone(), packages);
    }

    async fn exec(&self, command: Command) -> FakeExit {
        self.0.run(&command.instance, &command.argv, &command.stdin, &command.stdout).await
    }

    fn push_file(&self, _: &str, instance: &str, path: &str, file: InstanceFile) -> Result<(), String> {
        let Some(host) = self.0.host(instance) else { return Err("no such machine".to_owned()) };
        match file.kind {
            FileKind::File(content) => host.machine.put_file(path, content),
            FileKind::Directory => host.machine.put_dir(path),
            FileKind::Symlink(target) => host.machine.put_symlink(&target, path),
        }
        Ok(())
    }
}
