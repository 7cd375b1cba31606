use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bascule_plan::agent::{Report, Request};

use super::Package;
use super::services::Service;
use super::world::World;
use crate::system::{Access, Finished, HttpAnswer, Meta};

/// A modelled machine; clones are handles to the same one. See the [module](super).
#[derive(Clone, Debug)]
pub struct Machine(Arc<Mutex<World>>);

/// What came of one call of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What it reported: everything, or what got out before it was killed.
    pub reports: Vec<Report>,
    pub killed: bool,
}

/// What unwinds through an agent that is killed.
pub(super) struct Killed;

impl Default for Machine {
    /// Bare: the usual directories, root, nothing else.
    fn default() -> Self {
        let machine = Self(Arc::new(Mutex::new(World::new())));
        for path in
            ["/etc/systemd/system", "/etc/sysctl.d", "/usr/lib/systemd/system", "/var/lib", "/run", "/opt", "/srv"]
        {
            machine.put_dir(path);
        }
        machine
    }
}

/// Running agents on it.
impl Machine {
    /// Runs the agent on one request, to its end or until it is killed.
    pub fn agent(&self, request: &Request) -> Run {
        let mut reports = Vec::new();
        let killed = self.agent_with(request, &mut |report| reports.push(report));
        Run { reports, killed }
    }

    /// [`Self::agent`], with each report as it comes. Says whether the agent was killed.
    pub fn agent_with(&self, request: &Request, report: &mut dyn FnMut(Report)) -> bool {
        let run = panic::catch_unwind(AssertUnwindSafe(|| crate::run(request, self, report)));
        self.world().changes_left = None;
        match run {
            Ok(()) => false,
            Err(payload) if payload.is::<Killed>() => true,
            // A test's own assertion, or a defect: not to be taken for a kill.
            Err(payload) => panic::resume_unwind(payload),
        }
    }

    /// Kills the next agent before it makes its change number `n`, counted from 0.
    pub fn kill_after(&self, n: u64) {
        self.world().changes_left = Some(n);
    }

    /// What an agent does before it waits for its turn: later agents of older generations find themselves overtaken.
    pub fn announce(&self, generation: Option<u64>) {
        // Who is overtaken itself hears so with its first step.
        let _ = crate::generation::announce(self, generation);
    }

    /// Its clock goes on to this moment, unless it is past it already.
    pub fn advance_to_ms(&self, ms: u64) {
        let mut world = self.world();
        world.now_ms = world.now_ms.max(ms);
    }

    /// Its disk says from now on that it has synced, and has not: it is for planting bugs.
    pub fn lies_about_syncs(&self) {
        self.world().disk.lies_about_syncs();
    }

    /// Another apt is at work for so long from now.
    pub fn apt_busy_for_ms(&self, ms: u64) {
        let mut world = self.world();
        world.apt_locked_until_ms = world.now_ms + ms;
    }

    /// An agent of an earlier run holds the lock for so long from now.
    pub fn busy_for_ms(&self, ms: u64) {
        let mut world = self.world();
        world.locked_until_ms = world.now_ms + ms;
    }
}

/// Making it what a test needs, and asking what became of it. None of this counts as a change by the agent.
impl Machine {
    /// A file owned by root, mode 0644, safely on the disk; its directories are made.
    pub fn put_file(&self, path: &str, content: impl AsRef<[u8]>) {
        self.put_dir(crate::place::parent(path));
        let put = self.edit(path, |world| {
            if world.disk.metadata(path).is_none() {
                world.disk.create(path, &Access::root(0o644))?;
            }
            world.disk.fill(path, content.as_ref(), true)
        });
        assert!(put.is_ok(), "cannot put the file {path}: {put:?}");
    }

    pub fn put_dir(&self, path: &str) {
        if self.metadata_of(path).is_none() {
            self.put_dir(crate::place::parent(path));
            let made = self.edit(path, |world| world.disk.make_dir(path, &Access::root(0o755)));
            assert!(made.is_ok(), "cannot put the directory {path}: {made:?}");
        }
    }

    pub fn put_symlink(&self, target: &str, path: &str) {
        self.put_dir(crate::place::parent(path));
        let put = self.edit(path, |world| world.disk.symlink(target, path));
        assert!(put.is_ok(), "cannot put the symlink {path}: {put:?}");
    }

    pub fn put_device(&self, path: &str) {
        let put = self.edit(path, |world| world.disk.device(path));
        assert!(put.is_ok(), "cannot put the device {path}: {put:?}");
    }

    pub fn remove_path(&self, path: &str) {
        let removed = self.edit(path, |world| world.disk.remove(path));
        assert!(removed.is_ok(), "cannot remove {path}: {removed:?}");
    }

