//! Whether a plan can be walked to its end at all. Found here, a mistake is a sentence; found while applying, it is a
//! run that hangs.

use std::collections::{BTreeMap, BTreeSet};

use crate::waits::Waits;
use crate::{LineItem, Milestone, Plan};

/// A mistake in a plan. It is one of the program's, not of its user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("{instance} has more than one step `{id}`")]
    DuplicateStep { instance: String, id: String },
    #[error("there is more than one line for {0}")]
    DuplicateInstance(String),
    #[error("the milestone `{0}` is reached more than once, so nobody can tell what it says")]
    DuplicateMilestone(Milestone),
    #[error("{instance} waits for `{milestone}`, which no line reaches")]
    UnknownMilestone { instance: String, milestone: Milestone },
    #[error("{instance} waits for `{milestone}` for the sake of `{step}`, which does not come after it")]
    NothingToWaitFor { instance: String, milestone: Milestone, step: String },
    #[error("{instance} takes the lease `{lease}`, which the plan does not know")]
    UnknownLease { instance: String, lease: String },
    #[error("{instance} does not take and release the lease `{lease}` once each, in this order")]
    UnbalancedLease { instance: String, lease: String },
    /// Lines that wait for each other for ever, as a path of `instance: item` that ends where it began.
    #[error("lines wait for each other: {}", .0.join(" → "))]
    Cycle(Vec<String>),
}

