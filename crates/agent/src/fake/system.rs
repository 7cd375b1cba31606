use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use bascule_plan::User;

use super::Machine;
use super::world::World;
use crate::system::{
    Access, Apt, Beat, Exec, Finished, HttpAnswer, Meta, Result, System, SystemError, UnitStatus, UnitVerb, UserEntry,
};

/// The time of day at which every modelled machine begins, in seconds since 1970: in November 2023.
const BORN_S: u64 = 1_700_000_000;

impl System for Machine {
    fn metadata(&self, path: &str) -> Result<Option<Meta>> {
        Ok(self.world().disk.metadata(path))
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read>> {
        let content = self.world().disk.read(path).map_err(cannot("open", path))?;
        Ok(Box::new(Cursor::new(content)))
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        self.world().disk.list(path).map_err(cannot("list", path))
    }

    fn write_new(&self, path: &str, content: &mut dyn Read, access: &Access, sync: bool) -> Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(cannot("write", path))?;
        known(&self.world(), access)?;
        let closed = Access { mode: 0o600, ..access.clone() };
        self.change().disk.create(path, &closed).map_err(cannot("write", path))?;
        self.change().disk.fill(path, &bytes[..bytes.len() / 2], false).map_err(cannot("write", path))?;
        let mut world = self.change();
        world.disk.fill(path, &bytes, sync).map_err(cannot("write", path))?;
        world.disk.set_access(path, access).map_err(cannot("write", path))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.change().disk.rename(from, to).map_err(cannot("rename something to", to))
    }

    fn sync_dir(&self, path: &str) -> Result<()> {
        self.change().disk.sync_dir(path).map_err(cannot("sync", path))
    }

    fn sync_fs(&self, _: &str) -> Result<()> {
        self.change().disk.sync_all();
        Ok(())
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.change().disk.symlink(target, path).map_err(cannot("create the symlink", path))
    }

    fn remove(&self, path: &str) -> Result<()> {
        self.change().disk.remove(path).map_err(cannot("remove", path))
    }

    fn make_dir(&self, path: &str, mode: u32) -> Result<()> {
        self.change().disk.make_dir(path, &Access::root(mode)).map_err(cannot("create", path))
    }

    fn set_access(&self, path: &str, access: &Access) -> Result<()> {
        let mut world = self.change();
        known(&world, access)?;
        world.disk.set_access(path, access).map_err(cannot("set owner and mode of", path))
    }

    fn run(&self, exec: &Exec<'_>, _: Beat<'_>) -> Result<Finished> {
        let Some(program) = exec.argv.first() else {
            let source = std::io::ErrorKind::InvalidInput.into();
            return Err(SystemError::Run { program: String::new(), source });
        };
        // Its body uses the machine: the world must not be held meanwhile.
        let body = self.change().on_command.get(program).cloned();
        Ok(body.map_or_else(|| Finished::exited(0, ""), |body| body(self, exec.argv)))
    }

    fn units(&self, names: &[&str]) -> Result<Vec<UnitStatus>> {
        let mut world = self.world();
        let World { services, disk, .. } = &mut *world;
        Ok(names.iter().map(|&name| services.entry(name.to_owned()).or_default().status(name, disk)).collect())
    }

    fn systemctl(&self, verb: UnitVerb, unit: &str, _: Beat<'_>) -> Result<Finished> {
        let mut world = self.change();
        let World { services, disk, now_ms, .. } = &mut *world;
        Ok(services.entry(unit.to_owned()).or_default().obey(verb, unit, disk, *now_ms))
    }

    fn daemon_reload(&self) -> Result<Finished> {
        let mut world = self.change();
        let World { services, disk, .. } = &mut *world;
        services.iter_mut().for_each(|(name, service)| service.reload_file(name, disk));
        Ok(Finished::exited(0, ""))
    }

    fn unit_status_text(&self, unit: &str) -> String {
        let status = self.units(&[unit]).ok().and_then(|mut units| units.pop()).unwrap_or_default();
        format!("{unit}: {} ({}), {}", status.active, status.sub, status.enabled)
    }

    fn unit_log(&self, unit: &str, lines: usize) -> Vec<String> {
        self.world().services.get(unit).map(|service| service.log(lines)).unwrap_or_default()
    }

    fn installed_packages(&self) -> Result<BTreeMap<String, String>> {
        Ok(self.world().installed.iter().map(|name| (name.clone(), "1.0-1".to_owned())).collect())
    }

    fn dpkg_locked(&self) -> Result<bool> {
        let world = self.world();
        Ok(world.now_ms < world.apt_locked_until_ms)
    }

    fn dpkg_interrupted(&self) -> Result<bool> {
        Ok(!self.world().half_installed.is_empty())
    }

    fn apt_has_lists(&self) -> Result<bool> {
        Ok(self.world().has_lists)
    }

