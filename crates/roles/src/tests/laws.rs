//! What holds for the plans of every platform in every state.

use std::collections::{BTreeMap, BTreeSet};

use bascule_plan::{Line, LineItem, MachineAction, Plan, Resource};
use bascule_spec::{Colour, Instance, Platform, Role, Topology};
use proptest::prelude::*;

use super::platforms::{
    NEW, OLD, any_platform, artifacts, behind_one_address, built, fingerprint, nothing_yet, platform, running, shop,
};
use crate::{Existing, Facts, RoleError, drain, health, out_of_rotation, prepare, roll, rotation, switch, up};

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
            prop_assert_eq!(line.machine.as_ref().unwrap().action, action, "{}", line.instance);
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
    fn the_image_of_a_machine_that_is_made_holds_every_package_that_its_line_asks_for(
        (platform, facts) in any_platform()
    ) {
        for plan in plans(&platform, &facts) {
            for line in plan.lines.iter().filter(|line| is_made(line)) {
                for step in line.steps() {
                    if let Resource::Packages(packages) = &step.resource {
                        prop_assert!(packages.names.iter().all(|name| line.machine.as_ref().unwrap().image_packages.contains(name)));
                    }
                }
            }
        }
    }
}

#[test]
fn a_replica_that_is_made_anew_has_the_image_that_it_was_first_made_of() {
    let platform = shop(Topology::BlueGreen);
    let images = |plan: Plan| {
        let made = plan.lines.into_iter().filter(is_made);
        made.map(|line| (line.instance, line.machine.unwrap().image_packages)).collect::<BTreeMap<_, _>>()
    };
    let first = images(up(&platform, &nothing_yet(&platform)).unwrap());
    let anew = images(prepare(&platform, &running(&platform), Colour::Green, NEW, &artifacts(&platform, NEW)).unwrap());
    assert!(!anew.is_empty());
    for (replica, image) in anew {
        assert_eq!(first.get(&replica), Some(&image), "{replica}");
    }
}

