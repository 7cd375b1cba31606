#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bascule_incus::fake::{Command, FakeExit, FakeIncus, Handler};
use bascule_incus::{Incus, InstanceFile, NewInstance};
use bascule_plan::agent::Request;
use bascule_plan::{Archive, Blob, Plan};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::Blobs;
use crate::nothing::{engine, plan};

/// An instance that has unpacked a release, or not.
#[derive(Debug)]
struct Replica {
    has_it: bool,
    /// Paths of the files that were brought.
    brought: Mutex<Vec<String>>,
}

impl Replica {
    fn brought(&self) -> Vec<String> {
        self.brought.lock().unwrap().clone()
    }
}

#[async_trait]
impl Handler for Replica {
    async fn exec(&self, command: Command) -> FakeExit {
        // All else is the wait for its boot.
        if command.argv.last().is_none_or(|last| last != "agent") {
            return FakeExit::ok("");
        }
        let request: Request = serde_json::from_slice(&command.stdin).unwrap();
        let outcome = match request.mode {
            _ if self.has_it => Outcome::Unchanged,
            Mode::Check => Outcome::WouldChange,
            Mode::Apply => Outcome::Changed,
        };
        let end = |step: Step| Report::End {
            step: step.id,
            outcome,
            reason: String::new(),
            duration_ms: 0,
            expires_s: None,
            evidence: Evidence::default(),
        };
        let reports = request.steps.into_iter().map(end).chain([Report::Done]);
        FakeExit::ok(reports.map(|report| serde_json::to_string(&report).unwrap() + "\n").collect::<String>())
    }

    fn push_file(&self, _: &str, _: &str, path: &str, _: InstanceFile) -> Result<(), String> {
        self.brought.lock().unwrap().push(path.to_owned());
        Ok(())
    }
}

/// The operator's folder of artifacts, where there is one.
#[derive(Debug)]
struct Artifacts;

impl Blobs for Artifacts {
    fn bytes(&self, _: &Blob) -> Result<Bytes, String> {
        Ok(Bytes::from_static(b"a release"))
    }
}

fn blob() -> Blob {
    Blob { sha256: "ab".repeat(32), bytes: 9, name: "web of 3f2a91c".to_owned() }
}

/// A replica that was stopped, and is only to be started.
fn stopped() -> Plan {
    let resource = Resource::Archive(Archive { path: "/srv/web/releases/3f2a91c".to_owned(), blob: blob() });
    let step = Step { id: "component/release/unpack".to_owned(), title: "unpack it".to_owned(), resource };
    let mut plan = plan(&[("web-1", vec![LineItem::Step(step)])], &[]);
    plan.lines[0].machine.as_mut().unwrap().action = MachineAction::Start;
    plan
}

/// Walks the replica's line with these artifacts at hand; gives the failures.
async fn started(replica: &Arc<Replica>, artifacts: Option<Artifacts>) -> Vec<Failure> {
    let plan = stopped();
    let project = plan.world.as_ref().unwrap().project.clone();
    let mut engine = engine(Arc::new(incus(replica, &project, false).await));
    if let Some(artifacts) = artifacts {
        engine.blobs = Arc::new(artifacts);
    }
    let run = engine.run(&project, mpsc::unbounded_channel().0);
    let checked = CheckedLine { machine: Some("it is stopped".to_owned()), ..CheckedLine::default() };
    run.walk(&plan.lines[0], plan.world.as_ref(), &checked, &Board::new(&plan)).await;
    run.failures()
}

/// Incus with the replica in its project, started or not.
async fn incus(replica: &Arc<Replica>, project: &str, start: bool) -> FakeIncus {
    let incus = FakeIncus::new(replica.clone()).with_image("base", []);
    incus.create_project(project, [("features.images".to_owned(), "false".to_owned())].into()).await.unwrap();
    let root = [("type", "disk"), ("path", "/"), ("pool", "default")];
    let web = NewInstance {
        name: "web-1".to_owned(),
        image: "base".to_owned(),
        config: BTreeMap::new(),
        devices: [("root".to_owned(), root.map(|(key, value)| (key.to_owned(), value.to_owned())).into())].into(),
        profiles: Vec::new(),
        start,
    };
    incus.create_instance(project, web).await.unwrap();
    incus
}

