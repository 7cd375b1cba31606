use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bascule_engine::{Converged, Run};
use bascule_roles::{Facts, Target};
use bascule_spec::{Platform, Postgres};

use crate::{ReleaseError, observe};

/// A formation that a restore makes, or has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub formation: String,
    /// Its first node, which has the data.
    pub node: String,
}

/// Restores a backup of PostgreSQL, and the log after it, into the first node of a formation of its own: of this name, or of
/// the first that is free, which those are not whose backups the repository has. What serves is left alone.
///
/// # Errors
/// What made the run impossible.
pub async fn restore(
    run: &Run,
    platform: &Platform,
    formation: Option<&str>,
    backed_up: &BTreeSet<String>,
    from: Option<&str>,
    target: &Target,
) -> Result<(Converged, Restored), ReleaseError> {
    let facts = observe(run, platform).await?;
    let formation = formation.map_or_else(|| free(&facts, backed_up), str::to_owned);
    let node = format!("{}-1", Postgres::node_prefix(Some(&formation)));
    let address = address(run, platform, &node).await?;
    let beside = bascule_roles::beside(platform, &formation, address);
    let facts = observe(run, &beside).await?;
    let plan = bascule_roles::restore(&beside, &facts, from, target)?;
    Ok((run.converge(&plan).await?, Restored { formation, node }))
}

/// The first name of which there is nothing yet.
fn free(facts: &Facts, backed_up: &BTreeSet<String>) -> String {
    let is_taken = |name: &String| {
        let prefix = format!("{}-", Postgres::node_prefix(Some(name)));
        backed_up.contains(name) || facts.instances.keys().any(|instance| instance.starts_with(&prefix))
    };
    (1..).map(|number| format!("r{number}")).find(|name| !is_taken(name)).unwrap_or_default()
}

/// Where a node is that exists; for another one an address of those that DHCP gives to what lives for a moment, the highest that
/// nobody has: load balancers let those to the store. It keeps the address when it is to serve.
async fn address(run: &Run, platform: &Platform, node: &str) -> Result<Ipv4Addr, ReleaseError> {
    let instances = run.incus().instances(&platform.incus.project).await?;
    let address = |devices: &bascule_incus::Devices| devices.get("eth0")?.get("ipv4.address")?.parse().ok();
    if let Some(own) = instances.iter().find(|instance| instance.name == node).and_then(|own| address(&own.devices)) {
        return Ok(own);
    }
    let taken: BTreeSet<Ipv4Addr> = instances.iter().filter_map(|instance| address(&instance.devices)).collect();
    let (first, last) = platform.network.dynamic().into_inner();
    // The lowest is left to DHCP, the highest to a drill.
    (first.to_bits() + 1..last.to_bits())
        .rev()
        .map(Ipv4Addr::from_bits)
        .find(|address| !taken.contains(address))
        .ok_or_else(|| ReleaseError::NoAddress(node.to_owned()))
}
