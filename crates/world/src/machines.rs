use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bascule_agent::fake::Machine;
use bascule_incus::fake::{FakeExit, Handler};
use bascule_incus::{FileKind, Image, InstanceFile, StopMode};
use bascule_plan::agent::{Mode, Request};
use bascule_plan::{Packages, Resource, Step};
use bascule_spec::Platform;

use crate::behaviour::Model;

/// The modelled machines behind the names.
#[derive(Debug)]
pub(crate) struct Machines {
    state: Mutex<State>,
    model: Arc<Model>,
}

#[derive(Debug, Default)]
struct State {
    machines: BTreeMap<String, Host>,
    /// The packages in an image, by its fingerprint.
    images: BTreeMap<String, BTreeSet<String>>,
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
    pub(crate) fn new(platform: &Platform) -> Arc<Self> {
        Arc::new_cyclic(|machines| Self {
            state: Mutex::default(),
            model: Arc::new(Model::new(platform, machines.clone())),
        })
    }

    pub(crate) fn host(&self, name: &str) -> Option<Host> {
        self.state().machines.get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().machines.keys().cloned().collect()
    }

    pub(crate) fn make_sick(&self, commit: &str) {
        self.model.make_sick(commit);
    }

    pub(crate) fn front_door(&self, load_balancer: &str, path: &str) -> Result<String, String> {
        self.model.front_door(load_balancer, path)
    }

    pub(crate) fn runtime_map(&self, load_balancer: &str) -> Option<String> {
        self.model.runtime_map(load_balancer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A machine as an image's clone: its packages are there, nothing else.
    fn make(&self, name: &str, image: &Image) -> Host {
        let machine = Machine::default();
        let packages = self.state().images.get(&image.fingerprint).cloned().unwrap_or_default();
        self.model.furnish(&machine, name);
        if !packages.is_empty() {
            let names = packages.iter().cloned().collect();
            let resource = Resource::Packages(Packages { names });
            let step = Step { id: "image".to_owned(), title: "be a clone".to_owned(), resource };
            machine.agent(&Request {
                mode: Mode::Apply,
                generation: None,
                steps: vec![step],
                secrets: BTreeMap::new(),
            });
        }
        Host { machine, running: false, packages, programs: BTreeSet::new() }
    }

    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Host) -> T) -> Option<T> {
        self.state().machines.get_mut(name).map(change)
    }
}

impl Handler for Machines {
    fn created(&self, _: &str, instance: &str, image: &Image) {
        let host = self.make(instance, image);
        self.state().machines.insert(instance.to_owned(), host);
    }

    fn started(&self, _: &str, instance: &str) {
        self.with(instance, |host| host.running = true);
        if let Some(host) = self.host(instance) {
            self.model.boot(&host.machine, instance);
        }
    }

    fn stopped(&self, _: &str, instance: &str, mode: StopMode) {
        self.with(instance, |host| host.running = false);
        if let (StopMode::Force, Some(host)) = (mode, self.host(instance)) {
            host.machine.power_loss(0);
        }
    }

    fn rebuilt(&self, project: &str, instance: &str, image: &Image) {
        self.created(project, instance, image);
    }

    fn deleted(&self, _: &str, instance: &str) {
        self.state().machines.remove(instance);
    }

    fn published(&self, _: &str, instance: &str, image: &Image) {
        let packages = self.host(instance).map(|host| host.packages).unwrap_or_default();
        self.state().images.insert(image.fingerprint.clone(), packages);
    }

    fn exec(&self, _: &str, instance: &str, argv: &[String], stdin: Vec<u8>) -> FakeExit {
        let Some(host) = self.host(instance) else { return FakeExit::failed(1, "no such machine") };
        match argv {
            [program, mode] if mode == "agent" => {
                if !host.programs.contains(program) {
                    return FakeExit { code: bascule_incus::Exited::NOT_FOUND, ..FakeExit::default() };
                }
                self.agent(instance, &host, &stdin)
            }
            [shell, _, script, from, to, _] if shell == "/bin/sh" && script.contains("mv ") => {
                self.with(instance, |host| {
                    let brought = host.programs.remove(from);
                    host.programs.insert(if brought { to.clone() } else { from.clone() });
                });
                FakeExit::ok("")
            }
            // Waiting for the boot, and forgetting what clones must not share: a modelled machine has booted and has none.
            [shell, ..] if shell == "/bin/sh" => FakeExit::ok(""),
            _ => FakeExit { code: bascule_incus::Exited::NOT_FOUND, ..FakeExit::default() },
        }
    }

    fn push_file(&self, _: &str, instance: &str, path: &str, file: InstanceFile) -> Result<(), String> {
        let Some(host) = self.host(instance) else { return Err("no such machine".to_owned()) };
        match file.kind {
            FileKind::File(content) if path.contains("/agent-") => {
                drop(content);
                self.with(instance, |host| host.programs.insert(path.to_owned()));
            }
            FileKind::File(content) => host.machine.put_file(path, content),
            FileKind::Directory => host.machine.put_dir(path),
            FileKind::Symlink(target) => host.machine.put_symlink(&target, path),
        }
        Ok(())
    }
}

impl Machines {
    fn agent(&self, instance: &str, host: &Host, stdin: &[u8]) -> FakeExit {
        let Ok(request) = serde_json::from_slice::<Request>(stdin) else {
            return FakeExit::failed(2, "not a request");
        };
        let run = host.machine.agent(&request);
        if request.mode == Mode::Apply {
            for step in &request.steps {
                if let Resource::Packages(packages) = &step.resource {
                    self.with(instance, |host| host.packages.extend(packages.names.iter().cloned()));
                }
            }
        }
        let lines = run.reports.iter().filter_map(|report| serde_json::to_vec(report).ok());
        FakeExit::ok(lines.flat_map(|line| [line, b"\n".to_vec()].concat()).collect::<Vec<u8>>())
    }
}