impl Plan {
    /// # Errors
    /// Every mistake that keeps the plan from being walked to its end. Cycles are only looked for in a plan that is
    /// sound otherwise, and one is reported.
    pub fn check(&self) -> Result<(), Vec<PlanError>> {
        let mut errors = self.duplicates();
        errors.extend(self.unknown_milestones());
        errors.extend(self.waits_for_nothing());
        errors.extend(self.wrong_leases());
        if errors.is_empty() {
            errors.extend(Waits::new(self).cycle().map(PlanError::Cycle));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The instances that take each lease, in the order in which they get it: as listed, then as in the plan.
    pub(crate) fn all_takers(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut takers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in &self.lines {
            for item in &line.items {
                if let LineItem::Take(lease) = item {
                    takers.entry(lease).or_default().push(&line.instance);
                }
            }
        }
        for (lease, takers) in &mut takers {
            let order = self.leases.get(*lease).map_or(&[][..], |lease| &lease.order);
            let place: BTreeMap<&str, usize> = order.iter().enumerate().map(|(n, it)| (it.as_str(), n)).collect();
            takers.sort_by_key(|taker| place.get(taker).copied().unwrap_or(usize::MAX));
        }
        takers
    }

    /// The same, of one lease.
    pub(crate) fn takers(&self, lease: &str) -> Vec<&str> {
        self.all_takers().remove(lease).unwrap_or_default()
    }

    fn duplicates(&self) -> Vec<PlanError> {
        let mut errors = Vec::new();
        let (mut instances, mut milestones) = (BTreeSet::new(), BTreeSet::new());
        for line in &self.lines {
            if !instances.insert(&line.instance) {
                errors.push(PlanError::DuplicateInstance(line.instance.clone()));
            }
            let mut ids = BTreeSet::new();
            for item in &line.items {
                match item {
                    LineItem::Step(step) if !ids.insert(&step.id) => {
                        errors.push(PlanError::DuplicateStep { instance: line.instance.clone(), id: step.id.clone() })
                    }
                    LineItem::Reach(milestone) if !milestones.insert(milestone) => {
                        errors.push(PlanError::DuplicateMilestone(milestone.clone()));
                    }
                    _ => {}
                }
            }
        }
        errors
    }

    fn unknown_milestones(&self) -> impl Iterator<Item = PlanError> {
        let reached: BTreeSet<&Milestone> = self.reached().map(|(milestone, _)| milestone).collect();
        self.lines.iter().flat_map(|line| line.items.iter().map(move |item| (line, item))).filter_map(
            move |(line, item)| {
                let milestone = item.awaited().filter(|milestone| !reached.contains(milestone))?.clone();
                Some(PlanError::UnknownMilestone { instance: line.instance.clone(), milestone })
            },
        )
    }

    /// Where a line waits for the sake of steps that it does not have, or that it did before.
    fn waits_for_nothing(&self) -> Vec<PlanError> {
        let mut errors = Vec::new();
        for line in &self.lines {
            for (n, item) in line.items.iter().enumerate() {
                let LineItem::AwaitFor { milestone, steps } = item else { continue };
                let later: BTreeSet<&str> =
                    line.items[n..].iter().filter_map(LineItem::step).map(|step| step.id.as_str()).collect();
                errors.extend(steps.iter().filter(|step| !later.contains(step.as_str())).map(|step| {
                    PlanError::NothingToWaitFor {
                        instance: line.instance.clone(),
                        milestone: milestone.clone(),
                        step: step.clone(),
                    }
                }));
            }
        }
        errors
    }

    fn wrong_leases(&self) -> Vec<PlanError> {
        let mut errors = Vec::new();
        for line in &self.lines {
            let mut uses: BTreeMap<&String, Vec<bool>> = BTreeMap::new();
            for item in &line.items {
                match item {
                    LineItem::Take(lease) => uses.entry(lease).or_default().push(true),
                    LineItem::Release(lease) => uses.entry(lease).or_default().push(false),
                    _ => {}
                }
            }
            for (lease, uses) in uses {
                let (instance, lease) = (line.instance.clone(), lease.clone());
                if !self.leases.contains_key(&lease) {
                    errors.push(PlanError::UnknownLease { instance, lease });
                } else if uses != [true, false] {
                    errors.push(PlanError::UnbalancedLease { instance, lease });
                }
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{awaits, awaits_for, lease, line, plan, reaches, releases, step, takes};

    #[test]
    fn a_plan_without_mistakes_passes() {
        let plan = plan(
            [line("a", [step("r/g/1"), reaches("a: up")]), line("b", [awaits("a: up"), takes("l"), releases("l")])],
            [lease("l", 1, ["b"])],
        );
        assert_eq!(plan.check(), Ok(()));
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let plan = plan(
            [
                line("a", [step("r/g/1"), step("r/g/1"), takes("unknown"), releases("unknown")]),
                line("a", [awaits("nowhere"), reaches("m"), reaches("m")]),
                line("b", [releases("l"), takes("l")]),
                line("c", [step("r/g/1"), awaits_for("m", &["r/g/1"])]),
            ],
            [lease("l", 1, [])],
        );
        let told: Vec<String> = plan.check().unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "a has more than one step `r/g/1`",
                "there is more than one line for a",
                "the milestone `m` is reached more than once, so nobody can tell what it says",
                "a waits for `nowhere`, which no line reaches",
                "c waits for `m` for the sake of `r/g/1`, which does not come after it",
                "a takes the lease `unknown`, which the plan does not know",
                "b does not take and release the lease `l` once each, in this order",
            ]
        );
    }

    #[test]
    fn lines_that_wait_for_each_other_are_told_as_a_path_that_ends_where_it_began() {
        let plan =
            plan([line("a", [awaits("y"), step("r/g/1"), reaches("x")]), line("b", [awaits("x"), reaches("y")])], []);
        let errors = plan.check().unwrap_err();
        let [PlanError::Cycle(path)] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!(path.first(), path.last());
        assert_eq!(path.len(), 5, "{path:?}");
    }

    #[test]
    fn a_line_that_waits_for_itself_is_a_cycle() {
        let plan = plan([line("a", [awaits("x"), reaches("x")])], []);
        assert!(matches!(plan.check().unwrap_err().as_slice(), [PlanError::Cycle(_)]));
    }

    #[test]
    fn a_lease_held_while_waiting_for_the_next_taker_is_a_cycle() {
        let lines = || {
            [
                line("a", [takes("l"), awaits("b: up"), releases("l")]),
                line("b", [takes("l"), reaches("b: up"), releases("l")]),
            ]
        };
        assert!(matches!(
            plan(lines(), [lease("l", 1, ["a", "b"])]).check().unwrap_err().as_slice(),
            [PlanError::Cycle(_)]
        ));
        assert_eq!(plan(lines(), [lease("l", 1, ["b", "a"])]).check(), Ok(()), "the other order can be walked");
        assert_eq!(plan(lines(), [lease("l", 2, ["a", "b"])]).check(), Ok(()), "both may hold it");
    }

    #[test]
    fn two_leases_taken_in_opposite_orders_are_a_cycle() {
        let plan = plan(
            [
                line("a", [takes("x"), takes("y"), releases("y"), releases("x")]),
                line("b", [takes("y"), takes("x"), releases("x"), releases("y")]),
            ],
            [lease("x", 1, ["a", "b"]), lease("y", 1, ["b", "a"])],
        );
        assert!(matches!(plan.check().unwrap_err().as_slice(), [PlanError::Cycle(_)]));
    }

    /// Walks a plan as an engine would, with no more thought than: go on where it is possible.
    fn can_be_walked(plan: &Plan) -> bool {
        let mut at = vec![0; plan.lines.len()];
        let mut reached = BTreeSet::new();
        let mut taken: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        loop {
            let mut moved = false;
            for (l, line) in plan.lines.iter().enumerate() {
                let Some(item) = line.items.get(at[l]) else { continue };
                let may = match item {
                    LineItem::Step(_) => true,
                    LineItem::Reach(milestone) => {
                        reached.insert(milestone.as_str());
                        true
                    }
                    LineItem::Await(milestone) | LineItem::AwaitFor { milestone, .. } => {
                        reached.contains(milestone.as_str())
                    }
                    LineItem::Take(name) => {
                        let (so_far, held) = taken.entry(name).or_default();
                        let may = plan.takers(name)[*so_far] == line.instance && *held < plan.leases[name].capacity;
                        if may {
                            (*so_far, *held) = (*so_far + 1, *held + 1);
                        }
                        may
                    }
                    LineItem::Release(name) => {
                        taken.entry(name).or_default().1 -= 1;
                        true
                    }
                };
                at[l] += usize::from(may);
                moved |= may;
            }
            if !moved {
                return plan.lines.iter().zip(at).all(|(line, at)| at == line.items.len());
            }
        }
    }

    fn plans() -> impl Strategy<Value = Plan> {
        // Each of four lines gets, at random places: its milestone, waits for others', and one lease around a stretch.
        let line =
            (0..6usize, prop::collection::vec((0..4usize, 0..6usize), 0..2), prop::option::of((0..6usize, 1..4usize)));
        let order = Just(vec!["l0", "l1", "l2", "l3"]).prop_shuffle();
        (prop::collection::vec(line, 4), order).prop_map(|(lines, order)| {
            let lines = lines.into_iter().enumerate().map(|(n, (reach, waits, held))| {
                let mut items: Vec<(usize, LineItem)> = vec![(reach, reaches(&format!("m{n}")))];
                items.extend(waits.into_iter().map(|(m, at)| (at, awaits(&format!("m{m}")))));
                if let Some((from, length)) = held {
                    items.extend([(from, takes("l")), (from + length, releases("l"))]);
                }
                items.sort_by_key(|(at, _)| *at);
                line_of(n, items)
            });
            plan(lines, [lease("l", 1, order)])
        })
    }

    fn line_of(n: usize, items: Vec<(usize, LineItem)>) -> crate::Line {
        line(&format!("l{n}"), items.into_iter().map(|(_, item)| item))
    }

    proptest! {
        #[test]
        fn a_plan_passes_exactly_when_it_can_be_walked_to_its_end(plan in plans()) {
            prop_assert_eq!(plan.check().is_ok(), can_be_walked(&plan));
        }
    }
}
