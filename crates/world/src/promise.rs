//! `plan` equals apply: what the one says would change is what the other changes, no more and no less.

use std::collections::BTreeSet;

use bascule_plan::agent::Outcome;
use bascule_plan::event::{Event, INSTANCE_FIRST};
use bascule_plan::{Plan, Resource};

use crate::verbs::Ended;
use crate::watch::{Property, Violation};

/// # Errors
/// What one says and the other does not. Only a run that ended well is compared.
///
/// Four things are open until they are tried, and `plan` says so of each: a wait (it changes nothing), a command whose
/// check cannot be trusted before what is above it (it may turn out not to be needed), a unit that reads nothing of ours
/// and comes with a package (which may have started it), and the steps of an instance that is made first (its image may
/// hold them already).
pub fn plan_equals_apply(planned: &Ended, done: &Ended) -> Result<(), Violation> {
    let Some(plan) = done.plan.as_ref().filter(|_| planned.is_ok() && done.is_ok()) else { return Ok(()) };
    let would_change = changes(&planned.events, Outcome::WouldChange, plan);
    let changed = changes(&done.events, Outcome::Changed, plan);
    let made: BTreeSet<&str> = planned.events.iter().filter_map(made_first).collect();
    let unsaid = changed.iter().find(|change| !would_change.contains(*change) && !is_of(change, &made));
    let undone =
        would_change.iter().find(|change| !changed.contains(*change) && !is_of(change, &made) && !change.is_open);
    let violated = |seen: String| Err(Violation { property: Property::PlanEqualsApply, seen });
    match (unsaid, undone) {
        (Some(change), _) => violated(format!("{change} is changed, of which plan says nothing")),
        (_, Some(change)) => violated(format!("{change} would be changed, says plan, and it is not")),
        (None, None) => Ok(()),
    }
}

/// # Errors
/// What changed, in a run that had nothing to do.
pub fn unchanged(ended: &Ended) -> Result<(), Violation> {
    let what = ended.events.iter().find_map(|event| match event {
        Event::StepEnded { instance, step, outcome: Outcome::Changed | Outcome::Failed, reason, .. } => {
            Some(format!("{step} on {instance}: {reason}"))
        }
        Event::Thing { name, outcome: Outcome::Changed, reason, .. } => Some(format!("{name}: {reason}")),
        Event::Failure(failure) => Some(failure.message.clone()),
        _ => None,
    });
    let what = what.or_else(|| ended.error.clone());
    what.map_or(Ok(()), |what| {
        Err(Violation { property: Property::Converges, seen: format!("the next `up` changes something: {what}") })
    })
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    /// Nothing for a thing in Incus.
    instance: String,
    what: String,
    is_open: bool,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.what)?;
        if self.instance.is_empty() { Ok(()) } else { write!(f, " on {}", self.instance) }
    }
}

fn changes(events: &[Event], wanted: Outcome, plan: &Plan) -> BTreeSet<Change> {
    let change = |event: &Event| match event {
        Event::Thing { name, outcome, .. } if *outcome == wanted => {
            Some(Change { instance: String::new(), what: name.clone(), is_open: false })
        }
        Event::StepEnded { instance, step, outcome, .. } if *outcome == wanted => {
            let line = plan.lines.iter().find(|line| line.instance == *instance)?;
            let resource = line.steps().find(|it| it.id == *step).map(|step| &step.resource)?;
            let is_open = match resource {
                Resource::Command(_) => true,
                Resource::Unit(unit) => unit.inputs.is_empty() && unit.reload_inputs.is_empty(),
                _ => false,
            };
            let is_wait = matches!(resource, Resource::Wait(_));
            (!is_wait).then(|| Change { instance: instance.clone(), what: step.clone(), is_open })
        }
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

fn made_first(event: &Event) -> Option<&str> {
    match event {
        Event::StepEnded { instance, reason, .. } if reason == INSTANCE_FIRST => Some(instance),
        _ => None,
    }
}

fn is_of(change: &Change, instances: &BTreeSet<&str>) -> bool {
    instances.contains(change.instance.as_str())
}
