use bascule_plan::Plan;
use bascule_spec::{Colour, Platform, Topology};

use super::needs;
use crate::line::{self, Making};
use crate::{Facts, RoleError, load_balancer};

/// Gives the sessions that a colour still has the time they are allowed to end. What is left then is said, and is no
/// failure: the replicas close it when they are stopped.
///
/// # Errors
/// The colour has the traffic, or the platform was never brought up.
pub fn drain(platform: &Platform, facts: &Facts, colour: Colour) -> Result<Plan, RoleError> {
    needs(platform, Topology::BlueGreen, "drain")?;
    if facts.releases.active == Some(colour) {
        return Err(RoleError::ColourIsActive(colour));
    }
    let lines = facts.load_balancers(platform).into_iter().map(|load_balancer| {
        line::line(platform, facts, load_balancer, Making::Nothing, load_balancer::drain(platform, colour))
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, _>>()?))
}
