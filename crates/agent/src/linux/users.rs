use std::ffi::CString;
use std::io;

use bascule_plan::User;
use nix::unistd::{self, Group};

use super::exec::tool;
use super::files::cannot;
use crate::system::{Finished, Result, UserEntry};

const TIMEOUT_MS: u64 = 60_000;

pub(super) fn lookup(name: &str) -> Result<Option<UserEntry>> {
    let failed = |errno: nix::errno::Errno| cannot("look up a user in", "/etc/passwd")(io::Error::from(errno));
    let Some(user) = unistd::User::from_name(name).map_err(failed)? else {
        return Ok(None);
    };
    // A name that was found holds no zero byte.
    let c_name = CString::new(name).unwrap_or_default();
    let group_name = |gid| -> Result<String> {
        let group = Group::from_gid(gid).map_err(failed)?;
        Ok(group.map_or_else(|| gid.to_string(), |group| group.name))
    };
    let groups = unistd::getgrouplist(&c_name, user.gid).map_err(failed)?;
    Ok(Some(UserEntry {
        primary_group: group_name(user.gid)?,
        home: user.dir.to_string_lossy().into_owned(),
        shell: user.shell.to_string_lossy().into_owned(),
        groups: groups.into_iter().map(group_name).collect::<Result<_>>()?,
    }))
}

pub(super) fn add(user: &User) -> Result<Finished> {
    let supplementary = user.groups.join(",");
    let mut argv = vec!["useradd", "--home-dir", &user.home, "--shell", &user.shell];
    argv.extend(if user.system { ["--system", "--no-create-home"].as_slice() } else { &["--create-home"] });
    // The group may be there from an earlier life of the user, or from a package.
    if group_exists(&user.name)? {
        argv.extend(["--gid", &user.name]);
    } else {
        argv.push("--user-group");
    }
    if !user.groups.is_empty() {
        argv.extend(["--groups", &supplementary]);
    }
    argv.extend(["--", &user.name]);
    tool(&argv, TIMEOUT_MS, &mut |_| ())
}

pub(super) fn change(user: &User) -> Result<Finished> {
    if !group_exists(&user.name)? {
        let kind = if user.system { ["--system"].as_slice() } else { &[] };
        let argv = [&["groupadd"], kind, &["--", &user.name]].concat();
        let finished = tool(&argv, TIMEOUT_MS, &mut |_| ())?;
        if !finished.success() {
            return Ok(finished);
        }
    }
    let supplementary = user.groups.join(",");
    let mut argv = vec!["usermod", "--home", &user.home, "--shell", &user.shell, "--gid", &user.name];
    if !user.groups.is_empty() {
        argv.extend(["--append", "--groups", &supplementary]);
    }
    argv.extend(["--", &user.name]);
    tool(&argv, TIMEOUT_MS, &mut |_| ())
}

fn group_exists(name: &str) -> Result<bool> {
    let group =
        Group::from_name(name).map_err(|errno| cannot("look up a group in", "/etc/group")(io::Error::from(errno)))?;
    Ok(group.is_some())
}
