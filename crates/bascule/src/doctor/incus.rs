//! The daemon that the instances live in, and what they need of it.

use bascule_incus::{Error, NEEDED_EXTENSIONS, Unreachable};
use bascule_plan::event::Finding;

use super::machine::Incus;
use super::{GIB, Machine, gib, missing, ok, warning};
use crate::failure::Failed;

pub(super) fn daemon(machine: &Machine) -> Finding {
    const CHECK: &str = "Incus";
    let incus = match &machine.incus {
        Ok(incus) => incus,
        Err(error) => return missing(CHECK, error.to_string(), "instances live in it", unreached(machine, error)),
    };
    let version = &incus.server.version;
    let lacking = NEEDED_EXTENSIONS.into_iter().filter(|name| !incus.server.api_extensions.contains(*name));
    let lacking: Vec<&str> = lacking.collect();
    if lacking.is_empty() {
        return ok(CHECK, format!("{version} answers at {}", incus.address));
    }
    let found = format!("{version} lacks the API extensions {}", lacking.join(", "));
    missing(CHECK, found, "Bascule is written for Incus 6.0 and newer", install(machine))
}

fn unreached(machine: &Machine, failed: &Failed) -> String {
    let Failed::Incus(error) = failed else { return failed.hint().unwrap_or_default() };
    match error {
        Error::Unreachable { why: Unreachable::NoSocket, .. } => install(machine),
        Error::Unreachable { why: Unreachable::Refused, .. } => "systemctl start incus".to_owned(),
        Error::Unreachable { why: Unreachable::PermissionDenied, .. } => {
            format!("usermod --append --groups incus-admin {} (then log in anew)", machine.user)
        }
        _ => "journalctl --unit incus --lines 50".to_owned(),
    }
}

/// Debian 12 has Incus in backports only. `incus` itself would bring QEMU along, which containers do not need.
fn install(machine: &Machine) -> String {
    let from = if machine.codename == "bookworm" { "--target-release bookworm-backports " } else { "" };
    format!("apt-get install {from}incus-base incus-client")
}

pub(super) fn pool(machine: &Machine, incus: &Incus) -> Finding {
    const CHECK: &str = "storage pool";
    let name = &incus.pool_name;
    let Some(pool) = &incus.pool else {
        let why = "the instances' file systems live in it";
        let remedy = if machine.platform.is_ok() && name != "default" {
            format!("incus storage create {name} btrfs (or name another in [incus] pool)")
        } else {
            format!("incus storage create {name} btrfs")
        };
        return missing(CHECK, format!("there is no pool `{name}`"), why, remedy);
    };
    let driver = &pool.driver;
    if COPY_ON_WRITE.contains(&driver.as_str()) {
        return ok(CHECK, format!("`{name}` clones by copy-on-write ({driver})"));
    }
    let why = "every new instance is a whole copy of its image: seconds and gigabytes rather than a moment";
    let remedy = "incus storage create fast btrfs, then `pool = \"fast\"` in [incus]".to_owned();
    warning(CHECK, format!("`{name}` has the driver {driver}, which copies"), why, remedy)
}

const COPY_ON_WRITE: [&str; 5] = ["btrfs", "zfs", "ceph", "lvm", "truenas"];

/// Measured on the reference workload: an instance writes 0.2 to 0.4 GiB beside its image; all images together 2.
pub(super) fn room(machine: &Machine, incus: &Incus) -> Option<Finding> {
    const CHECK: &str = "room in the pool";
    let space = incus.space?;
    let instances = machine.platform.as_ref().map_or(0, |platform| platform.instances.len() as u64);
    let wanted = 2 * GIB + instances * GIB / 2;
    let free = space.total_bytes.saturating_sub(space.used_bytes);
    let found = format!("{} of {} are free", gib(free), gib(space.total_bytes));
    if free >= wanted {
        return Some(ok(CHECK, found));
    }
    let why = "a pool that runs full stops every instance that writes";
    let name = &incus.pool_name;
    let remedy = format!("incus storage set {name} size={}GiB", (space.total_bytes - free + 2 * wanted).div_ceil(GIB));
    Some(warning(CHECK, format!("{found}, {} are wanted", gib(wanted)), why, remedy))
}

/// A bridge that takes larger packets than the uplink loses those that have to leave, silently.
pub(super) fn bridge(incus: &Incus) -> Finding {
    const CHECK: &str = "bridge";
    let (Some(name), Some(mtu)) = (&incus.bridge_name, incus.bridge_mtu) else {
        return ok(CHECK, "`bascule up` makes it, with the packet size of the uplink");
    };
    match incus.uplink_mtu {
        Some(uplink) if mtu > uplink => {
            let found = format!("`{name}` takes packets of {mtu} bytes, the uplink of {uplink}");
            let why = "what an instance sends to the world is lost when it is large, without any error";
            missing(CHECK, found, why, format!("incus network set {name} bridge.mtu={uplink}"))
        }
        _ => ok(CHECK, format!("`{name}` takes packets of {mtu} bytes, no larger than the uplink's")),
    }
}