fn is_made(line: &Line) -> bool {
    let action = line.machine.as_ref().map(|machine| machine.action);
    matches!(action, Some(MachineAction::Create | MachineAction::Rebuild))
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
    let action =
        |name: &str| plan.lines.iter().find(|line| line.instance == name).unwrap().machine.as_ref().unwrap().action;
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
fn a_component_that_is_newer_than_the_release_waits_for_the_next_deploy() {
    let platform = shop(Topology::BlueGreen);
    let mut facts = running(&platform);
    facts.releases.colours.values_mut().for_each(|release| _ = release.artifacts.remove("api"));
    let plan = up(&platform, &facts).unwrap();
    assert_eq!(plan.check(), Ok(()));
    let line = |name: &str| plan.lines.iter().find(|line| line.instance == name).unwrap();
    assert!(!line("api-blue-1").steps().any(|step| step.group() == "component/service"));
    let [note] = line("api-blue-1").notes.as_slice() else { panic!("{:?}", line("api-blue-1").notes) };
    assert!(note.contains("has nothing for api on blue yet") && note.contains("deploy"), "{note}");
    assert!(line("web-blue-1").steps().any(|step| step.group() == "component/service"), "web waits for api");
    assert!(!line("lb-1").steps().any(|step| step.id.ends_with("/api-blue-1")), "a load balancer waits for api");
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
    let told = ["colour", "traffic", "generation", "announce"].map(|id| format!("load_balancer/switch/{id}"));
    assert_eq!(steps, told);
}

#[test]
fn the_load_balancer_that_holds_the_address_switches_last() {
    let platform = behind_one_address(1);
    for (holder, order) in
        [(None, ["lb-2", "lb-1"]), (Some("lb-1"), ["lb-2", "lb-1"]), (Some("lb-2"), ["lb-1", "lb-2"])]
    {
        let facts = Facts { holder: holder.map(str::to_owned), ..running(&platform) };
        let plan = switch(&platform, &facts).unwrap();
        assert_eq!(plan.leases["switch traffic"].order, order, "held by {holder:?}");
    }
}

#[test]
fn who_is_down_is_brought_up_before_any_that_serves_is_touched() {
    let platform = platform(Topology::MultiInstance, 2, &[3]);
    let mut facts = built(&platform, running(&platform));
    for down in ["api-2", "lb-1"] {
        facts.instances.insert(down.to_owned(), Existing::Stopped);
    }
    facts.holder = Some("lb-2".to_owned());
    let plan = up(&platform, &facts).unwrap();
    assert_eq!(plan.leases["roll api"].order, ["api-2", "api-1", "api-3"]);
    assert_eq!(plan.leases["roll load_balancer"].order, ["lb-1", "lb-2"]);
    // One that runs and gets no requests is down, too.
    facts.out_of_rotation = out_of_rotation(["load_balancer/rotation/api-3", "load_balancer/haproxy/config"]);
    assert_eq!(up(&platform, &facts).unwrap().leases["roll api"].order, ["api-2", "api-3", "api-1"]);
}

#[test]
fn load_balancers_are_asked_for_every_replica_in_the_very_steps_in_which_they_wait_for_it() {
    let platform = platform(Topology::MultiInstance, 2, &[3]);
    let facts = built(&platform, running(&platform));
    let asked = rotation(&platform, &facts).unwrap();
    assert_eq!(lines(&asked).into_iter().collect::<Vec<_>>(), ["lb-1", "lb-2"]);
    let waits = up(&platform, &facts).unwrap();
    for line in &asked.lines {
        let same = waits.lines.iter().find(|other| other.instance == line.instance).unwrap();
        assert!(line.steps().count() > 0 && line.steps().all(|step| same.steps().any(|other| other == step)));
        assert_eq!(out_of_rotation(line.steps().map(|step| step.id.as_str())).len(), line.steps().count());
    }
}

#[test]
fn a_load_balancer_that_does_not_run_is_left_out_of_a_release_only_where_it_cannot_take_the_address() {
    let shared = behind_one_address(1);
    let apart = platform(Topology::BlueGreen, 2, &[1]);
    for (platform, reached) in [(&shared, vec!["lb-1"]), (&apart, vec!["lb-1", "lb-2"])] {
        let mut facts = running(platform);
        facts.instances.insert("lb-2".into(), Existing::Stopped);
        let plan = switch(platform, &facts).unwrap();
        assert_eq!(lines(&plan).into_iter().collect::<Vec<_>>(), reached);
        let everything = up(platform, &facts).unwrap();
        assert!(lines(&everything).contains("lb-2"), "`up` brings it back");
    }
}

#[test]
fn a_load_balancer_tells_of_a_generation_only_after_it_was_seen_to_serve_it() {
    let platform = behind_one_address(1);
    let plan = switch(&platform, &running(&platform)).unwrap();
    for line in &plan.lines {
        let place = |id: &str| line.steps().position(|step| step.id == format!("load_balancer/switch/{id}")).unwrap();
        assert!(
            place("traffic") < place("answer-api") && place("answer-api") < place("generation"),
            "{}",
            line.instance
        );
    }
}

#[test]
fn a_secret_is_named_in_a_plan_and_never_more() {
    let platform = platform(Topology::MultiInstance, 1, &[1]);
    let plan = up(&platform, &running(&platform)).unwrap();
    let api = plan.lines.iter().find(|line| line.instance == "api-1").unwrap();
    let secret = api.steps().find(|step| step.id == "component/service/credential-operator_token").unwrap();
    let Resource::File(file) = &secret.resource else { panic!("{secret:?}") };
    let known = bascule_plan::Secret { name: "operator_token".into(), fingerprint: fingerprint("operator_token") };
    assert_eq!(file.content, bascule_plan::Content::Secret(known));
    assert_eq!(file.mode, 0o600);
}

#[test]
fn without_the_value_of_a_secret_there_is_no_plan() {
    let platform = platform(Topology::MultiInstance, 1, &[1]);
    let facts = Facts { secrets: std::collections::BTreeMap::new(), ..running(&platform) };
    let refused = up(&platform, &facts).unwrap_err().to_string();
    assert_eq!(refused, "the secret operator_token has no value");
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