#[tokio::test]
async fn a_replica_that_is_merely_started_keeps_its_release_though_nobody_could_bring_it() {
    let replica = Arc::new(Replica { has_it: true, brought: Mutex::default() });
    assert_eq!(started(&replica, None).await, []);
    assert_eq!(replica.brought(), Vec::<String>::new());
}

#[tokio::test]
async fn a_replica_that_is_started_and_lacks_its_release_is_brought_it() {
    let replica = Arc::new(Replica { has_it: false, brought: Mutex::default() });
    assert_eq!(started(&replica, Some(Artifacts)).await, []);
    let brought = replica.brought();
    assert!(brought.contains(&blob().staged_path()), "{brought:?}");

    let [failure] = &started(&replica, None).await[..] else { panic!("it was not missed") };
    assert_eq!(failure.instance.as_deref(), Some("web-1"));
}

/// Walks a line of an instance that runs, of which the check found these steps right; tells what was called for, and what
/// was awaited.
async fn walked(items: Vec<LineItem>, right: &[&str]) -> (Vec<Failure>, Vec<Event>) {
    let gone = ("gone-1", vec![LineItem::Take("roll".to_owned()), LineItem::Reach("gone-1: up".to_owned())]);
    let plan = plan(&[gone, ("web-1", items)], &["gone-1", "web-1"]);
    let replica = Arc::new(Replica { has_it: false, brought: Mutex::default() });
    let engine = engine(Arc::new(incus(&replica, "p", true).await));
    let (events, mut told) = mpsc::unbounded_channel();
    let run = engine.run("p", events);
    let findings = plan.lines[1].steps().map(|step| Finding {
        id: step.id.clone(),
        outcome: if right.contains(&step.id.as_str()) { Outcome::Unchanged } else { Outcome::WouldChange },
        reason: "as it was found".to_owned(),
        evidence: Evidence::default(),
        duration_ms: 0,
    });
    let checked = CheckedLine { findings: findings.collect(), ..CheckedLine::default() };
    let board = Board::new(&plan);
    board.fail("gone-1");
    run.walk(&plan.lines[1], None, &checked, &board).await;
    let mut events = Vec::new();
    while let Ok(event) = told.try_recv() {
        events.push(event);
    }
    (run.failures(), events)
}

fn step(id: &str) -> LineItem {
    let resource = Resource::Sysctl(bascule_plan::Sysctl { key: "a.b".to_owned(), value: "1".to_owned() });
    LineItem::Step(Step { id: id.to_owned(), title: id.to_owned(), resource })
}

/// The steps that were found right, and were not asked for again.
fn reported(events: &[Event]) -> Vec<&str> {
    let reported = events.iter().filter_map(|event| match event {
        Event::StepEnded { step, outcome: Outcome::Unchanged, reason, .. } if reason == "as it was found" => Some(step),
        _ => None,
    });
    reported.map(String::as_str).collect()
}

#[tokio::test]
async fn a_lease_that_a_failed_line_would_have_first_is_not_taken_for_what_is_right() {
    let leased = || {
        let awaits = LineItem::Await("gone-1: up".to_owned());
        vec![LineItem::Take("roll".to_owned()), step("r/g/in"), awaits, LineItem::Release("roll".to_owned())]
    };
    let (failures, events) = walked(leased(), &["r/g/in"]).await;
    assert_eq!(failures, []);
    assert_eq!(reported(&events), ["r/g/in"]);

    let (failures, _) = walked(leased(), &[]).await;
    assert!(failures[0].message.starts_with("held back: lease roll"), "{failures:?}");
}

#[tokio::test]
async fn nobody_is_waited_for_for_the_sake_of_what_is_right() {
    let waits = || {
        let sake = |steps: &[&str]| LineItem::AwaitFor {
            milestone: "gone-1: up".to_owned(),
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
        };
        vec![sake(&["r/g/key", "r/g/used"]), step("r/g/key"), step("r/g/used")]
    };
    let (failures, _) = walked(waits(), &["r/g/key", "r/g/used"]).await;
    assert_eq!(failures, []);
    let (failures, _) = walked(waits(), &["r/g/key"]).await;
    assert!(failures[0].message.starts_with("held back: gone-1: up"), "{failures:?}");
}
