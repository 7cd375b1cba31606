//! The instance below a line: made, started or made anew, and booted.

use std::collections::BTreeMap;
use std::time::Duration;

use bascule_incus::{
    Device, Devices, Error as IncusError, Exec, Instance, InstancePatch, NewInstance, Status, StopMode, Volume,
};
use bascule_plan as plan;
use bascule_plan::agent::Outcome;
use bascule_plan::event::ThingKind;
use bascule_plan::{Line, Machine, MachineAction, World};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::check::Thing;
use crate::image::alias_for;
use crate::{EngineError, Run};

/// How long an instance may take to stop in order before it is stopped by force: its units drain meanwhile.
const STOP_LIMIT: Duration = Duration::from_secs(90);
const BOOT_LIMIT: Duration = Duration::from_secs(120);

impl Run {
    /// Why the instance must be made or changed; `None` when it is as planned.
    pub(crate) fn machine_differs(
        &self,
        machine: &Machine,
        existing: Option<&Instance>,
        volumes: &[Volume],
    ) -> Option<String> {
        match machine.action {
            MachineAction::Create | MachineAction::Start | MachineAction::Rebuild => Some(machine.reason.clone()),
            MachineAction::Keep => {
                let Some(existing) = existing else { return Some("it was there when planning and is gone".to_owned()) };
                let differs = |(key, value): &(&String, &String)| existing.config.get(*key) != Some(*value);
                let differs = machine.config.iter().find(differs).map(|(key, _)| format!("its setting {key} differs"));
                differs.or_else(|| machine.volumes.iter().find_map(|volume| volume_differs(volume, existing, volumes)))
            }
        }
    }

    pub(crate) async fn make_machine(
        &self,
        line: &Line,
        machine: &Machine,
        world: &World,
        differs: Option<&str>,
    ) -> Result<(), EngineError> {
        let name = line.instance.as_str();
        let reason = differs.unwrap_or(&machine.reason).to_owned();
        let thing =
            |outcome| Thing { kind: ThingKind::Instance, name: name.to_owned(), outcome, reason: reason.clone() };
        if differs.is_none() {
            self.thing(thing(Outcome::Unchanged), 0);
            return Ok(());
        }
        // Closed never: the semaphore lives as long as the run.
        let _permit = self.machines.acquire().await;
        let began_ms = self.now_ms();
        let failed = |doing: &str| {
            let doing = format!("{doing} {name} failed");
            move |source| EngineError::Doing { doing, source }
        };
        for volume in &machine.volumes {
            self.make_volume(&world.pool, volume).await.map_err(failed("making the volumes of"))?;
        }
        match machine.action {
            MachineAction::Create => self.create(name, machine, world).await.map_err(failed("making"))?,
            MachineAction::Start => self.start(name, machine, world).await.map_err(failed("starting"))?,
            MachineAction::Rebuild => self.rebuild(name, machine, world).await.map_err(failed("rebuilding"))?,
            MachineAction::Keep => {
                let changed = self.engine.incus.patch_instance(&self.project, name, patch(machine, world)).await;
                changed.map_err(failed("setting up"))?;
            }
        }
        self.wait_for_boot(name).await?;
        self.thing(thing(Outcome::Changed), self.now_ms() - began_ms);
        Ok(())
    }

    async fn create(&self, name: &str, machine: &Machine, world: &World) -> Result<(), IncusError> {
        let new = NewInstance {
            name: name.to_owned(),
            image: alias_for(&self.engine.base.alias(), &machine.image_packages),
            config: machine.config.clone(),
            devices: devices(world, Some(machine)),
            profiles: Vec::new(),
            start: true,
        };
        self.engine.incus.create_instance(&self.project, new).await
    }

    /// Makes a volume where it is missing, or gives it its size.
    async fn make_volume(&self, pool: &str, volume: &plan::Volume) -> Result<(), IncusError> {
        let (incus, project) = (&self.engine.incus, self.project.as_str());
        let existing = incus.volumes(project, pool).await?.into_iter().find(|existing| existing.name == volume.name);
        let size = || ("size".to_owned(), volume.size.clone());
        match existing {
            None => incus.create_volume(project, pool, &volume.name, [size()].into()).await,
            Some(existing) if existing.config.get("size") == Some(&volume.size) => Ok(()),
            Some(_) => {
                let (key, size) = size();
                incus.patch_volume_config(project, pool, &volume.name, [(key, Some(size))].into()).await
            }
        }
    }

    async fn start(&self, name: &str, machine: &Machine, world: &World) -> Result<(), IncusError> {
        let incus = &self.engine.incus;
        if !machine.volumes.is_empty() {
            incus.patch_instance(&self.project, name, patch(machine, world)).await?;
        }
        match incus.instance(&self.project, name).await?.map(|instance| instance.status) {
            Some(Status::Frozen) => incus.unfreeze(&self.project, name).await,
            Some(Status::Running) => Ok(()),
            _ => incus.start(&self.project, name).await,
        }
    }

