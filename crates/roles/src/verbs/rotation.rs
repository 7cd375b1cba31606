use bascule_plan::Plan;
use bascule_spec::{Platform, Topology};

use super::{ROTATION, needs, replicas, wait_for_rotation};
use crate::group::Group;
use crate::line::{self, Making};
use crate::{Facts, RoleError};

/// Asks every load balancer to which replicas it sends requests. Meant to be checked, never applied.
///
/// # Errors
/// The platform was never brought up.
pub fn rotation(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    needs(platform, Topology::MultiInstance, "rotation")?;
    let lines = facts.load_balancers(platform).into_iter().map(|load_balancer| {
        let mut group = Group::new(ROTATION);
        for (component, replica) in replicas(platform, facts, None) {
            wait_for_rotation(&mut group, component, replica, None);
        }
        line::line(platform, facts, load_balancer, Making::Nothing, group.into_items())
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, _>>()?))
}
