use bascule_plan::{Line, Plan};
use bascule_spec::{Colour, Platform, Topology};

use super::{needs, replicas};
use crate::group::Group;
use crate::line::{self, Making};
use crate::{Facts, RoleError, load_balancer};

/// Asks every replica of a colour for the commit that is recorded of it, from every load balancer across the network, and
/// HAProxy whether it finds all of them healthy. Changes nothing.
///
/// # Errors
/// Nothing is recorded of the colour, or the platform was never brought up.
pub fn probe(platform: &Platform, facts: &Facts, colour: Colour) -> Result<Plan, RoleError> {
    needs(platform, Topology::BlueGreen, "probe")?;
    let release = facts.releases.colours.get(&Some(colour)).ok_or(RoleError::NothingReleased(Some(colour)))?;
    Ok(line::plan(platform, facts, lines(platform, facts, colour, &release.commit, false)?))
}

/// One line for each load balancer that runs. With `wait_for_replicas`, a replica is asked when its own line says that it is healthy.
pub(super) fn lines(
    platform: &Platform,
    facts: &Facts,
    colour: Colour,
    commit: &str,
    wait_for_replicas: bool,
) -> Result<Vec<Line>, RoleError> {
    let lines = facts.load_balancers(platform).into_iter().map(|load_balancer| {
        let mut group = Group::new("load_balancer/probe");
        for (component, replica) in replicas(platform, facts, Some(colour)) {
            if wait_for_replicas {
                group.wait_for(line::healthy(replica));
            }
            load_balancer::probe_replica(&mut group, (component, replica, facts.address(replica)?), commit);
        }
        let pools: Vec<String> =
            platform.components.iter().map(|component| load_balancer::backend(component, Some(colour))).collect();
        let servers = load_balancer::wait_for_servers(15_000, &pools);
        group.step("servers", format!("wait until HAProxy finds all of {colour} healthy"), servers);
        line::line(platform, facts, load_balancer, Making::Nothing, group.into_items())
    });
    lines.collect()
}
