use bascule_plan::agent::Outcome;
use bascule_plan::{OnTimeout, Probe, UnitState, Wait};

use super::*;
use crate::system::HttpAnswer;

fn wait(on_timeout: OnTimeout, unit: Option<&str>) -> Resource {
    let probe = Probe::Http { url: "http://127.0.0.1/health".to_owned(), contains: Some("ready".to_owned()) };
    Resource::Wait(Wait { probe, timeout_ms: 30_000, interval_ms: 250, unit: unit.map(str::to_owned), on_timeout })
}

/// Answers `ready` from a moment on, and 503 before.
fn ready_at_ms(machine: &Machine, at_ms: u64) {
    machine.on_http(move |machine, _| {
        let ready = machine.now_ms() >= at_ms;
        let (status, body) = if ready { (200, "ready") } else { (503, "starting\nmore") };
        Ok(HttpAnswer { status, body: body.to_owned() })
    });
}

#[test]
fn a_wait_ends_when_the_answer_is_right_and_says_meanwhile_what_it_hears() {
    let machine = Machine::default();
    ready_at_ms(&machine, 12_000);
    let run = machine.agent(&request(Mode::Apply, &[wait(OnTimeout::Fail, None)]));
    let heard: Vec<_> = run.reports.iter().filter(|report| matches!(report, Report::Progress { .. })).collect();
    assert_eq!(heard.len(), 3, "at once, and then every five seconds: {heard:?}");
    assert!(format!("{heard:?}").contains("answers 503: starting"));
    let said = ends(&run.reports).pop().unwrap();
    assert_eq!(
        (said.outcome, said.reason.as_str()),
        (Outcome::Changed, "http://127.0.0.1/health answers 200 with \"ready\", after 12000 ms")
    );
    assert_eq!(outcomes(&apply(&machine, &[wait(OnTimeout::Fail, None)])), [Outcome::Unchanged]);
}

#[test]
fn a_wait_that_runs_out_says_what_it_last_heard_and_how_the_unit_is() {
    let machine = Machine::default();
    ready_at_ms(&machine, u64::MAX);
    machine.put_file("/etc/systemd/system/app.service", "[Service]\n");
    apply(&machine, &[unit("app.service", UnitState::Running, &[], &[])]);
    let said = apply(&machine, &[wait(OnTimeout::Fail, Some("app.service"))]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.contains("waited 30000 ms for http://127.0.0.1/health"), "{}", said.reason);
    assert_eq!(said.evidence.last_answer.as_deref(), Some("http://127.0.0.1/health answers 503: starting"));
    assert_eq!(said.evidence.unit_status.as_deref(), Some("app.service: active (running), static"));
    assert_eq!(said.evidence.log, ["started"]);
}

#[test]
fn a_wait_that_may_go_on_says_what_was_left() {
    let machine = Machine::default();
    ready_at_ms(&machine, u64::MAX);
    let said = apply(&machine, &[wait(OnTimeout::GoOn, None), file("/etc/after", "a")]);
    assert_eq!(outcomes(&said), [Outcome::Changed, Outcome::Changed]);
    assert!(said[0].reason.contains("goes on after 30000 ms") && said[0].reason.contains("503"), "{}", said[0].reason);
}

#[test]
fn a_unit_that_hangs_is_restarted_once_and_waited_for_again() {
    for restart_helps in [true, false] {
        let machine = Machine::default();
        machine.on_http(move |machine, _| match restart_helps && machine.starts("app.service") > 1 {
            true => Ok(HttpAnswer { status: 200, body: "ready".to_owned() }),
            false => Err("timed out".to_owned()),
        });
        machine.put_file("/etc/systemd/system/app.service", "[Service]\n");
        apply(&machine, &[unit("app.service", UnitState::Running, &[], &[])]);
        let said = apply(&machine, &[wait(OnTimeout::RestartUnit, Some("app.service"))]).pop().unwrap();
        assert_eq!(machine.starts("app.service"), 2);
        assert_eq!(said.outcome == Outcome::Failed, !restart_helps, "{}", said.reason);
    }
}

#[test]
fn a_wait_for_a_unit_that_is_beyond_hope_ends_early() {
    for crash_loops in [true, false] {
        let machine = Machine::default();
        ready_at_ms(&machine, u64::MAX);
        machine.put_file("/etc/systemd/system/app.service", "[Service]\n");
        apply(&machine, &[unit("app.service", UnitState::Running, &[], &[])]);
        if crash_loops {
            machine.unit_crash_loops("app.service", true)
        } else {
            machine.unit_dies("app.service")
        }
        let began_ms = machine.now_ms();
        let said = apply(&machine, &[wait(OnTimeout::Fail, Some("app.service"))]).pop().unwrap();
        assert_eq!(said.outcome, Outcome::Failed);
        assert!(said.reason.contains("is of no use"), "{}", said.reason);
        assert!(machine.now_ms() - began_ms < 10_000);
        assert!(!said.evidence.log.is_empty());
    }
}

#[test]
fn a_check_probes_once_and_only_when_nothing_is_pending() {
    let machine = Machine::default();
    ready_at_ms(&machine, 0);
    assert_eq!(outcomes(&check(&machine, &[wait(OnTimeout::Fail, None)])), [Outcome::Unchanged]);
    let said = check(&machine, &[file("/etc/a", "a"), wait(OnTimeout::Fail, None)]);
    assert_eq!((said[1].outcome, said[1].reason.as_str()), (Outcome::WouldChange, "waits after the changes above"));
    ready_at_ms(&machine, u64::MAX);
    assert_eq!(outcomes(&check(&machine, &[wait(OnTimeout::Fail, None)])), [Outcome::WouldChange]);
    // A wait changes nothing, unless it restarts what does not answer.
    for (first, reason) in
        [(OnTimeout::Fail, "would wait: "), (OnTimeout::RestartUnit, "waits after the changes above")]
    {
        let said = check(&machine, &[wait(first, Some("app.service")), wait(OnTimeout::Fail, None)]);
        assert!(said[1].reason.starts_with(reason), "{}", said[1].reason);
    }
    assert_eq!(machine.now_ms(), 0, "a check does not wait");
}
