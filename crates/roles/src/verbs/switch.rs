use bascule_plan::Plan;
use bascule_spec::{Platform, Topology};

use super::needs;
use crate::line::{self, Making};
use crate::{Facts, RoleError, load_balancer};

/// Moves the traffic to the active colour of `facts.releases`, which hold the new colour and generation already, on one
/// load balancer after the other, the one that holds the virtual address last; each then has to answer with that
/// colour's commit through its front door. Without an active colour, nothing has the traffic, and nothing is asked.
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
    plan(platform, facts, commit)
}

/// Brings every load balancer to the switch that is recorded, and asks for no answers: the end of one that was killed,
/// also where what has the traffic is not well.
///
/// # Errors
/// The platform was never brought up.
pub fn catch_up(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    needs(platform, Topology::BlueGreen, "catch_up")?;
    plan(platform, facts, None)
}

fn plan(platform: &Platform, facts: &Facts, commit: Option<&str>) -> Result<Plan, RoleError> {
    let lines = facts.load_balancers(platform).into_iter().map(|load_balancer| {
        let items = load_balancer::switch(platform, &facts.releases, commit);
        line::line(platform, facts, load_balancer, Making::Nothing, items)
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, _>>()?))
}