    /// Same name, same address, empty root. Its units are stopped in order first, so that what they serve can end.
    async fn rebuild(&self, name: &str, machine: &Machine, world: &World) -> Result<(), IncusError> {
        let incus = &self.engine.incus;
        let project = self.project.as_str();
        match incus.instance(project, name).await?.map(|instance| instance.status) {
            Some(Status::Running) => {
                let orderly = incus.stop(project, name, StopMode::Graceful { timeout: STOP_LIMIT }).await;
                if orderly.is_err() {
                    self.progress(Some(name), format!("did not stop within {} s: by force", STOP_LIMIT.as_secs()));
                    incus.stop(project, name, StopMode::Force).await?;
                }
            }
            Some(Status::Frozen) => incus.stop(project, name, StopMode::Force).await?,
            _ => {}
        }
        let image = alias_for(&self.engine.base.alias(), &machine.image_packages);
        incus.rebuild(project, name, &image).await?;
        incus.patch_instance(project, name, patch(machine, world)).await?;
        incus.start(project, name).await
    }

    /// Waits, inside the instance, until systemd has booted and the network has its address.
    pub(crate) async fn wait_for_boot(&self, name: &str) -> Result<(), EngineError> {
        let exec = Exec::new(WAIT_FOR_BOOT, BOOT_LIMIT);
        let (sender, mut receiver) = mpsc::channel::<Bytes>(16);
        let incus = self.engine.incus.clone();
        let said = async {
            let mut said = Vec::new();
            while let Some(chunk) = receiver.recv().await {
                said.extend_from_slice(&chunk);
            }
            String::from_utf8_lossy(&said).trim().to_owned()
        };
        let exited = futures_util::future::join(incus.exec(&self.project, name, exec, sender), said);
        let failed = |message: String| EngineError::Boot { instance: name.to_owned(), message };
        match exited.await {
            (Err(IncusError::Timeout { after, .. }), _) => Err(failed(format!("it has not booted within {after:?}"))),
            (Err(source), _) => Err(EngineError::Doing { doing: format!("waiting for {name} failed"), source }),
            (Ok(exited), _) if exited.success() => Ok(()),
            (Ok(_), said) => Err(failed(said)),
        }
    }
}

/// Sets every configuration key of the plan and mounts its volumes, and leaves all else alone.
fn patch(machine: &Machine, world: &World) -> InstancePatch {
    let config = machine.config.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    let devices = volume_devices(machine, &world.pool).map(|(name, device)| (name, Some(device))).collect();
    InstancePatch { config, devices }
}

/// The devices by which a machine's volumes are mounted, each under its volume's name.
fn volume_devices<'a>(machine: &'a Machine, pool: &'a str) -> impl Iterator<Item = (String, Device)> + 'a {
    machine.volumes.iter().map(move |volume| {
        let entries = [("type", "disk"), ("pool", pool), ("source", &volume.name), ("path", &volume.path)];
        (volume.name.clone(), entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    })
}

/// Why a volume has to be made, changed or mounted.
fn volume_differs(volume: &plan::Volume, on: &Instance, existing: &[Volume]) -> Option<String> {
    let plan::Volume { name, path, size } = volume;
    let Some(found) = existing.iter().find(|existing| existing.name == *name) else {
        return Some(format!("its volume {name} does not exist"));
    };
    if found.config.get("size") != Some(size) {
        let has = found.config.get("size").map_or("no bound", String::as_str);
        return Some(format!("its volume {name} has {has}, not {size}"));
    }
    let is_mounted = |device: &Device| device.get("source") == Some(name) && device.get("path") == Some(path);
    (!on.devices.values().any(is_mounted)).then(|| format!("its volume {name} is not mounted on {path}"))
}

/// A network card on the environment's bridge, with the addresses that never move where they are given, and a root disk.
pub(crate) fn devices(world: &World, machine: Option<&Machine>) -> Devices {
    let device = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let mut nic = device(&[("type", "nic"), ("name", "eth0"), ("network", &world.bridge)]);
    if let Some(machine) = machine {
        nic.insert("ipv4.address".to_owned(), machine.address.to_string());
        nic.insert("hwaddr".to_owned(), machine.mac.clone());
    }
    let root = device(&[("type", "disk"), ("path", "/"), ("pool", &world.pool)]);
    let volumes = machine.into_iter().flat_map(|machine| volume_devices(machine, &world.pool));
    [("eth0".to_owned(), nic), ("root".to_owned(), root)].into_iter().chain(volumes).collect()
}

/// The manager's socket appears a moment after the first process; `--wait` then blocks until the boot is over. A boot
/// that ended `degraded` is good enough: the line's own steps say what must run.
const WAIT_FOR_BOOT: [&str; 3] = [
    "/bin/sh",
    "-c",
    "for try in $(seq 100); do [ -S /run/systemd/private ] && break; sleep 0.1; done
     state=$(systemctl is-system-running --wait 2>&1)
     case $state in running|degraded) ;; *) echo \"systemd says: $state\"; exit 1;; esac
     /usr/lib/systemd/systemd-networkd-wait-online --interface=eth0 --ipv4 --timeout=60 2>&1 ||
       { echo 'eth0 has no address'; exit 1; }",
];
