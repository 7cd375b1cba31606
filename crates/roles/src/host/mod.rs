//! A machine that Incus runs on: from a bare Debian 12 or 13 to a server with a pool, and with what the environment needs
//! in it where operators come by HTTPS.

mod environment;
mod firewall;
mod incus;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_plan::{Line, LineItem, Plan};
use bascule_spec::{Endpoint, Host, Https, Platform};

use crate::group::Group;
use crate::{RoleError, common};

/// What was read from a host before planning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Debian's version: 12 or 13.
    pub debian: u32,
    /// It is a container: its kernel is another machine's.
    pub container: bool,
    /// Where the connection comes from by which it is reached; none for the machine that this runs on.
    pub operator: Option<Ipv4Addr>,
    /// Largest packet of the card with the default route, in bytes.
    pub mtu: Option<u32>,
    /// The kernel that it runs, e.g. `6.12.48+deb13-amd64`.
    pub kernel: String,
    /// The archive that its apt uses, e.g. `http://deb.debian.org/debian`.
    pub archive: String,
}

/// A certificate that somebody comes to Incus with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whose it is: `operators`, or `ops`.
    pub whose: &'static str,
    pub pem: String,
    /// SHA-256 of the certificate itself, 64 hex digits.
    pub fingerprint: String,
}

/// Makes Incus servers of hosts: one line each, and nothing in Incus but what the environment's own certificate could not
/// make.
///
/// # Errors
/// A host of another system than Debian 12 or 13, or one on which this would lock out who asks for it.
pub fn host_up(
    platform: &Platform,
    hosts: &BTreeMap<String, HostFacts>,
    certificates: &[ClientCertificate],
) -> Result<Plan, RoleError> {
    let known = platform.hosts.iter().filter_map(|host| Some((host, hosts.get(&host.name)?)));
    let lines = known.map(|(host, facts)| line(platform, host, facts, certificates)).collect::<Result<_, _>>()?;
    Ok(Plan { world: None, leases: BTreeMap::new(), lines })
}

fn line(
    platform: &Platform,
    host: &Host,
    facts: &HostFacts,
    certificates: &[ClientCertificate],
) -> Result<Line, RoleError> {
    if !matches!(facts.debian, 12 | 13) {
        return Err(RoleError::OtherDebian { host: host.name.clone(), debian: facts.debian });
    }
    let admitted = |operator: Ipv4Addr| platform.ssh.allow_from.iter().any(|network| network.contains(&operator));
    if let Some(operator) = facts.operator.filter(|operator| !admitted(*operator)) {
        return Err(RoleError::LockedOut { host: host.name.clone(), operator });
    }
    let listener = match &platform.incus.endpoint {
        Endpoint::Https(https) if *https.address.ip() == host.address => Some(https),
        _ => None,
    };
    let mut items = common::host_steps(platform, &host.name, host.address, facts.debian)?;
    let mut notes = Vec::new();
    match limits(facts) {
        Some(group) => items.extend(group.into_items()),
        None => {
            notes.push("its kernel's limits are left alone: it is a container, and they are its own host's".to_owned())
        }
    }
    items.extend(incus::steps(platform, host, facts)?);
    items.extend(firewall::steps(platform, listener)?);
    if let Some(https) = listener {
        if certificates.is_empty() {
            return Err(RoleError::NoClientCertificate(host.name.clone()));
        }
        items.extend(environment::steps(platform, facts, https, certificates));
    }
    let roles = vec!["common".to_owned(), "host".to_owned()];
    Ok(Line { instance: host.name.clone(), roles, machine: None, items, notes })
}

/// All unprivileged containers share one range of user ids, and so one user's limits: with the kernel's own the twentieth
/// boots degraded ("Too many open files"). The figures are those of Incus's documentation for servers in production.
fn limits(facts: &HostFacts) -> Option<Group> {
    const LIMITS: [(&str, &str); 8] = [
        ("fs.aio-max-nr", "524288"),
        ("fs.inotify.max_queued_events", "1048576"),
        ("fs.inotify.max_user_instances", "1048576"),
        ("fs.inotify.max_user_watches", "1048576"),
        ("kernel.keys.maxbytes", "2000000"),
        ("kernel.keys.maxkeys", "2000"),
        ("net.ipv4.neigh.default.gc_thresh3", "8192"),
        ("vm.max_map_count", "262144"),
    ];
    if facts.container {
        return None;
    }
    let mut group = Group::new("host/limits");
    for (key, value) in LIMITS {
        group.step(key, format!("allow many instances: {key}"), crate::group::sysctl(key, value));
    }
    Some(group)
}

fn listens(https: &Https) -> String {
    https.address.to_string()
}

/// Steps of several groups, one after the other.
fn in_turn(groups: impl IntoIterator<Item = Group>) -> Vec<LineItem> {
    groups.into_iter().flat_map(Group::into_items).collect()
}
