//! The plans of all verbs, to be read from top to bottom. Only `up` shows the steps of `common`.

use bascule_plan::Plan;
use bascule_spec::{Colour, Platform, Topology};

use super::platforms::{NEW, artifacts, nothing_yet, platform, release, running, shop};
use crate::{ColourState, Facts, drain, health, prepare, roll, switch, up};

/// Without `common`, which is the same for all and shown once.
fn outline(plan: &Plan) -> String {
    let common = |line: &&str| !line.starts_with("  common/");
    plan.outline().lines().filter(common).map(|line| format!("{line}\n")).collect()
}

fn one_replica_each(topology: Topology) -> (Platform, Facts) {
    let platform = platform(topology, 1, &[1, 0, 1]);
    let facts = running(&platform);
    (platform, facts)
}

#[test]
fn common_is_on_every_instance() {
    let platform = shop(Topology::BlueGreen);
    let plan = up(&platform, &nothing_yet(&platform)).unwrap();
    insta::assert_snapshot!(plan.narrow(&["build-1".into()]).unwrap().outline());
}

#[test]
fn up_before_anything_was_released() {
    let platform = platform(Topology::BlueGreen, 1, &[1, 0, 1]);
    insta::assert_snapshot!(outline(&up(&platform, &nothing_yet(&platform)).unwrap()));
}

#[test]
fn up_with_a_release_on_blue() {
    let (platform, facts) = one_replica_each(Topology::BlueGreen);
    insta::assert_snapshot!(outline(&up(&platform, &facts).unwrap()));
}

#[test]
fn a_release_is_prepared_on_green() {
    let (platform, facts) = one_replica_each(Topology::BlueGreen);
    let plan = prepare(&platform, &facts, Colour::Green, NEW, &artifacts(&platform, NEW)).unwrap();
    insta::assert_snapshot!(outline(&plan));
}

#[test]
fn two_load_balancers_switch_to_green_one_after_the_other() {
    let platform = platform(Topology::BlueGreen, 2, &[1, 0, 1]);
    let mut facts = running(&platform);
    facts.releases.generation = 2;
    facts.releases.active = Some(Colour::Green);
    facts.releases.colours.insert(Some(Colour::Green), release(&platform, NEW, ColourState::Ready));
    insta::assert_snapshot!(outline(&switch(&platform, &facts).unwrap()));
}

#[test]
fn green_drains_before_it_is_made_anew() {
    let (platform, facts) = one_replica_each(Topology::BlueGreen);
    insta::assert_snapshot!(outline(&drain(&platform, &facts, Colour::Green).unwrap()));
}

#[test]
fn a_release_rolls_through_two_replicas_behind_two_load_balancers() {
    let platform = platform(Topology::MultiInstance, 2, &[2]);
    let plan = roll(&platform, &running(&platform), NEW, &artifacts(&platform, NEW)).unwrap();
    insta::assert_snapshot!(outline(&plan));
}

#[test]
fn health_looks_and_changes_nothing() {
    let (platform, facts) = one_replica_each(Topology::BlueGreen);
    insta::assert_snapshot!(health(&platform, &facts).unwrap().outline());
}
/// `bench/converge` compares like with like, or its figures are void: whoever changes one of these groups changes its
/// playbook, too.
#[test]
fn ansible_has_a_task_for_each_step_of_the_groups_that_the_bench_compares() {
    let platform = shop(Topology::MultiInstance);
    let plan = up(&platform, &running(&platform)).unwrap();
    let playbook = include_str!("../../../../bench/converge/ansible/playbook.yml");
    let (tasks, _handlers) = playbook.split_once("\n  handlers:\n").unwrap();
    let tasks = tasks.matches("\n    - name: ").count();
    for line in &plan.lines {
        let groups = ["common/journal/", "common/updates/", "common/hardening/"];
        let steps = line.steps().filter(|step| groups.iter().any(|group| step.id.starts_with(group))).count();
        assert_eq!((steps, tasks), (24, 24), "{}", line.instance);
    }
}
