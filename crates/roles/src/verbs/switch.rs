use bascule_plan::Plan;
use bascule_spec::{Platform, Topology};

use super::needs;
use crate::line::{self, Making};
use crate::{Facts, RoleError, load_balancer};

/// Moves the traffic to the active colour of `facts.releases`, which hold the new colour and generation already, on one
/// load balancer after the other; each then has to answer with that colour's commit through its front door. Without an
/// active colour, nothing has the traffic, and nothing is asked.
///
/// # Errors
/// Nothing is recorded of the active colour, or the platform was never brought up.
pub fn switch(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    needs(platform, Topology::BlueGreen, "switch")?;
    let commit = match facts.releases.active {
        None => None,
        active => {
            let release = facts.releases.colours.get(&active).ok_or(RoleError::NothingReleased(active))?;
            Some(release.commit.as_str())
        }
    };
    let lines = platform.load_balancers().map(|load_balancer| {
        let items = load_balancer::switch(platform, &facts.releases, commit);
        line::line(platform, facts, load_balancer, Making::Nothing, items)
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, _>>()?))
}
