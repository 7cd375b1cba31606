use bascule_plan::{LineItem, Plan, Resource};
use bascule_spec::Platform;

use super::up;
use crate::{Existing, Facts, RoleError, ops};

/// Who has the traffic and by which switch, on disk and in HAProxy's memory.
const TRAFFIC: [&str; 4] = [
    "load_balancer/haproxy/colour",
    "load_balancer/haproxy/generation",
    "load_balancer/haproxy/traffic",
    "load_balancer/haproxy/announce",
];

/// What `up` would find of the services on the instances that run: the same lines, cut down to units, waits,
/// certificates, the colour that has the traffic, how the last timer's run went, and the role's own packages. Meant to be
/// checked, never applied.
///
/// # Errors
/// As [`up`].
pub fn health(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    let mut plan = up(platform, facts)?;
    plan.lines.retain(|line| facts.instances.get(&line.instance) == Some(&Existing::Running));
    for line in &mut plan.lines {
        line.items.retain(|item| match item {
            LineItem::Step(step) => match step.resource {
                Resource::Unit(_) | Resource::Wait(_) | Resource::Certificate(_) => true,
                // What the role itself is made of, for its version.
                Resource::Packages(_) => !step.id.starts_with("common/"),
                Resource::File(_) | Resource::Command(_) => {
                    TRAFFIC.contains(&step.id.as_str()) || step.id == ops::LAST_RUN
                }
                _ => false,
            },
            _ => false,
        });
    }
    plan.leases.clear();
    Ok(plan)
}
