use crate::lab::{A, B, BROKEN, LAST_WORDS, Lab, events, said};
use crate::load::{Load, Plan, Seen};

pub(crate) fn traffic(lab: &Lab) -> Plan {
    Plan {
        base: lab.front_door(),
        paths: vec!["/api/v1/status", "/", "/api/v1/health", "/version.json"],
        requests_per_s: 300,
        websockets: 10,
    }
}

pub(crate) fn assert_unharmed(seen: &Seen) {
    assert_nothing_failed(seen);
    assert!(!seen.ran_out, "the load ended before what it was for");
    assert!(seen.answered > 1000 && seen.echoes > 100, "the load itself did not run");
}

pub(crate) fn assert_nothing_failed(seen: &Seen) {
    println!(
        "load: {} answered, {} failed, {} broke off, {} echoes, {} sockets closed for a restart, {} cut",
        seen.answered,
        seen.failed.len(),
        seen.broke_off.len(),
        seen.echoes,
        seen.closed_for_restart,
        seen.cut.len()
    );
    assert!(seen.failed.is_empty(), "{:?}", &seen.failed[..seen.failed.len().min(5)]);
    assert!(seen.broke_off.is_empty(), "{:?}", &seen.broke_off[..seen.broke_off.len().min(5)]);
    assert!(seen.cut.is_empty(), "{:?}", &seen.cut[..seen.cut.len().min(5)]);
    assert!(seen.answered > 100, "the load itself did not run");
}

/// Each is a deploy and a rollback.
const ROUNDS: usize = 5;

#[test]
fn deploys_and_rollbacks_under_load_fail_no_request_and_cut_no_websocket() {
    let (_guard, lab) = Lab::shop();
    let load = Load::start(traffic(&lab));
    for round in 0..ROUNDS {
        let commit = lab.other();
        lab.ok(&["deploy", commit]);
        assert_eq!(lab.active(), commit, "round {round}");
        lab.ok(&["rollback"]);
        assert_ne!(lab.active(), commit, "round {round}");
    }
    let seen = load.stop();
    assert_unharmed(&seen);
    let both = [A, B].iter().all(|commit| seen.commits.get(*commit).is_some_and(|count| *count > 1000));
    assert!(both, "{:?}", seen.commits);
}

#[test]
fn a_release_that_does_not_become_healthy_is_never_seen_by_traffic_and_says_why() {
    let (_guard, lab) = Lab::shop();
    let before = lab.active();
    let load = Load::start(traffic(&lab));
    let output = lab.run(&["deploy", BROKEN]);
    let seen = load.stop();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(LAST_WORDS), "the unit's last words are missing:\n{text}");
    assert!(text.contains("goes on serving"), "{text}");
    assert_unharmed(&seen);
    assert_eq!(lab.active(), before);
    assert_eq!(seen.commits.keys().collect::<Vec<_>>(), [&before]);
    let history = lab.ok(&["history"]);
    assert!(history.lines().last().unwrap().contains("failed"), "{history}");
    // The failed colour is left as it is, and bothers nobody.
    assert_eq!(lab.summary(&["up"])["failed"], 0);
    let rollback = lab.run(&["rollback"]);
    assert_eq!(rollback.status.code(), Some(2), "{}", said(&rollback));
    lab.ok(&["deploy", lab.other()]);
}

#[test]
fn a_deploy_killed_at_any_moment_under_load_is_finished_by_the_next_one() {
    let (_guard, lab) = Lab::shop();
    let load = Load::start(traffic(&lab));
    let first_of = |kind: &'static str| move |_: usize, event: &serde_json::Value| event["type"] == kind;
    let at = |wanted: usize| move |number: usize, _: &serde_json::Value| number == wanted;
    type Moment = Box<dyn FnMut(usize, &serde_json::Value) -> bool>;
    let moments: [Moment; 5] = [
        Box::new(at(4)),
        Box::new(at(30)),
        Box::new(at(90)),
        Box::new(first_of("switch")),
        Box::new(|_, event| event["type"] == "step_ended" && event["step"] == "load_balancer/switch/colour"),
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let commit = lab.other();
        assert!(lab.kill_at(&["deploy", commit], moment), "moment {number} never came");
        lab.ok(&["deploy", commit]);
        assert_eq!(lab.active(), commit, "killed at moment {number}");
        assert_eq!(lab.summary(&["up"])["changed"], 0, "killed at moment {number}");
    }
    let seen = load.stop();
    assert_unharmed(&seen);
    let history = lab.ok(&["history"]);
    assert!(history.contains("interrupted"), "{history}");
}

#[test]
fn a_deploy_of_what_is_active_already_changes_nothing() {
    let (_guard, lab) = Lab::shop();
    let active = lab.active();
    assert_eq!(lab.summary(&["deploy", &active])["changed"], 0);
}

#[test]
fn a_commit_that_was_not_built_is_refused_before_anything_is_touched() {
    let (_guard, lab) = Lab::shop();
    let before = lab.ok(&["history"]);
    for commit in ["abc", "HEAD", &"c".repeat(40)] {
        let output = lab.run(&["deploy", commit, "--output", "json"]);
        assert_eq!(output.status.code(), Some(2), "{commit}: {}", said(&output));
        let failure = events(&output).into_iter().find(|event| event["type"] == "failure").unwrap();
        assert!(failure["hint"].is_string(), "{failure}");
    }
    assert_eq!(lab.ok(&["history"]), before);
}
