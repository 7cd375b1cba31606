//! What holds for the plans of every platform in every state.

use std::collections::BTreeSet;

use bascule_plan::{LineItem, MachineAction, Plan, Resource};
use bascule_spec::{Colour, Instance, Platform, Role, Topology};
use proptest::prelude::*;

use super::platforms::{NEW, OLD, any_platform, artifacts, built, nothing_yet, platform, running, shop};
use crate::{Existing, Facts, RoleError, drain, health, prepare, roll, switch, up};

/// The plans of all verbs that make sense for this platform as it is.
fn plans(platform: &Platform, facts: &Facts) -> Vec<Plan> {
    let built = built(platform, facts.clone());
    let new = artifacts(platform, NEW);
    let mut plans = vec![up(platform, facts).unwrap(), health(platform, facts).unwrap()];
    match platform.load_balancer.topology {
        Topology::MultiInstance => plans.push(roll(platform, &built, NEW, &new).unwrap()),
        Topology::BlueGreen => {
            let idle = facts.releases.active.map_or(Colour::Blue, Colour::other);
            plans.push(prepare(platform, &built, idle, NEW, &new).unwrap());
            plans.push(drain(platform, &built, idle).unwrap());
            let active = facts.releases.active.filter(|active| facts.releases.colours.contains_key(&Some(*active)));
            plans.extend(active.map(|_| switch(platform, &built).unwrap()));
        }
    }
    plans
}

fn names<'a>(instances: impl Iterator<Item = &'a Instance>) -> BTreeSet<&'a str> {
    instances.map(|instance| instance.name.as_str()).collect()
}

