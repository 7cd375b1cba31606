use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::Machine;
use super::disk::Disk;
use super::services::Service;
use crate::system::{Finished, HttpAnswer, UserEntry};

/// What installing a package brings to a machine.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Files with their content, owned by root, mode 0644; their directories are made.
    pub files: Vec<(String, String)>,
    /// System users, each with a group of its name.
    pub users: Vec<String>,
    /// Units that, as Debian does it, are enabled and started at once. Their files are made where `files` has none.
    pub units: Vec<String>,
}

pub(super) type OnCommand = Arc<dyn Fn(&Machine, &[String]) -> Finished + Send + Sync>;
pub(super) type OnHttp = Arc<dyn Fn(&Machine, &str) -> Result<HttpAnswer, String> + Send + Sync>;
pub(super) type OnTcp = Arc<dyn Fn(&Machine, &str) -> Result<(), String> + Send + Sync>;

/// Everything there is on the machine.
pub(super) struct World {
    pub(super) disk: Disk,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) provided: BTreeMap<String, Package>,
    /// Packages that the package manager does not find.
    pub(super) withheld: BTreeSet<String>,
    pub(super) installed: BTreeSet<String>,
    /// Packages that are unpacked and not configured.
    pub(super) half_installed: BTreeSet<String>,
    pub(super) has_lists: bool,
    pub(super) users: BTreeMap<String, UserEntry>,
    pub(super) groups: BTreeSet<String>,
    /// Kernel settings: the value at boot, and the value now.
    pub(super) sysctls: BTreeMap<String, (String, String)>,
    pub(super) on_command: BTreeMap<String, OnCommand>,
    pub(super) on_http: Option<OnHttp>,
    pub(super) on_tcp: Option<OnTcp>,
    pub(super) now_ms: u64,
    /// Until when an agent of an earlier run holds the lock.
    pub(super) locked_until_ms: u64,
    /// Until when another apt is at work.
    pub(super) apt_locked_until_ms: u64,
    /// How many more changes the agent may make before it dies.
    pub(super) changes_left: Option<u64>,
}

impl World {
    pub(super) fn new() -> Self {
        let root = UserEntry {
            primary_group: "root".to_owned(),
            home: "/root".to_owned(),
            shell: "/bin/bash".to_owned(),
            groups: BTreeSet::from(["root".to_owned()]),
        };
        Self {
            disk: Disk::new(),
            services: BTreeMap::new(),
            provided: BTreeMap::new(),
            withheld: BTreeSet::new(),
            installed: BTreeSet::new(),
            half_installed: BTreeSet::new(),
            has_lists: false,
            users: BTreeMap::from([("root".to_owned(), root)]),
            groups: BTreeSet::from(["root".to_owned()]),
            sysctls: BTreeMap::new(),
            on_command: BTreeMap::new(),
            on_http: None,
            on_tcp: None,
            now_ms: 0,
            locked_until_ms: 0,
            apt_locked_until_ms: 0,
            changes_left: None,
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("services", &self.services).field("now_ms", &self.now_ms).finish_non_exhaustive()
    }
}
