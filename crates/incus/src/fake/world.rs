//! What exists, and the rules for everything but images and instances.

use std::collections::BTreeMap;

use crate::types::{Changes, Config, Device, Image, Instance, Network, Profile, Volume};
use crate::{Error, Result};

pub(super) const DEFAULT: &str = "default";
/// Features that a new project has unless it says otherwise. `features.networks` is not among them.
const FEATURES: [&str; 4] =
    ["features.images", "features.profiles", "features.storage.buckets", "features.storage.volumes"];
/// The kernel's limit for an interface.
const BRIDGE_NAME_LEN_MAX: usize = 15;

/// Keyed by project (the one that owns it) and name.
type Named<T> = BTreeMap<(String, String), T>;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) projects: BTreeMap<String, Config>,
    pub(super) networks: Named<Config>,
    pub(super) profiles: Named<Profile>,
    pub(super) images: Named<Image>,
    pub(super) volumes: Named<Config>,
    pub(super) instances: Named<Instance>,
    /// Makes the next image differ from all before it.
    pub(super) images_made: u64,
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self {
            projects: BTreeMap::new(),
            networks: BTreeMap::new(),
            profiles: BTreeMap::new(),
            images: BTreeMap::new(),
            volumes: BTreeMap::new(),
            instances: BTreeMap::new(),
            images_made: 0,
        };
        world.insert_project(DEFAULT, Config::from([("features.networks".to_owned(), "true".to_owned())]));
        world
    }
}

impl World {
    // Projects.

    /// The project that owns what `project` sees under a feature; an error if there is no such project.
    pub(super) fn home(&self, doing: &str, project: &str, feature: &str) -> Result<String> {
        let config = self.projects.get(project).ok_or_else(|| Error::answered(doing, 404, "Project not found"))?;
        let own = config.get(feature).is_some_and(|value| value == "true");
        Ok(if own { project } else { DEFAULT }.to_owned())
    }

    fn insert_project(&mut self, name: &str, mut config: Config) {
        for feature in FEATURES {
            config.entry(feature.to_owned()).or_insert_with(|| "true".to_owned());
        }
        if config["features.profiles"] == "true" {
            let profile = Profile { name: DEFAULT.to_owned(), ..Profile::default() };
            self.profiles.insert(key(name, DEFAULT), profile);
        }
        self.projects.insert(name.to_owned(), config);
    }

    pub(super) fn create_project(&mut self, doing: &str, name: &str, config: Config) -> Result<()> {
        if self.projects.contains_key(name) {
            return Err(Error::answered(doing, 409, "The project already exists"));
        }
        self.insert_project(name, config);
        Ok(())
    }

    pub(super) fn patch_project(&mut self, doing: &str, name: &str, changes: &Changes) -> Result<()> {
        let is_empty = self.is_empty(name);
        let config = self.projects.get_mut(name).ok_or_else(|| Error::answered(doing, 404, "Project not found"))?;
        let changes_features =
            changes.iter().any(|(key, value)| key.starts_with("features.") && config.get(key) != value.as_ref());
        if changes_features && !is_empty {
            return Err(Error::answered(doing, 400, "Project feature cannot be changed on non-empty project"));
        }
        merge(config, changes);
        Ok(())
    }

    pub(super) fn delete_project(&mut self, doing: &str, name: &str) -> Result<()> {
        if !self.projects.contains_key(name) {
            return Err(Error::answered(doing, 404, "Project not found"));
        }
        if name == DEFAULT || !self.is_empty(name) {
            return Err(Error::answered(doing, 500, "Only empty projects can be removed."));
        }
        self.profiles.remove(&key(name, DEFAULT));
        self.projects.remove(name);
        Ok(())
    }

    fn is_empty(&self, project: &str) -> bool {
        let mut profiles = names(&self.profiles, project).filter(|name| *name != DEFAULT);
        profiles.next().is_none()
            && names(&self.networks, project).next().is_none()
            && names(&self.images, project).next().is_none()
            && names(&self.volumes, project).next().is_none()
            && names(&self.instances, project).next().is_none()
    }