    fn apt(&self, action: Apt<'_>, _: Beat<'_>) -> Result<Finished> {
        if self.dpkg_locked()? {
            return Ok(Finished::exited(100, "E: Could not get lock /var/lib/dpkg/lock-frontend.\n"));
        }
        match action {
            Apt::Update => self.change().has_lists = true,
            Apt::Configure => {
                let mut world = self.change();
                let half: Vec<String> = std::mem::take(&mut world.half_installed).into_iter().collect();
                drop(world);
                half.iter().for_each(|name| self.configure(name));
            }
            Apt::Install(names) => {
                if !self.world().half_installed.is_empty() {
                    return Ok(Finished::exited(100, "E: dpkg was interrupted, run 'dpkg --configure -a'\n"));
                }
                if let Some(name) = names.iter().find(|name| !self.offers(name)) {
                    return Ok(Finished::exited(100, format!("E: Unable to locate package {name}\n")));
                }
                for name in names {
                    self.change().half_installed.insert(name.clone());
                    self.change().half_installed.remove(name);
                    self.configure(name);
                }
            }
        }
        Ok(Finished::exited(0, ""))
    }

    fn user(&self, name: &str) -> Result<Option<UserEntry>> {
        Ok(self.world().users.get(name).cloned())
    }

    fn add_user(&self, user: &User) -> Result<Finished> {
        self.change_user(user)
    }

    fn change_user(&self, user: &User) -> Result<Finished> {
        let mut world = self.change();
        if let Some(group) = user.groups.iter().find(|group| !world.groups.contains(*group)) {
            return Ok(Finished::exited(6, format!("group '{group}' does not exist\n")));
        }
        let before = world.users.get(&user.name).map(|entry| entry.groups.clone()).unwrap_or_default();
        let groups = before.into_iter().chain(user.groups.iter().cloned()).chain([user.name.clone()]).collect();
        let (home, shell) = (user.home.clone(), user.shell.clone());
        world.groups.insert(user.name.clone());
        world.users.insert(user.name.clone(), UserEntry { primary_group: user.name.clone(), home, shell, groups });
        Ok(Finished::exited(0, ""))
    }

    fn sysctl(&self, key: &str) -> Result<Option<String>> {
        Ok(self.world().sysctls.get(key).map(|(_, now)| now.clone()))
    }

    fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        match self.change().sysctls.get_mut(key) {
            Some((_, now)) => value.clone_into(now),
            None => {
                return Err(SystemError::Unknown { what: "kernel setting", name: key.to_owned() });
            }
        }
        Ok(())
    }

    fn http_get(&self, url: &str, _: u64) -> std::result::Result<HttpAnswer, String> {
        let body = self.world().on_http.clone();
        body.map_or_else(|| Ok(HttpAnswer { status: 200, body: String::new() }), |body| body(self, url))
    }

    fn tcp_connect(&self, address: &str, _: u64) -> std::result::Result<(), String> {
        let body = self.world().on_tcp.clone();
        body.map_or(Ok(()), |body| body(self, address))
    }

    fn try_lock(&self) -> Result<bool> {
        let world = self.world();
        Ok(world.now_ms >= world.locked_until_ms)
    }

    fn now_ms(&self) -> u64 {
        self.world().now_ms
    }

    fn unix_s(&self) -> u64 {
        let world = self.world();
        BORN_S + world.now_ms / 1_000
    }

    fn sleep_ms(&self, ms: u64) {
        self.world().now_ms += ms;
    }
}

impl Machine {
    /// The second half of an installation. Its files are on the disk for good: dpkg syncs.
    fn configure(&self, name: &str) {
        let package = self.world().provided.get(name).cloned().unwrap_or_default();
        for (path, content) in &package.files {
            self.put_file(path, content);
        }
        for unit in &package.units {
            let path = format!("/usr/lib/systemd/system/{unit}");
            if self.content(&path).is_none() {
                self.put_file(&path, format!("[Unit]\nDescription={unit}\n[Install]\nWantedBy=multi-user.target\n"));
            }
        }
        let mut world = self.world();
        for user in &package.users {
            let entry = UserEntry {
                primary_group: user.clone(),
                home: "/nonexistent".to_owned(),
                shell: "/usr/sbin/nologin".to_owned(),
                groups: BTreeSet::from([user.clone()]),
            };
            world.groups.insert(user.clone());
            world.users.entry(user.clone()).or_insert(entry);
        }
        let World { services, disk, now_ms, .. } = &mut *world;
        for unit in &package.units {
            let service = services.entry(unit.clone()).or_default();
            service.obey(UnitVerb::Enable, unit, disk, *now_ms);
            service.obey(UnitVerb::Start, unit, disk, *now_ms);
        }
        world.installed.insert(name.to_owned());
    }
}

fn known(world: &World, access: &Access) -> Result<()> {
    let unknown = |what, name: &str| Err(SystemError::Unknown { what, name: name.to_owned() });
    if !world.users.contains_key(&access.owner) {
        return unknown("user", &access.owner);
    }
    if !world.groups.contains(&access.group) {
        return unknown("group", &access.group);
    }
    Ok(())
}

fn cannot(action: &'static str, path: &str) -> impl Fn(std::io::Error) -> SystemError {
    move |source| SystemError::File { action, path: path.to_owned(), source }
}
