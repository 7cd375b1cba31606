//! One file a verb: which lines, with which steps, meeting where.

mod drain;
mod drill;
mod health;
mod postgres;
mod prepare;
mod probe;
mod renew;
mod restore;
mod roll;
mod rotation;
mod secrets;
mod switch;
mod switchover;
mod up;

pub use drain::drain;
pub use drill::drill;
pub use health::health;
pub use postgres::{postgres_rejoin, postgres_switchover};
pub use prepare::prepare;
pub use probe::probe;
pub use renew::{due, due_or_out_of_rotation, renewal};
pub use restore::restore;
pub use roll::roll;
pub use rotation::rotation;
pub use secrets::service_secrets;
pub use switch::{catch_up, switch};
pub use switchover::switchover;
pub use up::up;

use std::collections::{BTreeMap, BTreeSet};

use bascule_plan::{Blob, LineItem, Plan};
use bascule_spec::{Colour, Component, Instance, Platform, Topology};

use crate::facts::{ColourRelease, ColourState};
use crate::group::Group;
use crate::{Facts, RoleError, line, load_balancer};

/// The steps in which a load balancer sends requests to a replica, which is their last word.
const ROTATION: &str = "load_balancer/rotation";

/// Replicas with their components, as a load balancer walks them: the first of each component, then the second…
/// Every pool's replicas come in the order of its lease.
fn replicas<'a>(platform: &'a Platform, facts: &Facts, colour: Option<Colour>) -> Vec<(&'a Component, &'a Instance)> {
    let mut replicas: Vec<(usize, &Component, &Instance)> = Vec::new();
    for component in &platform.components {
        let ordered = facts.down_first(platform, &component.name, colour).into_iter().enumerate();
        replicas.extend(ordered.map(|(n, replica)| (n, component, replica)));
    }
    replicas.sort_by_key(|(n, ..)| *n);
    replicas.into_iter().map(|(_, component, replica)| (component, replica)).collect()
}

/// On a load balancer: takes each replica for healthy only when HAProxy does, and says so to it.
///
/// Servers are named by their backend and their instance.
fn put_in_rotation<'a>(
    load_balancer: &Instance,
    servers: impl IntoIterator<Item = (String, &'a Instance)>,
) -> Vec<LineItem> {
    let mut group = Group::new(ROTATION);
    for (backend, replica) in servers {
        group.wait_for(line::healthy(replica));
        wait_for_rotation(&mut group, &backend, replica);
        group.reach(line::in_rotation(replica, load_balancer));
    }
    group.into_items()
}

fn wait_for_rotation(group: &mut Group, backend: &str, replica: &Instance) {
    // A check every half second, two in a row; what HAProxy last knew may be from before the replica went away.
    const TIMEOUT_MS: u64 = 15_000;
    let server = format!("{backend}/{}", replica.name);
    let title = format!("wait until HAProxy sends requests to {}", replica.name);
    group.step(&replica.name, title, load_balancer::wait_for_servers(TIMEOUT_MS, &[server]));
}

/// The steps alone, to be checked and never applied: nothing meets.
fn only_steps(mut plan: Plan) -> Plan {
    plan.leases.clear();
    for line in &mut plan.lines {
        line.items.retain(|item| item.step().is_some());
    }
    plan
}

/// The replicas that are out of rotation, by the steps of load balancers that were not found right.
pub fn out_of_rotation<'a>(differing: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let replica = |step: &'a str| step.strip_prefix(ROTATION)?.strip_prefix('/').map(str::to_owned);
    differing.into_iter().filter_map(replica).collect()
}

fn new_release(commit: &str, artifacts: &BTreeMap<String, Blob>) -> Result<ColourRelease, RoleError> {
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_commit {
        return Err(RoleError::BadCommit(commit.to_owned()));
    }
    Ok(ColourRelease {
        commit: commit.to_owned(),
        state: ColourState::Deploying,
        artifacts: artifacts.clone(),
        fallback: None,
    })
}

fn needs(platform: &Platform, topology: Topology, verb: &'static str) -> Result<(), RoleError> {
    let name = match platform.load_balancer.topology {
        Topology::BlueGreen => "blue-green",
        Topology::MultiInstance => "multi-instance",
    };
    if platform.load_balancer.topology == topology {
        Ok(())
    } else {
        Err(RoleError::WrongTopology { verb, topology: name })
    }
}
