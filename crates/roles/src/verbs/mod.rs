//! One file a verb: which lines, with which steps, meeting where.

mod drain;
mod health;
mod prepare;
mod probe;
mod roll;
mod switch;
mod up;

pub use drain::drain;
pub use health::health;
pub use prepare::prepare;
pub use probe::probe;
pub use roll::roll;
pub use switch::switch;
pub use up::up;

use std::collections::BTreeMap;

use bascule_plan::{Blob, LineItem};
use bascule_spec::{Colour, Component, Instance, Platform, Topology};

use crate::facts::{ColourRelease, ColourState};
use crate::group::Group;
use crate::{RoleError, line, load_balancer};

/// Replicas with their components, as a load balancer walks them: the first of each component, then the second…
/// Every pool's replicas come in the order of its lease.
fn replicas(platform: &Platform, colour: Option<Colour>) -> Vec<(&Component, &Instance)> {
    let mut replicas: Vec<(usize, &Component, &Instance)> = Vec::new();
    for component in &platform.components {
        replicas
            .extend(platform.replicas(&component.name, colour).enumerate().map(|(n, replica)| (n, component, replica)));
    }
    replicas.sort_by_key(|(n, ..)| *n);
    replicas.into_iter().map(|(_, component, replica)| (component, replica)).collect()
}

/// On a load balancer: takes each replica for healthy only when HAProxy does, and says so to it.
fn put_in_rotation<'a>(
    load_balancer: &Instance,
    replicas: impl IntoIterator<Item = (&'a Component, &'a Instance, Option<Colour>)>,
) -> Vec<LineItem> {
    // A check every half second, two in a row; what HAProxy last knew may be from before the replica went away.
    const TIMEOUT_MS: u64 = 15_000;
    let mut group = Group::new("load_balancer/rotation");
    for (component, replica, colour) in replicas {
        group.wait_for(line::healthy(replica));
        let server = format!("{}/{}", load_balancer::backend(component, colour), replica.name);
        let title = format!("wait until HAProxy sends requests to {}", replica.name);
        group.step(&replica.name, title, load_balancer::wait_for_servers(TIMEOUT_MS, &[server]));
        group.reach(line::in_rotation(replica, load_balancer));
    }
    group.into_items()
}

fn new_release(commit: &str, artifacts: &BTreeMap<String, Blob>) -> Result<ColourRelease, RoleError> {
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_commit {
        return Err(RoleError::BadCommit(commit.to_owned()));
    }
    Ok(ColourRelease { commit: commit.to_owned(), state: ColourState::Deploying, artifacts: artifacts.clone() })
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
