//! A part of a plan: what some selectors name (`--only`), or any other choice of steps.

use std::collections::BTreeSet;

use crate::{Line, LineItem, Plan, Step};

/// A selector that names nothing in the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{selector}` names no instance, role or group of steps; there are: {}", .valid.join(", "))]
pub struct UnknownSelector {
    pub selector: String,
    /// What could have been said: roles and groups first, then instances.
    pub valid: Vec<String>,
}

impl Plan {
    /// Keeps what at least one selector names: an instance (its whole line), a role (its steps on every line) or a
    /// group of steps (`common/ssh`, or `ssh` for short). What goes with it, [`Plan::keeping`] says.
    ///
    /// # Errors
    /// The first selector that names nothing. No selectors at all keep nothing.
    pub fn narrow(&self, selectors: &[String]) -> Result<Self, UnknownSelector> {
        for selector in selectors {
            if !self.lines.iter().any(|line| line.instance == *selector || line.steps().any(|s| s.is_in(selector))) {
                return Err(UnknownSelector { selector: selector.clone(), valid: self.selectors() });
            }
        }
        Ok(self
            .keeping(|line, step| selectors.iter().any(|selector| *selector == line.instance || step.is_in(selector))))
    }

    /// Keeps some steps. Lines that keep nothing are left out.
    ///
    /// Of a line that is kept in part, a milestone stays when the step right before it does, and a wait when the step
    /// right after it does, or one for whose sake it waits; a lease stays as long as it holds a step, and so does what is waited for while it is held. Waits for milestones that nobody reaches any more
    /// are dropped.
    #[must_use]
    pub fn keeping(&self, keeps: impl Fn(&Line, &Step) -> bool) -> Self {
        let mut narrowed = Self {
            world: self.world.clone(),
            leases: self.leases.clone(),
            lines: self.lines.iter().filter_map(|line| line.keeping(|step| keeps(line, step))).collect(),
        };
        let reached: BTreeSet<String> = narrowed
            .lines
            .iter()
            .flat_map(|line| &line.items)
            .filter_map(|item| if let LineItem::Reach(milestone) = item { Some(milestone.clone()) } else { None })
            .collect();
        for line in &mut narrowed.lines {
            line.items.retain(|item| item.awaited().is_none_or(|milestone| reached.contains(milestone)));
        }
        let takers: Vec<(String, Vec<String>)> = (self.leases.keys())
            .map(|name| (name.clone(), narrowed.takers(name).into_iter().map(str::to_owned).collect()))
            .collect();
        for (name, takers) in takers {
            match narrowed.leases.get_mut(&name) {
                Some(lease) if !takers.is_empty() => lease.order.retain(|instance| takers.contains(instance)),
                _ => drop(narrowed.leases.remove(&name)),
            }
        }
        narrowed
    }

    fn selectors(&self) -> Vec<String> {
        let groups: BTreeSet<&str> = self
            .lines
            .iter()
            .flat_map(Line::steps)
            .flat_map(|step| [step.group(), step.group().split('/').next().unwrap_or_default()])
            .collect();
        groups.into_iter().chain(self.lines.iter().map(|line| line.instance.as_str())).map(str::to_owned).collect()
    }
}

impl Line {
    fn keeping(&self, keeps: impl Fn(&Step) -> bool) -> Option<Self> {
        if self.steps().all(&keeps) {
            return Some(self.clone());
        }
        if !self.steps().any(&keeps) {
            return None;
        }
        let kept = |step: Option<&LineItem>| matches!(step, Some(LineItem::Step(step)) if keeps(step));
        let holds_kept = |lease: &str| self.held(lease).iter().any(|item| kept(Some(item)));
        let is_step = |item: &&LineItem| matches!(item, LineItem::Step(_));
        let keep = |(n, item): (usize, &LineItem)| match item {
            LineItem::Step(step) => keeps(step),
            LineItem::Reach(_) => kept(self.items[..n].iter().rfind(is_step)),
            LineItem::Await(_) => kept(self.items[n..].iter().find(is_step)) || self.leases_at(n).any(&holds_kept),
            LineItem::AwaitFor { steps, .. } => self.steps().any(|step| steps.contains(&step.id) && keeps(step)),
            LineItem::Take(lease) | LineItem::Release(lease) => holds_kept(lease),
        };
        let items = self.items.iter().enumerate().filter(|(n, item)| keep((*n, item))).map(|(_, item)| item.clone());
        Some(Self { items: items.collect(), ..self.clone() })
    }

    /// The leases that are held where an item stands.
    fn leases_at(&self, n: usize) -> impl Iterator<Item = &str> {
        let released = move |lease: &str| {
            self.items[..n].iter().any(|item| matches!(item, LineItem::Release(released) if released == lease))
        };
        self.items[..n].iter().filter_map(move |item| match item {
            LineItem::Take(lease) if !released(lease) => Some(lease.as_str()),
            _ => None,
        })
    }

