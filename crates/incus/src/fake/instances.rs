use std::net::IpAddr;

use super::world::{World, insert, key, merge};
use crate::types::{Device, Devices, Image, Instance, InstancePatch, NewInstance, Status};
use crate::{Error, Result};

/// The fake has no clock: everything was made at this moment.
pub(super) const EPOCH: &str = "1970-01-01T00:00:00Z";
const BASE_IMAGE: &str = "volatile.base_image";

impl World {
    pub(super) fn instances(&self, project: &str) -> Vec<Instance> {
        let own = self.instances.keys().filter(|(owner, _)| owner == project);
        own.filter_map(|(_, name)| self.instance(project, name)).collect()
    }

    pub(super) fn instance(&self, project: &str, name: &str) -> Option<Instance> {
        let mut instance = self.instances.get(&key(project, name))?.clone();
        instance.image_fingerprint = instance.config.get(BASE_IMAGE).cloned();
        if matches!(instance.status, Status::Running | Status::Frozen) {
            let devices = self.expanded_devices(project, name);
            instance.addresses = devices.values().filter_map(address).collect();
        }
        Some(instance)
    }

    pub(super) fn existing(&self, doing: &str, project: &str, name: &str) -> Result<&Instance> {
        self.instances.get(&key(project, name)).ok_or_else(|| Error::answered(doing, 404, "Instance not found"))
    }

    pub(super) fn create_instance(
        &mut self,
        doing: &str,
        project: &str,
        new: &NewInstance,
        image: &Image,
    ) -> Result<()> {
        let home = self.home(doing, project, "features.profiles")?;
        for profile in &new.profiles {
            if !self.profiles.contains_key(&key(&home, profile)) {
                return Err(Error::answered(doing, 404, "Requested profile doesn't exist"));
            }
        }
        let mut instance = Instance {
            name: new.name.clone(),
            status: Status::Stopped,
            config: new.config.clone(),
            devices: new.devices.clone(),
            profiles: new.profiles.clone(),
            image_fingerprint: None,
            addresses: Vec::new(),
            created_at: EPOCH.to_owned(),
        };
        take_image(&mut instance, image);
        insert(&mut self.instances, project, &new.name, instance, || {
            Error::answered(doing, 409, "The instance already exists")
        })?;
        self.check_devices(doing, project, &new.name).inspect_err(|_| {
            self.instances.remove(&key(project, &new.name));
        })
    }

    pub(super) fn patch_instance(
        &mut self,
        doing: &str,
        project: &str,
        name: &str,
        patch: &InstancePatch,
    ) -> Result<()> {
        let before = self.existing(doing, project, name)?.clone();
        let mut after = before.clone();
        merge(&mut after.config, &patch.config);
        merge(&mut after.devices, &patch.devices);
        self.instances.insert(key(project, name), after);
        self.check_devices(doing, project, name).inspect_err(|_| {
            self.instances.insert(key(project, name), before);
        })
    }

    pub(super) fn start(&mut self, doing: &str, project: &str, name: &str) -> Result<()> {
        if self.existing(doing, project, name)?.status != Status::Stopped {
            return Err(Error::answered(doing, 400, "The instance is already running"));
        }
        self.check_unique(doing, project, name)?;
        self.set(project, name, Status::Running);
        Ok(())
    }

    pub(super) fn stop(&mut self, doing: &str, project: &str, name: &str) -> Result<()> {
        if self.existing(doing, project, name)?.status == Status::Stopped {
            return Err(Error::answered(doing, 400, "The instance is already stopped"));
        }
        self.set(project, name, Status::Stopped);
        Ok(())
    }

    pub(super) fn freeze(&mut self, doing: &str, project: &str, name: &str, to: Status) -> Result<()> {
        let from = if to == Status::Frozen { Status::Running } else { Status::Frozen };
        if self.existing(doing, project, name)?.status != from {
            return Err(Error::answered(doing, 400, "The instance isn't running"));
        }
        self.set(project, name, to);
        Ok(())
    }

    pub(super) fn rebuild(&mut self, doing: &str, project: &str, name: &str, image: &Image) -> Result<()> {
        if self.existing(doing, project, name)?.status != Status::Stopped {
            return Err(Error::answered(doing, 400, "Instance must be stopped to be rebuilt"));
        }
        if let Some(instance) = self.instances.get_mut(&key(project, name)) {
            take_image(instance, image);
        }
        Ok(())
    }

