use std::collections::BTreeMap;

use bascule_plan::{Blob, Plan};
use bascule_spec::{Instance, Platform, Topology};

use super::{needs, new_release, put_in_rotation, replicas};
use crate::component::{self, Gates};
use crate::line::{self, Making};
use crate::{Facts, RoleError, load_balancer};

/// Puts a commit on the replicas of every component, one replica of a component at a time: it is unpacked beside the
/// running one, then the replica changes over, and the next one's turn comes when every load balancer sends it requests
/// again.
///
/// # Errors
/// The commit is none, an artifact is missing, or the platform was never brought up.
pub fn roll(
    platform: &Platform,
    facts: &Facts,
    commit: &str,
    artifacts: &BTreeMap<String, Blob>,
) -> Result<Plan, RoleError> {
    needs(platform, Topology::MultiInstance, "roll")?;
    let release = new_release(commit, artifacts)?;
    let load_balancers: Vec<&Instance> = facts.load_balancers(platform);
    let gates = Gates {
        accepted: Vec::new(),
        health_timeout_ms: platform.release.health_timeout_ms,
        restart_hung: false,
        load_balancers: &load_balancers,
    };
    let replicas = replicas(platform, facts, None);

    let mut lines = Vec::new();
    for own in &load_balancers {
        let servers = replicas.iter().map(|(component, replica)| (load_balancer::backend(component, None), *replica));
        let items = put_in_rotation(own, servers);
        lines.push(line::line(platform, facts, own, Making::Nothing, items)?);
    }
    for (component, replica) in replicas {
        let mut items = component::base(platform, facts, component, replica)?;
        items.extend(component::release(platform, facts, component, replica, &release, &gates)?);
        lines.push(line::line(platform, facts, replica, Making::Nothing, items)?);
    }
    Ok(line::plan(platform, facts, lines))
}
