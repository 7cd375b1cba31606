use std::collections::BTreeMap;

use super::disk::Disk;
use crate::system::{Finished, UnitStatus, UnitVerb};

/// Administrators' unit files come before packages'.
const UNIT_DIRS: [&str; 2] = ["/etc/systemd/system", "/usr/lib/systemd/system"];

/// What systemd and a test know of one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    pub(super) reads_at_start: Vec<String>,
    pub(super) reads_at_reload: Vec<String>,
    pub(super) fails: bool,
    pub(super) crash_loops: bool,
    /// It was started too often in a short time, and refuses until that is forgotten.
    pub(super) start_limit_hit: bool,
    pub(super) enabled: bool,
    pub(super) masked: bool,
    state: State,
    /// The unit file as systemd last read it.
    loaded: Option<Vec<u8>>,
    /// What the running unit read, by path; the unit file under its name.
    started_with: BTreeMap<String, Option<Vec<u8>>>,
    pub(super) starts: u64,
    /// When it was last started, by whomever.
    started_ms: u64,
    pub(super) reloads: u64,
    restarts: u64,
    log: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Active,
    #[default]
    Inactive,
    Failed,
}

impl Service {
    pub(super) fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Since when it has been up, where it is.
    pub(super) fn active_since_ms(&self) -> Option<u64> {
        self.is_active().then_some(self.started_ms)
    }

    /// Obeys an order, as `systemctl` would.
    pub(super) fn obey(&mut self, verb: UnitVerb, name: &str, disk: &Disk, now_ms: u64) -> Finished {
        let Some(file) = unit_file(name, disk) else {
            return match verb {
                UnitVerb::Mask => self.set_masked(true),
                _ => Finished::exited(5, format!("Unit {name} not found.\n")),
            };
        };
        let active = self.state == State::Active;
        match verb {
            UnitVerb::Start if active => done(),
            UnitVerb::Start | UnitVerb::Restart if self.masked => {
                Finished::exited(1, format!("Unit {name} is masked.\n"))
            }
            UnitVerb::Start | UnitVerb::Restart if self.start_limit_hit => {
                self.state = State::Failed;
                Finished::exited(1, format!("Job for {name} failed.\n"))
            }
            UnitVerb::Start | UnitVerb::Restart => self.start(name, file, disk, now_ms),
            UnitVerb::Stop => {
                self.state = State::Inactive;
                done()
            }
            UnitVerb::Reload if !active || self.fails => Finished::exited(1, format!("Job for {name} failed.\n")),
            UnitVerb::Reload => {
                self.reloads += 1;
                self.started_with.extend(snapshot(&self.reads_at_reload, disk));
                done()
            }
            UnitVerb::Enable => {
                self.enabled = true;
                done()
            }
            UnitVerb::Disable => {
                self.enabled = false;
                done()
            }
            UnitVerb::Mask => self.set_masked(true),
            UnitVerb::Unmask => self.set_masked(false),
            UnitVerb::ResetFailed => {
                self.start_limit_hit = false;
                if self.state == State::Failed {
                    self.state = State::Inactive;
                }
                done()
            }
        }
    }

    /// The order to read unit files again.
    pub(super) fn reload_file(&mut self, name: &str, disk: &Disk) {
        self.loaded = unit_file(name, disk);
    }

    pub(super) fn status(&mut self, name: &str, disk: &Disk) -> UnitStatus {
        let file = unit_file(name, disk);
        let load = match &file {
            _ if self.masked => "masked",
            None => "not-found",
            Some(_) => "loaded",
        };
        let says = |words| file.as_ref().is_some_and(|file| String::from_utf8_lossy(file).contains(words));
        let installable = says("[Install]");
        let enabled = match (self.masked, file.is_some(), installable, self.enabled) {
            (true, ..) => "masked",
            (_, false, ..) => "",
            (_, _, false, _) => "static",
            (.., true) => "enabled",
            (.., false) => "disabled",
        };
        let (active, sub, result) = match self.state {
            State::Active if self.crash_loops => {
                // Each look finds it a restart further.
                self.restarts += 1;
                ("activating", "auto-restart", "exit-code")
            }
            State::Active => ("active", "running", "success"),
            State::Inactive => ("inactive", "dead", "success"),
            State::Failed if self.start_limit_hit => ("failed", "failed", "start-limit-hit"),
            State::Failed => ("failed", "failed", "exit-code"),
        };
        UnitStatus {
            load: load.to_owned(),
            active: active.to_owned(),
            sub: sub.to_owned(),
            enabled: enabled.to_owned(),
            result: result.to_owned(),
            needs_daemon_reload: self.loaded.is_some() && self.loaded != file,
            restarts: self.restarts,
            says_ready: says("Type=notify"),
        }
    }

    pub(super) fn die(&mut self) {
        self.state = State::Failed;
        self.log.push("died".to_owned());
    }

    pub(super) fn runs_current(&self, name: &str, disk: &Disk) -> bool {
        let mut reads = snapshot(&self.reads_at_start, disk);
        reads.extend(snapshot(&self.reads_at_reload, disk));
        reads.insert(name.to_owned(), unit_file(name, disk));
        self.state == State::Active && !self.crash_loops && self.started_with == reads
    }

    /// A boot: nothing runs, then what is enabled starts.
    pub(super) fn boot(&mut self, name: &str, disk: &Disk, now_ms: u64) {
        self.state = State::Inactive;
        self.loaded = None;
        if let Some(file) = unit_file(name, disk).filter(|_| self.enabled && !self.masked) {
            self.start(name, file, disk, now_ms);
        }
    }

    pub(super) fn log(&self, lines: usize) -> Vec<String> {
        self.log[self.log.len().saturating_sub(lines)..].to_vec()
    }

    fn start(&mut self, name: &str, file: Vec<u8>, disk: &Disk, now_ms: u64) -> Finished {
        self.starts += 1;
        self.restarts = 0;
        self.started_ms = now_ms;
        if self.fails {
            self.state = State::Failed;
            self.log.push("cannot start: exit code 1".to_owned());
            return Finished::exited(
                1,
                format!("Job for {name} failed because the control process exited with error code.\n"),
            );
        }
        self.state = State::Active;
        self.log.push("started".to_owned());
        self.started_with = snapshot(&self.reads_at_start, disk);
        self.started_with.extend(snapshot(&self.reads_at_reload, disk));
        let loaded = self.loaded.get_or_insert(file).clone();
        self.started_with.insert(name.to_owned(), Some(loaded));
        done()
    }

    fn set_masked(&mut self, masked: bool) -> Finished {
        self.masked = masked;
        done()
    }
}

/// The file that defines a unit, its template's where it is an instance of one.
fn unit_file(name: &str, disk: &Disk) -> Option<Vec<u8>> {
    let template =
        name.split_once('@').zip(name.rsplit_once('.')).map(|((stem, _), (_, kind))| format!("{stem}@.{kind}"));
    let names = std::iter::once(name.to_owned()).chain(template);
    names.flat_map(|name| UNIT_DIRS.map(|dir| format!("{dir}/{name}"))).find_map(|path| disk.read(&path).ok())
}

fn snapshot(paths: &[String], disk: &Disk) -> BTreeMap<String, Option<Vec<u8>>> {
    paths.iter().map(|path| (path.clone(), disk.read(path).ok())).collect()
}

fn done() -> Finished {
    Finished::exited(0, "")
}
