use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Group, Uid, User};

use crate::system::{Access, Kind, Meta, Result, SystemError};

/// Turns an I/O error into one that says what could not be done to which path.
pub(super) fn cannot(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> SystemError + use<> {
    let path = path.to_owned();
    move |source| SystemError::File { action, path, source }
}

pub(super) fn metadata(path: &str) -> Result<Option<Meta>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        // A file where a directory should be above it: then there is nothing at this path either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(cannot("look at", path)(error)),
    };
    let kind = match meta.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => {
            let target = fs::read_link(path).map_err(cannot("read", path))?;
            Kind::Symlink { target: target.to_string_lossy().into_owned() }
        }
        _ => Kind::Other,
    };
    let access = Access { owner: user_name(meta.uid())?, group: group_name(meta.gid())?, mode: meta.mode() & 0o7777 };
    Ok(Some(Meta { kind, access }))
}

pub(super) fn list(path: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot("list", path))? {
        names.push(entry.map_err(cannot("list", path))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

pub(super) fn write_new(path: &str, content: &mut dyn Read, access: &Access, sync: bool) -> Result<()> {
    let (uid, gid) = ids(access)?;
    let mut write = || -> io::Result<()> {
        // `create_new` follows no symlink and takes no file that somebody put there first.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        nix::unistd::fchown(&file, Some(uid), Some(gid))?;
        io::copy(content, &mut file)?;
        file.set_permissions(Permissions::from_mode(access.mode))?;
        if sync { file.sync_all() } else { Ok(()) }
    };
    write().map_err(cannot("write", path))
}

pub(super) fn remove(path: &str) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn make_dir(path: &str, mode: u32) -> Result<()> {
    let made = DirBuilder::new().mode(0o700).create(path);
    // Set apart, for the process's umask takes bits away.
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode))).map_err(cannot("create", path))
}

pub(super) fn set_access(path: &str, access: &Access) -> Result<()> {
    let (uid, gid) = ids(access)?;
    let set = || -> io::Result<()> {
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
        nix::unistd::fchown(&file, Some(uid), Some(gid))?;
        // After the owner: a change of owner clears set-id bits.
        file.set_permissions(Permissions::from_mode(access.mode))?;
        file.sync_all()
    };
    set().map_err(cannot("set owner and mode of", path))
}

/// As `sysctl` has it: dots separate, unless the first separator is a slash.
pub(super) fn sysctl_path(key: &str) -> String {
    let dots_separate = key.find(['.', '/']).is_none_or(|at| key.as_bytes()[at] == b'.');
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let relative: String = if dots_separate { key.chars().map(swap).collect() } else { key.to_owned() };
    Path::new("/proc/sys").join(relative).to_string_lossy().into_owned()
}

fn ids(access: &Access) -> Result<(Uid, Gid)> {
    let unknown = |what, name: &str| SystemError::Unknown { what, name: name.to_owned() };
    let uid = match User::from_name(&access.owner).map_err(|errno| cannot("read", "/etc/passwd")(errno.into()))? {
        Some(user) => user.uid,
        None => Uid::from_raw(access.owner.parse().map_err(|_| unknown("user", &access.owner))?),
    };
    let gid = match Group::from_name(&access.group).map_err(|errno| cannot("read", "/etc/group")(errno.into()))? {
        Some(group) => group.gid,
        None => Gid::from_raw(access.group.parse().map_err(|_| unknown("group", &access.group))?),
    };
    Ok((uid, gid))
}

fn user_name(uid: u32) -> Result<String> {
    let user = User::from_uid(Uid::from_raw(uid)).map_err(|errno| cannot("read", "/etc/passwd")(errno.into()))?;
    Ok(user.map_or_else(|| uid.to_string(), |user| user.name))
}

fn group_name(gid: u32) -> Result<String> {
    let group = Group::from_gid(Gid::from_raw(gid)).map_err(|errno| cannot("read", "/etc/group")(errno.into()))?;
    Ok(group.map_or_else(|| gid.to_string(), |group| group.name))
}
