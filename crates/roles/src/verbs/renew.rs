use std::collections::BTreeSet;

use bascule_plan::{Line, LineItem, Plan, Resource, Step};
use bascule_spec::{Instance, Platform, Role};

use super::{ROTATION, only_steps, out_of_rotation, up};
use crate::{Existing, Facts, RoleError};

/// Of `up`, on the instances that run: the certificates, whether those who read them have, since a renewal may have been
/// killed in between, and which replicas load balancers send requests to. Meant to be checked, never applied.
///
/// # Errors
/// As [`up`].
pub fn due_or_out_of_rotation(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    let asks = |line: &Line, step: &Step| {
        matches!(step.resource, Resource::Certificate(_)) || reads_a_certificate(line, step) || step.group() == ROTATION
    };
    let mut plan = only_steps(on_what_runs(platform, facts)?.keeping(asks));
    for line in &mut plan.lines {
        // What comes after something that differs is not asked: it may be right once that is.
        line.items.sort_by_key(|item| matches!(item, LineItem::Step(step) if step.group() != ROTATION));
    }
    Ok(plan)
}

/// The instances with certificates that are due, or that have to be read, by what was not found right of [`due_or_out_of_rotation`].
pub fn due<'a>(differing: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeSet<String> {
    let is_certificate = |step: &str| out_of_rotation([step]).is_empty();
    let of_certificates = differing.into_iter().filter(|(_, step)| is_certificate(step));
    of_certificates.map(|(instance, _)| instance.to_owned()).collect()
}

/// Of `up`, on the instances whose certificates are due: the certificates, the units that read them, and what those have
/// to pass before the next of their pool is touched. Nothing else, so that an older copy of the platform, which renews,
/// takes back nothing of a newer one. A replica waits for another time where another of its pool gets no requests; those
/// that wait come back as the second part.
///
/// # Errors
/// As [`up`].
pub fn renewal(
    platform: &Platform,
    facts: &Facts,
    due: &BTreeSet<String>,
) -> Result<(Plan, BTreeSet<String>), RoleError> {
    let waits = |name: &String| {
        let replica = platform.instances.iter().find(|instance| instance.name == *name);
        replica.is_some_and(|replica| leaves_nobody(platform, facts, replica))
    };
    let (waiting, due): (BTreeSet<String>, BTreeSet<String>) = due.iter().cloned().partition(waits);
    let plan = on_what_runs(platform, facts)?.keeping(|line, step| {
        let of_due = due.contains(&line.instance) && is_of_a_certificate(line, step);
        of_due || out_of_rotation([step.id.as_str()]).iter().any(|replica| due.contains(replica))
    });
    Ok((plan, waiting))
}

/// `up` on the instances that run, which stay as they are.
pub(super) fn on_what_runs(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    let mut plan = up(platform, facts)?;
    plan.lines.retain(|line| facts.instances.get(&line.instance) == Some(&Existing::Running));
    plan.world = None;
    for line in &mut plan.lines {
        line.machine = None;
    }
    // A lease's order, and who waits for whom, without those that do not run.
    Ok(plan.keeping(|_, _| true))
}

/// Whether another of a replica's pool gets no requests, so that this one has to stay.
fn leaves_nobody(platform: &Platform, facts: &Facts, replica: &Instance) -> bool {
    let Role::Component { component, colour } = &replica.role else { return false };
    let mut others = platform.replicas(component, *colour).filter(|other| other.name != replica.name);
    *colour == facts.releases.active && others.any(|other| facts.out_of_rotation.contains(&other.name))
}

fn is_of_a_certificate(line: &Line, step: &Step) -> bool {
    match &step.resource {
        Resource::Certificate(_) => true,
        Resource::Unit(_) => reads_a_certificate(line, step),
        Resource::Wait(_) => {
            line.steps().any(|reader| reader.group() == step.group() && reads_a_certificate(line, reader))
        }
        _ => false,
    }
}

fn reads_a_certificate(line: &Line, step: &Step) -> bool {
    let Resource::Unit(unit) = &step.resource else { return false };
    line.steps().any(|other| match &other.resource {
        Resource::Certificate(certificate) => {
            unit.inputs.iter().chain(&unit.reload_inputs).any(|path| *path == certificate.path)
        }
        _ => false,
    })
}
