use bascule_plan::{LineItem, Plan, Resource};
use bascule_spec::Platform;

use super::up;
use crate::{Existing, Facts, RoleError};

/// What `up` would find of the services on the instances that run: the same lines, cut down to units and waits. Meant
/// to be checked, never applied.
///
/// # Errors
/// As [`up`].
pub fn health(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    let mut plan = up(platform, facts)?;
    plan.lines.retain(|line| facts.instances.get(&line.instance) == Some(&Existing::Running));
    for line in &mut plan.lines {
        line.items.retain(|item| match item {
            LineItem::Step(step) => matches!(step.resource, Resource::Unit(_) | Resource::Wait(_)),
            _ => false,
        });
    }
    plan.leases.clear();
    Ok(plan)
}
