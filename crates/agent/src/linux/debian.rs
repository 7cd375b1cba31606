use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::exec;
use super::files::cannot;
use crate::system::{Apt, Beat, Exec, Finished, Result};

const STATUS_FILE: &str = "/var/lib/dpkg/status";
/// Not empty after dpkg was killed, in the words of its own documentation.
const UPDATES_DIR: &str = "/var/lib/dpkg/updates";
const LOCK_FILE: &str = "/var/lib/dpkg/lock-frontend";
const LISTS_DIR: &str = "/var/lib/apt/lists";
const UPDATE_TIMEOUT_MS: u64 = 5 * 60_000;
const INSTALL_TIMEOUT_MS: u64 = 30 * 60_000;

pub(super) fn installed() -> Result<BTreeMap<String, String>> {
    let status = fs::read_to_string(STATUS_FILE).map_err(cannot("read", STATUS_FILE))?;
    let whole = packages(&status).filter(|package| package.status.ends_with(" ok installed"));
    Ok(whole.map(|package| (package.name.to_owned(), package.version.to_owned())).collect())
}

/// Asks the kernel who holds the lock that apt and dpkg take first; takes none itself.
pub(super) fn locked() -> Result<bool> {
    let file = match File::options().read(true).write(true).open(LOCK_FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(cannot("open", LOCK_FILE)(error)),
    };
    let whole_file = |kind: i32| libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))
        .map_err(|errno| cannot("ask for the lock of", LOCK_FILE)(errno.into()))?;
    Ok(lock.l_type != whole_file(libc::F_UNLCK).l_type)
}

pub(super) fn interrupted() -> Result<bool> {
    let half_done = |state: &str| {
        ["half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"]
            .iter()
            .any(|half| state.ends_with(half))
    };
    let status = fs::read_to_string(STATUS_FILE).map_err(cannot("read", STATUS_FILE))?;
    Ok(!is_empty(UPDATES_DIR)? || packages(&status).any(|package| half_done(package.status)))
}

pub(super) fn has_lists() -> Result<bool> {
    match fs::read_dir(LISTS_DIR) {
        Ok(mut entries) => {
            Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().contains("Packages"))))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("list", LISTS_DIR)(error)),
    }
}

pub(super) fn apt(action: Apt<'_>, beat: Beat<'_>) -> Result<Finished> {
    // An operator's configuration file is never overwritten, and nobody is asked. The lock may be held by the
    // unattended upgrades, or by an apt that a killed agent left behind.
    let apt_get = ["apt-get", "--yes", "--quiet", "-o", "DPkg::Lock::Timeout=300"];
    let keep = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"];
    let mut argv: Vec<String> = Vec::new();
    let mut push = |words: &[&str]| argv.extend(words.iter().map(|&word| word.to_owned()));
    let timeout_ms = match action {
        Apt::Update => {
            push(&apt_get);
            push(&["update"]);
            UPDATE_TIMEOUT_MS
        }
        Apt::Install(names) => {
            push(&apt_get);
            push(&keep);
            push(&["install", "--no-install-recommends", "--"]);
            argv.extend(names.iter().cloned());
            INSTALL_TIMEOUT_MS
        }
        Apt::Configure => {
            push(&["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"]);
            INSTALL_TIMEOUT_MS
        }
    };
    let env = BTreeMap::from([("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())]);
    exec::run(&Exec { argv: &argv, env: &env, timeout_ms }, beat)
}

/// A package dpkg has heard of.
struct Package<'a> {
    name: &'a str,
    status: &'a str,
    /// Empty where it was never unpacked.
    version: &'a str,
}

fn packages(status: &str) -> impl Iterator<Item = Package<'_>> {
    status.split("\n\n").filter_map(|stanza| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let version = field("Version:").unwrap_or_default();
        Some(Package { name: field("Package:")?, status: field("Status:")?, version })
    })
}

fn is_empty(dir: &str) -> Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(cannot("list", dir)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_are_whole_count_as_installed() {
        let status = "Package: nginx\nStatus: install ok installed\n\nPackage: old\nStatus: deinstall ok config-files\n\n\
                      Package: torn\nStatus: install ok half-configured\n\nPackage: held\nStatus: hold ok installed\n";
        let whole: Vec<_> = packages(status)
            .filter(|package| package.status.ends_with(" ok installed"))
            .map(|package| package.name)
            .collect();
        assert_eq!(whole, ["nginx", "held"]);
    }
}