fn lines(plan: &Plan) -> BTreeSet<&str> {
    plan.lines.iter().map(|line| line.instance.as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_plan_can_be_walked_to_its_end((platform, facts) in any_platform()) {
        for plan in plans(&platform, &facts) {
            prop_assert_eq!(plan.check(), Ok(()));
        }
    }

    #[test]
    fn the_same_platform_and_facts_give_the_same_plan((platform, facts) in any_platform()) {
        prop_assert_eq!(plans(&platform, &facts), plans(&platform, &facts));
    }

    #[test]
    fn whatever_part_of_a_plan_is_asked_for_can_be_walked_to_its_end((platform, facts) in any_platform(), n in any::<prop::sample::Index>()) {
        let plan = up(&platform, &facts).unwrap();
        let valid = plan.narrow(&["no such thing".into()]).unwrap_err().valid;
        let part = plan.narrow(&[n.get(&valid).clone()]).unwrap();
        prop_assert!(!part.lines.is_empty());
        prop_assert_eq!(part.check(), Ok(()));
    }

    #[test]
    fn preparing_a_colour_leaves_the_machines_of_the_other_one_alone((platform, facts) in any_platform(), green: bool) {
        prop_assume!(platform.load_balancer.topology == Topology::BlueGreen);
        let idle = if green { Colour::Green } else { Colour::Blue };
        let mut facts = built(&platform, facts);
        facts.releases.active = Some(idle.other());
        let plan = prepare(&platform, &facts, idle, NEW, &artifacts(&platform, NEW)).unwrap();
        let touched: BTreeSet<&str> = lines(&plan);
        for component in &platform.components {
            prop_assert!(touched.is_disjoint(&names(platform.replicas(&component.name, Some(idle.other())))));
            prop_assert!(touched.is_superset(&names(platform.replicas(&component.name, Some(idle)))));
        }
        for line in &plan.lines {
            let balances = line.roles.iter().any(|role| role == "load_balancer");
            let action = if balances { MachineAction::Keep } else { MachineAction::Rebuild };
            prop_assert_eq!(line.machine.action, action, "{}", line.instance);
        }
    }

    #[test]
    fn a_switch_touches_load_balancers_only((platform, facts) in any_platform(), green: bool) {
        prop_assume!(platform.load_balancer.topology == Topology::BlueGreen);
        let mut facts = built(&platform, facts);
        let active = if green { Colour::Green } else { Colour::Blue };
        facts.releases.active = Some(active);
        prop_assume!(facts.releases.colours.contains_key(&Some(active)));
        let plan = switch(&platform, &facts).unwrap();
        prop_assert_eq!(lines(&plan), names(platform.load_balancers()));
    }

    #[test]
    fn a_replica_is_out_of_service_only_while_it_holds_its_pools_lease((platform, facts) in any_platform()) {
        for plan in plans(&platform, &facts) {
            for line in plan.lines.iter().filter(|line| line.roles.iter().any(|role| role == "component")) {
                let mut held = 0;
                for item in &line.items {
                    match item {
                        LineItem::Take(_) => held += 1,
                        LineItem::Release(_) => held -= 1,
                        LineItem::Step(step) if step.group() == "component/service" => {
                            let looks = plan.leases.is_empty();
                            prop_assert!(held == 1 || looks, "{} of {}", step.id, line.instance);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn an_image_holds_every_package_that_a_line_asks_for((platform, facts) in any_platform()) {
        for plan in plans(&platform, &facts) {
            for line in &plan.lines {
                for step in line.steps() {
                    if let Resource::Packages(packages) = &step.resource {
                        prop_assert!(packages.names.iter().all(|name| line.machine.image_packages.contains(name)));
                    }
                }
            }
        }
    }
}

#[test]
fn the_images_of_one_role_are_the_same_whatever_was_released() {
    let platform = shop(Topology::BlueGreen);
    let packages = |facts: &Facts| {
        let plan = up(&platform, facts).unwrap();
        plan.lines.into_iter().map(|line| (line.instance, line.machine.image_packages)).collect::<Vec<_>>()
    };
    assert_eq!(packages(&nothing_yet(&platform)), packages(&running(&platform)));
}

#[test]
fn a_configuration_of_haproxy_does_not_change_by_a_release_or_a_switch() {
    let platform = shop(Topology::BlueGreen);
    let config = |facts: &Facts| {
        let plan = up(&platform, facts).unwrap();
        let config = plan.lines[0].steps().find(|step| step.id == "load_balancer/haproxy/config").cloned();
        config.unwrap()
    };
    assert_eq!(config(&nothing_yet(&platform)), config(&running(&platform)));
}

#[test]
fn a_machine_is_made_started_or_kept_as_it_was_found() {
    let platform = shop(Topology::MultiInstance);
    let mut facts = running(&platform);
    facts.instances.remove("api-1");
    facts.instances.insert("api-2".into(), Existing::Stopped);
    let plan = up(&platform, &facts).unwrap();
    let action = |name: &str| plan.lines.iter().find(|line| line.instance == name).unwrap().machine.action;
    assert_eq!(action("api-1"), MachineAction::Create);
    assert_eq!(action("api-2"), MachineAction::Start);
    assert_eq!(action("web-1"), MachineAction::Keep);
    let seen = health(&platform, &facts).unwrap();
    assert!(!lines(&seen).contains("api-1") && !lines(&seen).contains("api-2"), "nothing can be asked there");
}

#[test]
fn a_release_that_did_not_end_well_is_left_alone_and_told() {
    let platform = shop(Topology::BlueGreen);
    let mut facts = running(&platform);
    facts.releases.colours.get_mut(&Some(Colour::Blue)).unwrap().state = crate::ColourState::Failed;
    let plan = up(&platform, &facts).unwrap();
    let line = plan.lines.iter().find(|line| line.instance == "api-blue-1").unwrap();
    assert!(!line.steps().any(|step| step.group() == "component/service"));
    let [note] = line.notes.as_slice() else { panic!("{:?}", line.notes) };
    assert!(note.contains(OLD) && note.contains("failed"), "{note}");
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let platform = shop(Topology::BlueGreen);
    let facts = running(&platform);
    let new = artifacts(&platform, NEW);
    let refused = |result: Result<Plan, RoleError>| result.unwrap_err().to_string();
    assert_eq!(
        refused(prepare(&platform, &facts, Colour::Blue, NEW, &new)),
        "blue already has the traffic: a release is prepared on the idle colour"
    );
    assert_eq!(
        refused(prepare(&platform, &facts, Colour::Green, "main", &new)),
        "`main` is not a commit: 40 lower-case hex digits are"
    );
    assert_eq!(
        refused(prepare(&platform, &facts, Colour::Green, NEW, &[].into())),
        format!("the release of {NEW} has no artifact of the component api")
    );
    assert_eq!(
        refused(prepare(&platform, &nothing_yet(&platform), Colour::Green, NEW, &new)),
        "the instance lb-1 does not exist yet: run `bascule up` first"
    );
    assert_eq!(
        refused(drain(&platform, &facts, Colour::Blue)),
        "blue already has the traffic: a release is prepared on the idle colour"
    );
    assert_eq!(refused(roll(&platform, &facts, NEW, &new)), "the topology `blue-green` has no `roll`");
    assert_eq!(refused(up(&platform, &Facts::default())), "the instance lb-1 has no address yet");
}

#[test]
fn a_switch_to_no_colour_takes_the_traffic_away_and_asks_nothing() {
    let platform = shop(Topology::BlueGreen);
    let plan = switch(&platform, &built(&platform, nothing_yet(&platform))).unwrap();
    let steps: Vec<&str> = plan.lines.iter().flat_map(|line| line.steps()).map(|step| step.id.as_str()).collect();
    assert_eq!(steps, ["load_balancer/switch/colour", "load_balancer/switch/traffic"]);
}

#[test]
fn a_secret_is_named_in_a_plan_and_never_more() {
    let platform = platform(Topology::MultiInstance, 1, &[1]);
    let plan = up(&platform, &running(&platform)).unwrap();
    let api = plan.lines.iter().find(|line| line.instance == "api-1").unwrap();
    let secret = api.steps().find(|step| step.id == "component/base/credential-operator_token").unwrap();
    let Resource::File(file) = &secret.resource else { panic!("{secret:?}") };
    assert_eq!(file.content, bascule_plan::Content::Secret("operator_token".into()));
    assert_eq!(file.mode, 0o600);
}

#[test]
fn the_keys_of_the_operators_come_before_the_hardening() {
    let platform = shop(Topology::BlueGreen);
    let plan = up(&platform, &nothing_yet(&platform)).unwrap();
    for line in &plan.lines {
        let place = |id: &str| line.steps().position(|step| step.id == id).unwrap();
        assert!(place("common/ssh/authorized-keys") < place("common/ssh/hardening"), "{}", line.instance);
    }
}

#[test]
fn a_plain_instance_has_what_is_common_only() {
    let platform = shop(Topology::BlueGreen);
    let plan = up(&platform, &nothing_yet(&platform)).unwrap();
    let plain = platform.instances.iter().filter(|instance| matches!(instance.role, Role::Plain { .. }));
    for line in plan.lines.iter().filter(|line| names(plain.clone()).contains(line.instance.as_str())) {
        assert!(line.steps().all(|step| step.id.starts_with("common/")));
    }
}
