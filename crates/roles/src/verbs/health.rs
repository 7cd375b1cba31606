use bascule_plan::{LineItem, Plan, Resource};
use bascule_spec::Platform;

use super::up;
use crate::{Existing, Facts, RoleError};

/// What `up` would find of the services on the instances that run: the same lines, cut down to units, waits,
/// the colour that has the traffic, and the role's own packages. Meant
/// to be checked, never applied.
///
/// # Errors
/// As [`up`].
pub fn health(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    let mut plan = up(platform, facts)?;
    plan.lines.retain(|line| facts.instances.get(&line.instance) == Some(&Existing::Running));
    for line in &mut plan.lines {
        line.items.retain(|item| match item {
            LineItem::Step(step) => match step.resource {
                Resource::Unit(_) | Resource::Wait(_) => true,
                // What the role itself is made of, for its version.
                Resource::Packages(_) => !step.id.starts_with("common/"),
                // The active colour on disk and in HAProxy's memory.
                Resource::File(_) => step.id == "load_balancer/haproxy/colour",
                Resource::Command(_) => step.id == "load_balancer/haproxy/traffic",
                _ => false,
            },
            _ => false,
        });
    }
    plan.leases.clear();
    Ok(plan)
}
