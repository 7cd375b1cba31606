use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};

use bascule_plan::User;

pub type Result<T> = std::result::Result<T, SystemError>;

/// Called every few seconds during something long, with the last line it printed.
pub type Beat<'a> = &'a mut dyn FnMut(&str);

/// The few things that resources need of a machine. Paths are absolute.
///
/// Each method does one thing that either happened or did not, so that a fake can stop a run between any two of them.
pub trait System {
    /// What is at the path itself, without following a symlink there; `None` when there is nothing.
    fn metadata(&self, path: &str) -> Result<Option<Meta>>;
    fn open(&self, path: &str) -> Result<Box<dyn Read>>;
    /// The names in a directory, sorted.
    fn list(&self, path: &str) -> Result<Vec<String>>;
    /// Creates a file that must not exist. Owner and mode are set before anyone but root could open it; with `sync` the
    /// content is on the disk on return.
    fn write_new(&self, path: &str, content: &mut dyn Read, access: &Access, sync: bool) -> Result<()>;
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Makes what was created, renamed and removed in a directory last.
    fn sync_dir(&self, path: &str) -> Result<()>;
    /// Makes everything on the file system that holds the path last.
    fn sync_fs(&self, path: &str) -> Result<()>;
    fn symlink(&self, target: &str, path: &str) -> Result<()>;
    /// Removes a file, a symlink or a whole directory; nothing there is fine.
    fn remove(&self, path: &str) -> Result<()>;
    /// Creates one directory, owned by root.
    fn make_dir(&self, path: &str, mode: u32) -> Result<()>;
    /// Sets owner, group and mode.
    fn set_access(&self, path: &str, access: &Access) -> Result<()>;

    /// Runs a command in a clean environment; past its time it is killed with its whole process group.
    fn run(&self, exec: &Exec<'_>, beat: Beat<'_>) -> Result<Finished>;

    /// The state of units, in the order of the names.
    fn units(&self, names: &[&str]) -> Result<Vec<UnitStatus>>;
    fn systemctl(&self, verb: UnitVerb, unit: &str, beat: Beat<'_>) -> Result<Finished>;
    fn daemon_reload(&self) -> Result<Finished>;
    /// `systemctl status` in short, for a person.
    fn unit_status_text(&self, unit: &str) -> String;
    /// The last log lines of a unit, oldest first.
    fn unit_log(&self, unit: &str, lines: usize) -> Vec<String>;

    /// The packages that are fully installed, with their versions.
    fn installed_packages(&self) -> Result<BTreeMap<String, String>>;
    /// Whether another apt or dpkg is at work.
    fn dpkg_locked(&self) -> Result<bool>;
    /// Whether dpkg was interrupted and must be told to finish first.
    fn dpkg_interrupted(&self) -> Result<bool>;
    /// Whether the archive's package lists were ever fetched.
    fn apt_has_lists(&self) -> Result<bool>;
    fn apt(&self, action: Apt<'_>, beat: Beat<'_>) -> Result<Finished>;

    fn user(&self, name: &str) -> Result<Option<UserEntry>>;
    fn add_user(&self, user: &User) -> Result<Finished>;
    /// Sets home, shell and primary group, and adds the supplementary groups.
    fn change_user(&self, user: &User) -> Result<Finished>;

    /// The runtime value of a kernel setting; `None` when the kernel has no such setting.
    fn sysctl(&self, key: &str) -> Result<Option<String>>;
    fn set_sysctl(&self, key: &str, value: &str) -> Result<()>;

    /// `GET`, no redirect followed, no proxy used. The error says what went wrong, for a person.
    fn http_get(&self, url: &str, timeout_ms: u64) -> std::result::Result<HttpAnswer, String>;
    fn tcp_connect(&self, address: &str, timeout_ms: u64) -> std::result::Result<(), String>;

    /// Takes the lock that keeps two agents from applying at once, until this value is dropped. False: it is taken.
    fn try_lock(&self) -> Result<bool>;
    /// Milliseconds on a clock that never goes back.
    fn now_ms(&self) -> u64;
    /// The time of day: seconds since 1970 began, UTC.
    fn unix_s(&self) -> u64;
    fn sleep_ms(&self, ms: u64);

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.open(path)?.read_to_end(&mut bytes);
        read.map_err(|source| SystemError::File { action: "read", path: path.to_owned(), source })?;
        Ok(bytes)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error("cannot {action} {path}")]
    File { action: &'static str, path: String, source: io::Error },
    #[error("cannot run {program}")]
    Run { program: String, source: io::Error },
    #[error("there is no {what} {name}")]
    Unknown { what: &'static str, name: String },
    /// A tool the agent needs an answer from gave none.
    #[error("{program} {ending}: {output}")]
    NoAnswer { program: String, ending: Ending, output: String },
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub kind: Kind,
    pub access: Access,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink {
        target: String,
    },
    /// A device, a socket, a pipe.
    Other,
}

/// Who owns a file and what others may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// User name, or the number of a user that has no name.
    pub owner: String,
    pub group: String,
    /// Permission bits, e.g. `0o750`.
    pub mode: u32,
}

impl Access {
    pub fn root(mode: u32) -> Self {
        Self { owner: "root".to_owned(), group: "root".to_owned(), mode }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {:04o}", self.owner, self.group, self.mode)
    }
}

/// A command to run.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    pub argv: &'a [String],
    /// Added to `PATH`, `HOME` and `LANG`.
    pub env: &'a BTreeMap<String, String>,
    pub timeout_ms: u64,
}

/// How a command ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub ending: Ending,
    /// The last lines of standard output and error together, whole lines, at most 4 KiB.
    pub output: String,
}

impl Finished {
    pub fn exited(code: i32, output: impl Into<String>) -> Self {
        Self { ending: Ending::Exited(code), output: output.into() }
    }

    pub fn success(&self) -> bool {
        self.ending == Ending::Exited(0)
    }

    /// The last line that says something, or how it ended.
    pub fn last_line(&self) -> String {
        let line = self.output.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.map_or_else(|| self.ending.to_string(), str::to_owned)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exited(i32),
    Signalled(i32),
    TimedOut { timeout_ms: u64 },
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signalled(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut { timeout_ms } => write!(f, "did not end within {timeout_ms} ms and was killed"),
        }
    }
}

/// The properties of a unit that matter here, as systemd spells their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitStatus {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
    pub active: String,
    /// E.g. `running`, `dead`, `auto-restart`.
    pub sub: String,
    /// `enabled`, `disabled`, `static`, `masked`…; empty when there is no unit file.
    pub enabled: String,
    /// `success`, or how the unit last failed.
    pub result: String,
    /// The unit file on the disk is newer than what systemd holds.
    pub needs_daemon_reload: bool,
    /// How often systemd restarted it by itself.
    pub restarts: u64,
    /// Systemd calls it active only when it said itself, or showed, that it is ready (`Type=notify`, `forking`…), and not
    /// as soon as it was forked.
    pub says_ready: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitVerb {
    Start,
    Stop,
    Restart,
    Reload,
    Enable,
    Disable,
    Mask,
    Unmask,
    ResetFailed,
}

impl UnitVerb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Mask => "mask",
            Self::Unmask => "unmask",
            Self::ResetFailed => "reset-failed",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Apt<'a> {
    /// Fetches the package lists.
    Update,
    Install(&'a [String]),
    /// Finishes what an interrupted dpkg left half done.
    Configure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    pub primary_group: String,
    pub home: String,
    pub shell: String,
    /// All groups, the primary one included.
    pub groups: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// At most the first MiB.
    pub body: String,
}
