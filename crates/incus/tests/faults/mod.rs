//! What the fake gives its users beyond Incus: faults, the log of calls, and worlds that outlive a killed run.

use std::sync::{Arc, Mutex};

use bascule_incus::fake::{Call, FakeIncus, Fault, Faults, Travel};
use bascule_incus::{Incus, Status, StopMode};

use crate::conformance::{Ground, assert_error, config};
use crate::machines::Machines;

/// Gives one fault to the calls of one verb, and notes what it was told.
struct Once {
    verb: &'static str,
    fault: Fault,
    told: Mutex<Vec<String>>,
}

impl Faults for Once {
    fn before(&self, call: &Call) -> Fault {
        self.told.lock().unwrap().push(format!("before {call}"));
        if call.verb == self.verb { self.fault.clone() } else { Fault::None }
    }

    fn after(&self, call: &Call) {
        self.told.lock().unwrap().push(format!("after {call}"));
    }
}

async fn started() -> FakeIncus {
    let incus = FakeIncus::new(Arc::new(Machines::default())).with_image("base", []);
    let ground = Ground::new(&incus, "base");
    ground.set_up(config(&[])).await;
    ground.start_new("a", "10.99.61.10").await;
    incus
}

fn once(verb: &'static str, fault: Fault) -> Arc<Once> {
    Arc::new(Once { verb, fault, told: Mutex::default() })
}

#[tokio::test]
async fn a_planned_error_changes_nothing_and_a_lost_answer_leaves_the_change_made() {
    let healthy = started().await;
    let status = async || healthy.instance("bslt-incus", "a").await.unwrap().unwrap().status;

    let failing = healthy.clone().with_faults(once("stop", Fault::Error("no room".into())));
    let error = failing.stop("bslt-incus", "a", StopMode::Force).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), status().await), ("cannot stop a: no room", Status::Running));

    let losing = healthy.clone().with_faults(once("stop", Fault::Lost));
    assert_error!(losing.stop("bslt-incus", "a", StopMode::Force).await, Interrupted);
    assert_eq!(status().await, Status::Stopped);
}

#[tokio::test]
async fn what_is_carried_out_twice_is_answered_the_second_time() {
    let healthy = started().await;
    let repeating = healthy.clone().with_faults(once("stop", Fault::Twice));
    assert_error!(repeating.stop("bslt-incus", "a", StopMode::Force).await, Refused);
    assert_eq!(healthy.instance("bslt-incus", "a").await.unwrap().unwrap().status, Status::Stopped);
}

#[tokio::test]
async fn a_command_that_is_cut_off_goes_on_by_itself() {
    let incus = started().await.with_faults(once("exec", Fault::Cut(0)));
    let (stdout, _heard) = tokio::sync::mpsc::channel(1);
    let exec = bascule_incus::Exec::new(["true"], std::time::Duration::from_secs(1));
    assert_error!(incus.exec("bslt-incus", "a", exec, stdout).await, Interrupted);
}

/// Requests that take their time, and arrive though nobody waits for them any more.
struct Slow;

impl Faults for Slow {
    fn before(&self, _: &Call) -> Fault {
        Fault::None
    }

    fn travel(&self, _: &Call) -> Travel {
        Travel { there: std::time::Duration::from_secs(3), arrives_alone: true, ..Travel::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_on_its_way_is_made_though_its_caller_is_gone() {
    let incus = started().await;
    let slow = incus.clone().with_faults(Arc::new(Slow));
    let stop = slow.stop("bslt-incus", "a", StopMode::Force);
    let late = tokio::time::timeout(std::time::Duration::from_secs(1), stop).await;
    assert!(late.is_err());
    assert_eq!(incus.instance("bslt-incus", "a").await.unwrap().unwrap().status, Status::Stopped);
}

#[tokio::test]
async fn a_plan_of_faults_is_told_of_changes_before_and_after_and_not_of_reads() {
    let plan = once("none", Fault::None);
    let incus = started().await.with_faults(plan.clone());
    incus.instances("bslt-incus").await.unwrap();
    incus.freeze("bslt-incus", "a").await.unwrap();
    assert_eq!(*plan.told.lock().unwrap(), ["before freeze a", "after freeze a"]);

    let calls: Vec<String> = incus.calls().iter().map(ToString::to_string).collect();
    assert!(
        calls.ends_with(&["create-instance a base".into(), "list-instances".into(), "freeze a".into()]),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_dropped_call_has_acted_or_not_and_the_world_goes_on() {
    let incus = started().await;
    {
        let stop = incus.stop("bslt-incus", "a", StopMode::Force);
        futures_util::pin_mut!(stop);
        assert!(futures_util::poll!(stop.as_mut()).is_pending());
        assert_eq!(incus.instance("bslt-incus", "a").await.unwrap().unwrap().status, Status::Running);
        assert!(futures_util::poll!(stop.as_mut()).is_pending());
    }
    assert_eq!(incus.instance("bslt-incus", "a").await.unwrap().unwrap().status, Status::Stopped);
}
