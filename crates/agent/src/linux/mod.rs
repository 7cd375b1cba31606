//! The real machine.

mod debian;
mod exec;
mod files;
mod net;
mod systemd;
mod users;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bascule_plan::User;
use nix::fcntl::{Flock, FlockArg};

use crate::system::{
    Access, Apt, Beat, Exec, Finished, HttpAnswer, Meta, Result, System, SystemError, UnitStatus, UnitVerb, UserEntry,
};

const RUN_DIR: &str = "/run/bascule";
const LOCK_FILE: &str = "/run/bascule/agent.lock";

/// The Linux machine this process runs on: Debian with systemd.
#[derive(Debug)]
pub struct Linux {
    began: Instant,
    lock: RefCell<Option<Flock<File>>>,
}

impl Default for Linux {
    fn default() -> Self {
        Self { began: Instant::now(), lock: RefCell::new(None) }
    }
}

impl System for Linux {
    fn metadata(&self, path: &str) -> Result<Option<Meta>> {
        files::metadata(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read>> {
        let file = File::open(path).map_err(files::cannot("open", path))?;
        Ok(Box::new(file))
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        files::list(path)
    }

    fn write_new(&self, path: &str, content: &mut dyn Read, access: &Access, sync: bool) -> Result<()> {
        files::write_new(path, content, access, sync)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        std::fs::rename(from, to).map_err(files::cannot("rename something to", to))
    }

    fn sync_dir(&self, path: &str) -> Result<()> {
        File::open(path).and_then(|dir| dir.sync_all()).map_err(files::cannot("sync", path))
    }

    fn sync_fs(&self, path: &str) -> Result<()> {
        let dir = File::open(path).map_err(files::cannot("open", path))?;
        nix::unistd::syncfs(&dir).map_err(io::Error::from).map_err(files::cannot("sync the file system of", path))
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        std::os::unix::fs::symlink(target, path).map_err(files::cannot("create the symlink", path))
    }

    fn remove(&self, path: &str) -> Result<()> {
        files::remove(path)
    }

    fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        files::make_dir(path, mode)
    }

    fn set_access(&self, path: &str, access: &Access) -> Result<()> {
        files::set_access(path, access)
    }

    fn run(&self, exec: &Exec<'_>, beat: Beat<'_>) -> Result<Finished> {
        exec::run(exec, beat)
    }

    fn units(&self, names: &[&str]) -> Result<Vec<UnitStatus>> {
        systemd::units(names)
    }

    fn systemctl(&self, verb: UnitVerb, unit: &str, beat: Beat<'_>) -> Result<Finished> {
        systemd::systemctl(verb, unit, beat)
    }

    fn daemon_reload(&self) -> Result<Finished> {
        systemd::daemon_reload()
    }

    fn unit_status_text(&self, unit: &str) -> String {
        systemd::status_text(unit)
    }

    fn unit_log(&self, unit: &str, lines: usize) -> Vec<String> {
        systemd::log(unit, lines)
    }

    fn installed_packages(&self) -> Result<BTreeMap<String, String>> {
        debian::installed()
    }

    fn dpkg_locked(&self) -> Result<bool> {
        debian::locked()
    }

    fn dpkg_interrupted(&self) -> Result<bool> {
        debian::interrupted()
    }

    fn apt_has_lists(&self) -> Result<bool> {
        debian::has_lists()
    }

    fn apt(&self, action: Apt<'_>, beat: Beat<'_>) -> Result<Finished> {
        debian::apt(action, beat)
    }

    fn user(&self, name: &str) -> Result<Option<UserEntry>> {
        users::lookup(name)
    }

    fn add_user(&self, user: &User) -> Result<Finished> {
        users::add(user)
    }

    fn change_user(&self, user: &User) -> Result<Finished> {
        users::change(user)
    }

    fn sysctl(&self, key: &str) -> Result<Option<String>> {
        let path = files::sysctl_path(key);
        match std::fs::read_to_string(&path) {
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(files::cannot("read", &path)(error)),
        }
    }

    fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = files::sysctl_path(key);
        std::fs::write(&path, value).map_err(files::cannot("set", &path))
    }

    fn http_get(&self, url: &str, timeout_ms: u64) -> std::result::Result<HttpAnswer, String> {
        net::http_get(url, timeout_ms)
    }

    fn tcp_connect(&self, address: &str, timeout_ms: u64) -> std::result::Result<(), String> {
        net::tcp_connect(address, timeout_ms)
    }

    fn try_lock(&self) -> Result<bool> {
        std::fs::create_dir_all(RUN_DIR).map_err(files::cannot("create", RUN_DIR))?;
        let file = File::create(LOCK_FILE).map_err(files::cannot("open", LOCK_FILE))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => {
                *self.lock.borrow_mut() = Some(held);
                Ok(true)
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(false),
            Err((_, errno)) => {
                Err(SystemError::File { action: "lock", path: LOCK_FILE.to_owned(), source: errno.into() })
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "the machine's own clock, for what expires by it")]
    fn unix_s(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    fn sleep_ms(&self, ms: u64) {
        thread::sleep(Duration::from_millis(ms));
    }
}
