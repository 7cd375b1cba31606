use bascule_plan::Plan;
use bascule_spec::{Platform, Topology};

use super::{ROTATION, needs, replicas, wait_for_rotation};
use crate::group::Group;
use crate::line::{self, Making};
use crate::{Facts, RoleError, load_balancer};

/// Asks every load balancer to which replicas it sends requests. Meant to be checked, never applied.
///
/// # Errors
/// The platform was never brought up.
pub fn rotation(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    needs(platform, Topology::MultiInstance, "rotation")?;
    let lines = facts.load_balancers(platform).into_iter().map(|own| {
        let mut group = Group::new(ROTATION);
        for (component, replica) in replicas(platform, facts, None) {
            wait_for_rotation(&mut group, &load_balancer::backend(component, None), replica);
        }
        line::line(platform, facts, own, Making::Nothing, group.into_items())
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, _>>()?))
}
