//! The steps of a role, and short ways to say the usual ones.

use std::collections::BTreeSet;

use bascule_plan::{
    Command, Content, Directory, File, LineItem, Milestone, OnTimeout, Packages, Probe, Resource, Secret, Step,
    Symlink, Sysctl, Unit, UnitState, Wait,
};

/// Where the platform's own small programs are put on an instance.
const SCRIPT_DIR: &str = "/usr/local/lib/bascule";

/// A group of steps, e.g. `common/ssh`, in the order in which they are done.
#[derive(Debug)]
pub(crate) struct Group {
    name: &'static str,
    items: Vec<LineItem>,
}

impl Group {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, items: Vec::new() }
    }

    pub(crate) fn into_items(self) -> Vec<LineItem> {
        self.items
    }

    /// Adds a step; its id is the group's name and the given one.
    pub(crate) fn step(&mut self, id: impl AsRef<str>, title: impl Into<String>, resource: Resource) {
        let id = format!("{}/{}", self.name, id.as_ref());
        self.items.push(LineItem::Step(Step { id, title: title.into(), resource }));
    }

    pub(crate) fn take(&mut self, lease: &str) {
        self.items.push(LineItem::Take(lease.to_owned()));
    }

    pub(crate) fn release(&mut self, lease: &str) {
        self.items.push(LineItem::Release(lease.to_owned()));
    }

    pub(crate) fn reach(&mut self, milestone: Milestone) {
        self.items.push(LineItem::Reach(milestone));
    }

    pub(crate) fn wait_for(&mut self, milestone: Milestone) {
        self.items.push(LineItem::Await(milestone));
    }

    /// The same for the sake of later steps of this group, of which the ids are given: where they are right, nobody is
    /// waited for.
    pub(crate) fn wait_for_the_sake_of(&mut self, steps: &[&str], milestone: Milestone) {
        let steps = steps.iter().map(|step| format!("{}/{step}", self.name)).collect();
        self.items.push(LineItem::AwaitFor { milestone, steps });
    }

    pub(crate) fn packages(&mut self, title: &str, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.step("packages", title, Resource::Packages(Packages { names }));
    }

    /// Puts programs of the platform in place; steps after this one may call them by [`script_path`].
    pub(crate) fn scripts(&mut self, scripts: &[(&'static str, &'static str)]) {
        for (name, text) in scripts {
            self.step(format!("script-{name}"), format!("put the program {name} in place"), script(name, text));
        }
    }
}

/// The packages that a line's steps install, which is what its image holds already.
pub(crate) fn packages_of(items: &[LineItem]) -> BTreeSet<String> {
    let names = |item: &LineItem| match item {
        LineItem::Step(Step { resource: Resource::Packages(packages), .. }) => packages.names.clone(),
        _ => Vec::new(),
    };
    items.iter().flat_map(names).collect()
}

pub(crate) fn script_path(name: &str) -> String {
    format!("{SCRIPT_DIR}/{name}")
}

fn script(name: &str, text: &str) -> Resource {
    file(script_path(name), 0o755, text)
}

/// A file of root's.
pub(crate) fn file(path: impl Into<String>, mode: u32, text: impl Into<String>) -> Resource {
    validated(path, mode, text, &[])
}

/// A file of root's that a program has to accept first; `{}` among the program's arguments is the file.
pub(crate) fn validated(path: impl Into<String>, mode: u32, text: impl Into<String>, validate: &[&str]) -> Resource {
    Resource::File(File {
        path: path.into(),
        content: Content::Text(text.into()),
        owner: "root".into(),
        group: "root".into(),
        mode,
        validate: strings(validate),
    })
}

pub(crate) fn secret_file(path: impl Into<String>, secret: Secret) -> Resource {
    Resource::File(File {
        path: path.into(),
        content: Content::Secret(secret),
        owner: "root".into(),
        group: "root".into(),
        mode: 0o600,
        validate: Vec::new(),
    })
}

/// A directory of root's.
pub(crate) fn directory(path: impl Into<String>, mode: u32) -> Resource {
    Resource::Directory(Directory { path: path.into(), owner: "root".into(), group: "root".into(), mode })
}

pub(crate) fn symlink(path: impl Into<String>, target: impl Into<String>) -> Resource {
    Resource::Symlink(Symlink { path: path.into(), target: target.into() })
}

pub(crate) fn sysctl(key: &str, value: &str) -> Resource {
    Resource::Sysctl(Sysctl { key: key.into(), value: value.into() })
}

/// A unit that runs, restarts when `inputs` changed and reloads when `reload_inputs` did.
pub(crate) fn running(name: impl Into<String>, inputs: &[&str], reload_inputs: &[&str]) -> Resource {
    Resource::Unit(Unit {
        name: name.into(),
        state: UnitState::Running,
        inputs: strings(inputs),
        reload_inputs: strings(reload_inputs),
    })
}

pub(crate) fn command(argv: &[&str], unless: &[&str], timeout_ms: u64) -> Resource {
    command_on(argv, unless, &[], timeout_ms)
}

/// A command whose check looks at these paths, which steps above it may change.
pub(crate) fn command_on(argv: &[&str], unless: &[&str], reads: &[&str], timeout_ms: u64) -> Resource {
    Resource::Command(Command {
        argv: strings(argv),
        unless: strings(unless),
        reads: strings(reads),
        env: std::collections::BTreeMap::new(),
        timeout_ms,
    })
}

/// Waits for an answer, and fails without one.
pub(crate) fn wait(probe: Probe, unit: Option<&str>, timeout_ms: u64) -> Resource {
    Resource::Wait(Wait {
        probe,
        timeout_ms,
        interval_ms: 100,
        unit: unit.map(str::to_owned),
        on_timeout: OnTimeout::Fail,
    })
}

/// Waits for an answer, and goes on without one.
pub(crate) fn linger(probe: Probe, timeout_ms: u64) -> Resource {
    Resource::Wait(Wait { probe, timeout_ms, interval_ms: 500, unit: None, on_timeout: OnTimeout::GoOn })
}

pub(crate) fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
