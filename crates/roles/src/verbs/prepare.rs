use std::collections::BTreeMap;

use bascule_plan::{Blob, Plan};
use bascule_spec::{Colour, Platform, Topology};

use super::{needs, new_release, replicas};
use crate::component::{self, Gates};
use crate::line::{self, Making};
use crate::{Facts, RoleError, common};

/// Puts a commit on the idle colour, in machines made anew, and asks every replica for it: on its own machine, then
/// from every load balancer across the network; in the end HAProxy itself must have found all of them healthy.
///
/// # Errors
/// The colour has the traffic, the commit is none, an artifact is missing, or the platform was never brought up.
pub fn prepare(
    platform: &Platform,
    facts: &Facts,
    colour: Colour,
    commit: &str,
    artifacts: &BTreeMap<String, Blob>,
) -> Result<Plan, RoleError> {
    needs(platform, Topology::BlueGreen, "prepare")?;
    if facts.releases.active == Some(colour) {
        return Err(RoleError::ColourIsActive(colour));
    }
    let release = new_release(commit, artifacts)?;
    let gates = Gates {
        accepted: Vec::new(),
        health_timeout_ms: platform.release.health_timeout_ms,
        restart_hung: false,
        load_balancers: &[],
    };
    let replicas = replicas(platform, facts, Some(colour));

    let mut lines = super::probe::lines(platform, facts, colour, commit, true)?;
    for (component, replica) in replicas {
        let mut items = common::steps(platform, facts, replica)?;
        items.extend(component::base(platform, facts, component, replica)?);
        items.extend(component::release(platform, facts, component, replica, &release, &gates)?);
        lines.push(line::line(platform, facts, replica, Making::Anew, items)?);
    }
    Ok(line::plan(platform, facts, lines))
}