    // Networks.

    pub(super) fn network(&self, project: &str, name: &str) -> Option<Network> {
        let home = self.home("", project, "features.networks").ok()?;
        let config = self.networks.get(&key(&home, name))?.clone();
        let used_by = self
            .users(&home, "features.networks", |device| device.get("network").is_some_and(|network| network == name));
        Some(Network { name: name.to_owned(), config, managed: true, used_by })
    }

    pub(super) fn create_network(&mut self, doing: &str, project: &str, name: &str, config: Config) -> Result<()> {
        let home = self.home(doing, project, "features.networks")?;
        if name.len() > BRIDGE_NAME_LEN_MAX {
            return Err(Error::answered(doing, 400, "Network name too long"));
        }
        insert(&mut self.networks, &home, name, config, || Error::answered(doing, 409, "The network already exists"))
    }

    pub(super) fn patch_network(&mut self, doing: &str, project: &str, name: &str, changes: &Changes) -> Result<()> {
        let home = self.home(doing, project, "features.networks")?;
        let network =
            self.networks.get_mut(&key(&home, name)).ok_or_else(|| Error::answered(doing, 404, "Network not found"))?;
        merge(network, changes);
        Ok(())
    }

    pub(super) fn delete_network(&mut self, doing: &str, project: &str, name: &str) -> Result<()> {
        let home = self.home(doing, project, "features.networks")?;
        let network = self.network(project, name).ok_or_else(|| Error::answered(doing, 404, "Network not found"))?;
        if !network.used_by.is_empty() {
            return Err(Error::answered(doing, 400, "The network is currently in use"));
        }
        self.networks.remove(&key(&home, name));
        Ok(())
    }

    // Profiles.

    pub(super) fn profiles(&self, project: &str) -> Vec<Profile> {
        let Ok(home) = self.home("", project, "features.profiles") else { return Vec::new() };
        self.profiles.iter().filter(|((owner, _), _)| *owner == home).map(|(_, profile)| profile.clone()).collect()
    }

    pub(super) fn create_profile(&mut self, doing: &str, project: &str, profile: Profile) -> Result<()> {
        let home = self.home(doing, project, "features.profiles")?;
        let name = profile.name.clone();
        insert(&mut self.profiles, &home, &name, profile, || Error::answered(doing, 409, "The profile already exists"))
    }

    pub(super) fn put_profile(&mut self, doing: &str, project: &str, profile: Profile) -> Result<()> {
        let home = self.home(doing, project, "features.profiles")?;
        let old = self
            .profiles
            .get_mut(&key(&home, &profile.name))
            .ok_or_else(|| Error::answered(doing, 404, "Profile not found"))?;
        *old = profile;
        Ok(())
    }

    pub(super) fn patch_profile(&mut self, doing: &str, project: &str, name: &str, changes: &Changes) -> Result<()> {
        let home = self.home(doing, project, "features.profiles")?;
        let profile = self.profiles.get_mut(&key(&home, name));
        let profile = profile.ok_or_else(|| Error::answered(doing, 404, "Profile not found"))?;
        merge(&mut profile.config, changes);
        Ok(())
    }

    pub(super) fn delete_profile(&mut self, doing: &str, project: &str, name: &str) -> Result<()> {
        let home = self.home(doing, project, "features.profiles")?;
        if !self.profiles.contains_key(&key(&home, name)) {
            return Err(Error::answered(doing, 404, "Profile not found"));
        }
        let used = self.instances.iter().any(|((owner, _), instance)| {
            self.home(doing, owner, "features.profiles").is_ok_and(|it| it == home)
                && instance.profiles.iter().any(|it| it == name)
        });
        if name == DEFAULT || used {
            return Err(Error::answered(doing, 400, "Profile is currently in use"));
        }
        self.profiles.remove(&key(&home, name));
        Ok(())
    }

