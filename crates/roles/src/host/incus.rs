//! The daemon and its storage pool.

use bascule_plan::{LineItem, Probe};
use bascule_spec::{Host, Platform, PoolDisk, PoolDriver};
use minijinja::context;

use super::{HostFacts, in_turn};
use crate::RoleError;
use crate::group::{Group, command, file, running, script_path, wait};
use crate::template::render;

/// Debian's `incus` would bring QEMU along, which containers do not need.
const PACKAGES: [&str; 8] =
    ["btrfs-progs", "dnsmasq-base", "incus-base", "incus-client", "nftables", "uidmap", "xz-utils", "zstd"];

pub(super) fn steps(platform: &Platform, host: &Host, facts: &HostFacts) -> Result<Vec<LineItem>, RoleError> {
    let mut groups = Vec::new();
    if facts.debian == 12 {
        groups.push(known(&BACKPORTS, &facts.archive)?);
    }
    if host.pool_driver == PoolDriver::Zfs {
        groups.extend([known(&contrib(facts.debian), &facts.archive)?, zfs(facts)]);
    }
    groups.extend([daemon(facts), pool(platform, host)]);
    Ok(in_turn(groups))
}

/// A part of Debian's archive that its installer leaves out.
struct Part {
    group: &'static str,
    name: &'static str,
    why: &'static str,
    suite: &'static str,
    component: &'static str,
    /// A package that is nowhere else.
    holds: &'static str,
}

/// Debian 12 has Incus there only. Nothing else is taken from it.
const BACKPORTS: Part = Part {
    group: "host/backports",
    name: "backports",
    why: "Debian 12 has Incus in its backports only. Apt takes nothing from there by itself.",
    suite: "bookworm-backports",
    component: "main",
    holds: "incus-base",
};

/// Free, but under a licence that does not go with the kernel's: so it is not in `main`, and comes as source.
fn contrib(debian: u32) -> Part {
    Part {
        group: "host/contrib",
        name: "contrib",
        why: "Debian has ZFS in `contrib` only.",
        suite: if debian == 12 { "bookworm" } else { "trixie" },
        component: "contrib",
        holds: "zfsutils-linux",
    }
}

/// Makes apt know the part.
fn known(part: &Part, archive: &str) -> Result<Group, RoleError> {
    let Part { group, name, why, suite, component, holds } = *part;
    let mut group = Group::new(group);
    let values = context! { why, archive, suite, component };
    let sources = render("debian.sources.j2", include_str!("debian.sources.j2"), values)?;
    let path = format!("/etc/apt/sources.list.d/bascule-{name}.sources");
    group.step("sources", format!("know Debian's {name}"), file(path, 0o644, sources));
    group.scripts(&[("apt-lists", include_str!("apt-lists.sh"))]);
    group.step(
        "lists",
        format!("read the lists of {name}"),
        command(&[&script_path("apt-lists")], &["apt-cache", "show", holds], 5 * 60_000),
    );
    Ok(group)
}

/// The module is built when it is installed, and again with each kernel that comes later: its headers come with it then. A
/// container has the kernel of another machine.
fn zfs(facts: &HostFacts) -> Group {
    let mut group = Group::new("host/zfs");
    let headers = format!("linux-headers-{}", flavour(&facts.kernel));
    let mut packages = vec!["zfsutils-linux"];
    if !facts.container {
        packages.extend(["zfs-dkms", &headers]);
    }
    group.packages("install ZFS", &packages);
    group
}

/// What Debian's kernel packages are called after: `amd64` of `6.12.48+deb13-amd64`, `cloud-amd64` of `6.1.0-40-cloud-amd64`.
fn flavour(kernel: &str) -> &str {
    let after = kernel.split_once('-').map_or(kernel, |(_, after)| after);
    after
        .split_once('-')
        .filter(|(abi, _)| abi.bytes().all(|b| b.is_ascii_digit()))
        .map_or(after, |(_, flavour)| flavour)
}

fn daemon(facts: &HostFacts) -> Group {
    const UNIT: &str = "incus.service";
    let mut group = Group::new("host/incus");
    let confinement = (!facts.container).then_some("apparmor");
    let packages: Vec<&str> = PACKAGES.into_iter().chain(confinement).collect();
    group.packages("install Incus", &packages);
    group.step("service", "run Incus", running(UNIT, &[], &[]));
    let ready = ["incus", "admin", "waitready", "--timeout", "5"].map(str::to_owned).to_vec();
    group.step("ready", "wait until Incus answers", wait(Probe::Command { argv: ready }, Some(UNIT), 60_000));
    group
}

/// Only on a server that nobody has set up: a pool that is there is never touched.
fn pool(platform: &Platform, host: &Host) -> Group {
    let mut group = Group::new("host/pool");
    group.scripts(&[("incus-pool", include_str!("incus-pool.sh"))]);
    let (program, name) = (script_path("incus-pool"), platform.incus.pool.as_str());
    let driver = match host.pool_driver {
        PoolDriver::Btrfs => "btrfs",
        PoolDriver::Zfs => "zfs",
    };
    let (how, what) = match &host.pool {
        PoolDisk::LoopFile(size) => ("size", size),
        PoolDisk::Source(source) => ("source", source),
    };
    group.step(
        "pool",
        format!("make the storage pool: {driver}, so that a clone copies nothing"),
        command(&[&program, "make", name, driver, how, what], &[&program, "check", name], 10 * 60_000),
    );
    group
}