    pub(super) fn delete_instance(&mut self, doing: &str, project: &str, name: &str) -> Result<()> {
        if self.existing(doing, project, name)?.status != Status::Stopped {
            return Err(Error::answered(doing, 400, "Instance is running"));
        }
        self.instances.remove(&key(project, name));
        Ok(())
    }

    pub(super) fn check_running(&self, doing: &str, project: &str, name: &str) -> Result<()> {
        match self.existing(doing, project, name)?.status {
            Status::Running => Ok(()),
            Status::Frozen => Err(Error::answered(doing, 400, "Instance is frozen")),
            _ => Err(Error::answered(doing, 400, "Instance is not running")),
        }
    }

    /// The devices of the instance's profiles, in their order, and over them its own.
    pub(super) fn expanded_devices(&self, project: &str, name: &str) -> Devices {
        let Some(instance) = self.instances.get(&key(project, name)) else { return Devices::new() };
        let home = self.home("", project, "features.profiles").unwrap_or_default();
        let profiles = instance.profiles.iter().filter_map(|profile| self.profiles.get(&key(&home, profile)));
        let mut devices: Devices = profiles.flat_map(|profile| profile.devices.clone()).collect();
        devices.extend(instance.devices.clone());
        devices
    }

    /// What the devices name must exist.
    fn check_devices(&self, doing: &str, project: &str, name: &str) -> Result<()> {
        let refuse = |message: String| Err(Error::answered(doing, 400, &message));
        let devices = self.expanded_devices(project, name);
        if !devices
            .values()
            .any(|device| device.get("path").is_some_and(|path| path == "/") && device.contains_key("pool"))
        {
            return refuse("No root device could be found".to_owned());
        }
        for (device_name, device) in &devices {
            if let Some(network) = device.get("network")
                && self.network(project, network).is_none()
            {
                return refuse(format!("Device validation failed for \"{device_name}\": Network not found"));
            }
            if let (Some(pool), Some(source)) = (device.get("pool"), device.get("source"))
                && !self.volumes(project, pool).iter().any(|volume| volume.name == *source)
            {
                return refuse(format!("Device validation failed for \"{device_name}\": Storage volume not found"));
            }
        }
        Ok(())
    }

    /// Nobody else on its networks, in any project and in any state, may have the name or an address of an instance that
    /// is started. (Incus does not mind when the second one is created.)
    fn check_unique(&self, doing: &str, project: &str, name: &str) -> Result<()> {
        let refuse =
            |taken: String| Err(Error::answered(doing, 400, &format!("Failed start validation for device: {taken}")));
        let networks = self.networks_of(project, name);
        let addresses: Vec<IpAddr> = self.expanded_devices(project, name).values().filter_map(address).collect();
        for (owner, other) in self.instances.keys().filter(|it| it.1 != name || it.0 != project) {
            let taken = self.address_among(owner, other, &addresses);
            let meets = || self.networks_of(owner, other).iter().any(|network| networks.contains(network));
            match taken {
                _ if other == name && meets() => {
                    return refuse(format!("Instance DNS name \"{name}\" already used on network"));
                }
                Some(taken) if meets() => {
                    return refuse(format!("IP address \"{taken}\" already defined on another NIC"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The address of an instance that is one of these. Looked for in thousands, so nothing is copied for it.
    fn address_among(&self, project: &str, name: &str, addresses: &[IpAddr]) -> Option<IpAddr> {
        let instance = self.instances.get(&key(project, name))?;
        let one_of = |devices: &Devices| devices.values().filter_map(address).find(|it| addresses.contains(it));
        match instance.profiles.is_empty() {
            true => one_of(&instance.devices),
            false => one_of(&self.expanded_devices(project, name)),
        }
    }

    /// The networks an instance is on, each by its owner and name.
    fn networks_of(&self, project: &str, name: &str) -> Vec<(String, String)> {
        let home = self.home("", project, "features.networks").unwrap_or_default();
        let devices = self.expanded_devices(project, name);
        devices.values().filter_map(|device| device.get("network")).map(|network| key(&home, network)).collect()
    }

    fn set(&mut self, project: &str, name: &str, status: Status) {
        if let Some(instance) = self.instances.get_mut(&key(project, name)) {
            instance.status = status;
        }
    }
}

fn take_image(instance: &mut Instance, image: &Image) {
    instance.config.retain(|key, _| !key.starts_with("image."));
    instance.config.extend(image.properties.iter().map(|(key, value)| (format!("image.{key}"), value.clone())));
    instance.config.insert(BASE_IMAGE.to_owned(), image.fingerprint.clone());
}

fn address(device: &Device) -> Option<IpAddr> {
    device.get("ipv4.address")?.parse().ok()
}