    // Volumes.

    pub(super) fn volumes(&self, project: &str, pool: &str) -> Vec<Volume> {
        let Ok(home) = self.home("", project, "features.storage.volumes") else { return Vec::new() };
        if pool != DEFAULT {
            return Vec::new();
        }
        let own = self.volumes.iter().filter(|((owner, _), _)| *owner == home);
        let volume = |((_, name), config): (&(String, String), &Config)| Volume {
            name: name.clone(),
            config: config.clone(),
            used_by: self.users(&home, "features.storage.volumes", |device| {
                device.get("source") == Some(name) && device.contains_key("pool")
            }),
        };
        own.map(volume).collect()
    }

    pub(super) fn create_volume(
        &mut self,
        doing: &str,
        project: &str,
        pool: &str,
        name: &str,
        config: Config,
    ) -> Result<()> {
        let home = self.home(doing, project, "features.storage.volumes")?;
        if pool != DEFAULT {
            return Err(Error::answered(doing, 404, "Storage pool not found"));
        }
        insert(&mut self.volumes, &home, name, config, || {
            Error::answered(doing, 409, "Volume by that name already exists")
        })
    }

    pub(super) fn patch_volume(
        &mut self,
        doing: &str,
        project: &str,
        pool: &str,
        name: &str,
        changes: &Changes,
    ) -> Result<()> {
        let home = self.home(doing, project, "features.storage.volumes")?;
        let volume = self.volumes.get_mut(&key(&home, name)).filter(|_| pool == DEFAULT);
        let volume = volume.ok_or_else(|| Error::answered(doing, 404, "Storage volume not found"))?;
        merge(volume, changes);
        Ok(())
    }

    pub(super) fn delete_volume(&mut self, doing: &str, project: &str, pool: &str, name: &str) -> Result<()> {
        let home = self.home(doing, project, "features.storage.volumes")?;
        let volume = self.volumes(project, pool).into_iter().find(|volume| volume.name == name);
        let volume = volume.ok_or_else(|| Error::answered(doing, 404, "Storage volume not found"))?;
        if !volume.used_by.is_empty() {
            return Err(Error::answered(doing, 400, "The storage volume is still in use"));
        }
        self.volumes.remove(&key(&home, name));
        Ok(())
    }

    /// API paths of the instances and profiles with such a device, among the projects that share `home` for `feature`.
    fn users(&self, home: &str, feature: &str, uses: impl Fn(&Device) -> bool) -> Vec<String> {
        let shares = |project: &str| self.home("", project, feature).is_ok_and(|it| it == home);
        let mut users = Vec::new();
        for (project, name) in self.instances.keys() {
            if shares(project) && self.expanded_devices(project, name).values().any(&uses) {
                users.push(format!("/1.0/instances/{name}?project={project}"));
            }
        }
        for ((project, name), profile) in &self.profiles {
            if shares(project) && profile.devices.values().any(&uses) {
                users.push(format!("/1.0/profiles/{name}?project={project}"));
            }
        }
        users
    }
}

pub(super) fn key(project: &str, name: &str) -> (String, String) {
    (project.to_owned(), name.to_owned())
}

pub(super) fn merge<V: Clone>(values: &mut BTreeMap<String, V>, changes: &BTreeMap<String, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => values.insert(key.clone(), value.clone()),
            None => values.remove(key),
        };
    }
}

fn names<'a, T>(map: &'a Named<T>, project: &'a str) -> impl Iterator<Item = &'a str> {
    map.keys().filter(move |(owner, _)| owner == project).map(|(_, name)| name.as_str())
}

pub(super) fn insert<T>(
    map: &mut Named<T>,
    project: &str,
    name: &str,
    value: T,
    taken: impl FnOnce() -> Error,
) -> Result<()> {
    if map.contains_key(&key(project, name)) {
        return Err(taken());
    }
    map.insert(key(project, name), value);
    Ok(())
}