    /// The items between taking and releasing a lease.
    fn held(&self, lease: &str) -> &[LineItem] {
        let place = |wanted: LineItem| self.items.iter().position(|item| *item == wanted);
        match (place(LineItem::Take(lease.to_owned())), place(LineItem::Release(lease.to_owned()))) {
            (Some(take), Some(release)) if take < release => &self.items[take..release],
            _ => &[],
        }
    }
}

impl Step {
    /// Whether the step is of the role or of the group of steps that the selector names, with or without its role.
    fn is_in(&self, selector: &str) -> bool {
        let starts =
            |group: &str| group.strip_prefix(selector).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        starts(self.group()) || self.group().split_once('/').is_some_and(|(_, short)| starts(short))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{awaits, awaits_for, lease, line, plan, reaches, releases, step, takes};

    fn two_lines() -> Plan {
        plan(
            [
                line(
                    "api-1",
                    [
                        step("common/ssh/config"),
                        step("common/journal/limits"),
                        takes("roll"),
                        step("component/service/unit"),
                        reaches("api-1: healthy"),
                        releases("roll"),
                    ],
                ),
                line("lb-1", [step("common/ssh/config"), awaits("api-1: healthy"), step("load_balancer/traffic/up")]),
            ],
            [lease("roll", 1, ["api-1"])],
        )
    }

    fn only(selectors: &[&str]) -> Result<Plan, UnknownSelector> {
        let selectors: Vec<String> = selectors.iter().map(|selector| (*selector).to_owned()).collect();
        two_lines().narrow(&selectors)
    }

    #[test]
    fn a_group_of_steps_is_kept_on_every_line_with_or_without_its_role() {
        let plan = only(&["common/ssh"]).unwrap();
        assert_eq!(plan, only(&["ssh"]).unwrap());
        assert_eq!(plan.lines[0].items, [step("common/ssh/config")]);
        assert_eq!(plan.lines[1].items, [step("common/ssh/config")]);
        assert!(plan.leases.is_empty(), "nobody takes it any more");
    }

    #[test]
    fn an_instance_keeps_its_whole_line_but_the_waits_that_nobody_ends() {
        let plan = only(&["lb-1"]).unwrap();
        assert_eq!(plan.lines.len(), 1);
        assert_eq!(plan.lines[0].items, [step("common/ssh/config"), step("load_balancer/traffic/up")]);
        assert_eq!(plan.check(), Ok(()));
    }

    #[test]
    fn roles_that_meet_still_meet() {
        let plan = only(&["component", "load_balancer"]).unwrap();
        let api = [takes("roll"), step("component/service/unit"), reaches("api-1: healthy"), releases("roll")];
        assert_eq!(plan.lines[0].items, api);
        assert_eq!(plan.lines[1].items, [awaits("api-1: healthy"), step("load_balancer/traffic/up")]);
        assert_eq!(plan.check(), Ok(()));
    }

    #[test]
    fn a_lease_is_not_given_back_before_what_it_waits_for() {
        let held =
            [takes("roll"), step("component/service/unit"), reaches("api-1: healthy"), awaits("api-1: in rotation")];
        let replica = line("api-1", held.into_iter().chain([releases("roll"), step("component/cleanup/old")]));
        let balancer = [awaits("api-1: healthy"), step("load_balancer/rotation/api-1"), reaches("api-1: in rotation")];
        let whole = plan([replica, line("lb-1", balancer)], [lease("roll", 1, ["api-1"])]);
        let narrowed = whole.keeping(|_, step| step.id != "component/cleanup/old");
        assert_eq!(narrowed.lines[0].items[3], awaits("api-1: in rotation"));
        assert_eq!(narrowed.check(), Ok(()));
    }

    #[test]
    fn a_wait_goes_with_the_steps_for_whose_sake_it_is() {
        let items = [step("store/keys/key"), reaches("keys")];
        let waits = [awaits_for("keys", &["edge/keys/store"]), step("edge/keys/folder"), step("edge/keys/store")];
        let whole = plan([line("store-1", items), line("edge-1", waits.clone())], []);
        let kept = |id: &str| whole.keeping(|line, step| line.instance == "store-1" || step.id == id).lines[1].clone();
        assert_eq!(kept("edge/keys/store").items, [waits[0].clone(), waits[2].clone()]);
        assert_eq!(kept("edge/keys/folder").items, [waits[1].clone()]);
    }

    #[test]
    fn a_selector_that_names_nothing_is_told_with_all_that_do() {
        let error = only(&["ssh", "sshd"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sshd` names no instance, role or group of steps; there are: common, common/journal, common/ssh, \
             component, component/service, load_balancer, load_balancer/traffic, api-1, lb-1"
        );
    }

    #[test]
    fn half_a_name_is_no_name() {
        assert!(only(&["common/s"]).is_err());
        assert!(only(&["api"]).is_err());
    }
}