    /// A file's content, through symlinks; `None` where there is no file.
    pub fn content(&self, path: &str) -> Option<String> {
        self.world().disk.read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub fn metadata_of(&self, path: &str) -> Option<Meta> {
        self.world().disk.metadata(path)
    }

    /// Every path below one, sorted; symlinks are not followed.
    pub fn paths_below(&self, path: &str) -> Vec<String> {
        self.world().disk.walk(path)
    }

    /// What the package manager finds under a name.
    pub fn provide(&self, name: &str, package: Package) {
        self.world().provided.insert(name.to_owned(), package);
    }

    /// From now on, the package manager finds nothing under a name.
    pub fn withhold(&self, name: &str) {
        self.world().withheld.insert(name.to_owned());
    }

    /// What was withheld is found again.
    pub fn offer(&self, name: &str) {
        self.world().withheld.remove(name);
    }

    /// Whether the package manager finds something under a name.
    pub fn offers(&self, name: &str) -> bool {
        !self.world().withheld.contains(name)
    }

    pub fn has_package(&self, name: &str) -> bool {
        self.world().installed.contains(name)
    }

    pub fn has_user(&self, name: &str) -> bool {
        self.world().users.contains_key(name)
    }

    pub fn put_sysctl(&self, key: &str, value: &str) {
        self.world().sysctls.insert(key.to_owned(), (value.to_owned(), value.to_owned()));
    }

    pub fn sysctl_now(&self, key: &str) -> Option<String> {
        self.world().sysctls.get(key).map(|(_, now)| now.clone())
    }

    /// For a program's body: a point in its middle at which it may be killed, together with its agent.
    pub fn may_be_killed(&self) {
        drop(self.change());
    }

    /// Gives a program a body, by its `argv[0]`. It may use the machine as a test does.
    pub fn on_command(&self, program: &str, body: impl Fn(&Self, &[String]) -> Finished + Send + Sync + 'static) {
        self.world().on_command.insert(program.to_owned(), Arc::new(body));
    }

    /// Answers `GET` of any URL.
    pub fn on_http(&self, body: impl Fn(&Self, &str) -> Result<HttpAnswer, String> + Send + Sync + 'static) {
        self.world().on_http = Some(Arc::new(body));
    }

    /// Answers a connection to any `host:port`.
    pub fn on_tcp(&self, body: impl Fn(&Self, &str) -> Result<(), String> + Send + Sync + 'static) {
        self.world().on_tcp = Some(Arc::new(body));
    }

    /// Says which files a unit reads when it starts, and which also when it reloads.
    pub fn unit_reads(&self, unit: &str, at_start: &[&str], at_reload: &[&str]) {
        let owned = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
        self.with_service(unit, |service| {
            service.reads_at_start = owned(at_start);
            service.reads_at_reload = owned(at_reload);
        });
    }

    /// From now on, starting or reloading the unit fails (or no longer does).
    pub fn unit_fails(&self, unit: &str, fails: bool) {
        self.with_service(unit, |service| service.fails = fails);
    }

    /// From now on, the unit starts, ends at once and is restarted by systemd, again and again.
    pub fn unit_crash_loops(&self, unit: &str, loops: bool) {
        self.with_service(unit, |service| service.crash_loops = loops);
    }

    /// The unit was started too often in a short time: systemd refuses until that is forgotten.
    pub fn unit_hits_start_limit(&self, unit: &str) {
        self.with_service(unit, |service| service.start_limit_hit = true);
    }

    /// The unit dies, and stays dead.
    pub fn unit_dies(&self, unit: &str) {
        self.with_service(unit, Service::die);
    }

    /// Active and, as far as was said what it reads, running with what is on the disk now.
    pub fn runs_current(&self, unit: &str) -> bool {
        let world = self.world();
        world.services.get(unit).is_some_and(|service| service.runs_current(unit, &world.disk))
    }

    pub fn is_active(&self, unit: &str) -> bool {
        self.world().services.get(unit).is_some_and(Service::is_active)
    }

    /// Since when the unit has been active, on the machine's own clock.
    pub fn active_since_ms(&self, unit: &str) -> Option<u64> {
        self.world().services.get(unit).and_then(Service::active_since_ms)
    }

    /// How often the unit was started or restarted by an order, not by systemd itself.
    pub fn starts(&self, unit: &str) -> u64 {
        self.world().services.get(unit).map_or(0, |service| service.starts)
    }

    pub fn reloads(&self, unit: &str) -> u64 {
        self.world().services.get(unit).map_or(0, |service| service.reloads)
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        // A test that failed elsewhere must not hide its reason behind a poisoned lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, for one change by the agent: here it may be killed instead.
    pub(super) fn change(&self) -> MutexGuard<'_, World> {
        let mut world = self.world();
        match &mut world.changes_left {
            Some(0) => {
                drop(world);
                // Unwinds without a message: nobody panicked.
                panic::resume_unwind(Box::new(Killed));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        world
    }

    /// An edit is on the disk for good; what the agent left unsynced elsewhere stays so.
    fn edit(&self, path: &str, change: impl FnOnce(&mut World) -> io::Result<()>) -> io::Result<()> {
        let mut world = self.world();
        change(&mut world)?;
        world.disk.sync_dir(crate::place::parent(path))
    }

    fn with_service(&self, unit: &str, change: impl FnOnce(&mut Service)) {
        change(self.world().services.entry(unit.to_owned()).or_default());
    }
}
