//! Events as a run sends them, for the tests of the renderers.

use bascule_plan::agent::{Evidence, Outcome};
use bascule_plan::event::{
    Backup, BackupKind, Drill, Event, Failure, Finding, InstanceStatus, LockStatus, PoolerStatus, PostgresNode,
    Restored, Severity, StoreNode, StoreStatus, Stream, Summary, ThingKind, Verdict,
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// An event of every type.
pub(super) fn one_of_each() -> Vec<Event> {
    let [instance, _, colour, front_door] = status();
    vec![
        started("up"),
        phase(),
        made(),
        Event::StepBegan { instance: lb(), step: "haproxy:config".into(), title: "configure HAProxy".into() },
        Event::Progress { instance: None, step: None, message: "installing Debian".into() },
        changed(),
        Event::Waiting {
            instance: lb(),
            r#for: "api-blue-1: healthy".into(),
            reason: "it waits for api-blue-1".into(),
        },
        reached(),
        Event::Switch { from: None, to: "blue".into(), generation: 7, commit: COMMIT.into() },
        Event::Diagnostic {
            file: "platform.toml".into(),
            line: 3,
            column: 1,
            message: "`nmae` is not a key".into(),
            help: "did you mean `name`?".into(),
            rendered: "error: `nmae` is not a key\n --> platform.toml:3:1".into(),
        },
        instance,
        colour,
        front_door,
        store_node(),
        Event::Store(store()),
        postgres_node(),
        Event::Pooler(PoolerStatus { name: "pooler-1".into(), node: Some("pg-2".into()), writes: true }),
        Event::Backup(backup()),
        Event::DrillCheck { name: "amcheck".into(), passed: true, detail: "every index is sound".into() },
        Event::Drill(drill()),
        Event::RestoreWindow { from: "2026-01-04T02:04:12Z".into(), to: "2026-01-06T10:00:00Z".into() },
        Event::Restored(Restored {
            formation: "r1".into(),
            node: "pg-r1-1".into(),
            last_commit: Some("2026-01-06T09:40:59.120Z".into()),
            lsn: "0/5000060".into(),
            bytes: 1 << 30,
        }),
        Event::Alert { severity: Severity::Warning, message: "store-3 is away".into() },
        output("two\nlines\n"),
        Event::History {
            number: 1,
            verb: "deploy".into(),
            commit: COMMIT.into(),
            colour: Some("blue".into()),
            who: "ada@desk".into(),
            began: "2026-01-02T03:04:05Z".into(),
            ended: None,
            outcome: "running".into(),
            reason: None,
        },
        Event::Lock(LockStatus {
            generation: 7,
            who: "ada@desk".into(),
            doing: "deploy".into(),
            since: "2026-01-02T03:04:05Z".into(),
            until: "2026-01-02T03:04:25Z".into(),
            ended: false,
        }),
        missing(),
        secret(),
        Event::Reader { name: "ada".into(), recipient: "age1ada".into(), reads: true, named: true },
        Event::Note { message: "nothing has been deployed yet".into() },
        Event::Failure(failure()),
        summary(2, 40, 0),
    ]
}

/// Without a wildcard, so that a new event does not compile here: it belongs into `one_of_each`, too.
pub(super) fn type_of(event: &Event) -> &'static str {
    match event {
        Event::Started { .. } => "started",
        Event::Phase { .. } => "phase",
        Event::Thing { .. } => "thing",
        Event::StepBegan { .. } => "step_began",
        Event::Progress { .. } => "progress",
        Event::StepEnded { .. } => "step_ended",
        Event::Waiting { .. } => "waiting",
        Event::Reached { .. } => "reached",
        Event::Switch { .. } => "switch",
        Event::Diagnostic { .. } => "diagnostic",
        Event::Instance(_) => "instance",
        Event::Colour { .. } => "colour",
        Event::Lock(_) => "lock",
        Event::FrontDoor { .. } => "front_door",
        Event::StoreNode(_) => "store_node",
        Event::Store(_) => "store",
        Event::PostgresNode(_) => "postgres_node",
        Event::Pooler(_) => "pooler",
        Event::Backup(_) => "backup",
        Event::DrillCheck { .. } => "drill_check",
        Event::Drill(_) => "drill",
        Event::RestoreWindow { .. } => "restore_window",
        Event::Restored(_) => "restored",
        Event::Alert { .. } => "alert",
        Event::Output { .. } => "output",
        Event::History { .. } => "history",
        Event::Finding(_) => "finding",
        Event::Secret { .. } => "secret",
        Event::Reader { .. } => "reader",
        Event::Note { .. } => "note",
        Event::Failure(_) => "failure",
        Event::Summary(_) => "summary",
    }
}

/// A full one.
pub(super) fn backup() -> Backup {
    Backup {
        label: "20260104-020312F".into(),
        kind: BackupKind::Full,
        began: "2026-01-04T02:03:12Z".into(),
        ended: "2026-01-04T02:04:12Z".into(),
        duration_ms: 60_000,
        lsn_start: "0/2000028".into(),
        lsn_stop: "0/2000158".into(),
        wal_start: "000000010000000000000002".into(),
        wal_stop: "000000010000000000000002".into(),
        database_bytes: 1 << 30,
        stored_bytes: 1 << 28,
        needs: Vec::new(),
        damaged: false,
    }
}

/// One that passed.
pub(super) fn drill() -> Drill {
    Drill {
        backup: "20260104-020312F".into(),
        passed: true,
        duration_ms: 95_000,
        restore_ms: Some(12_500),
        rpo_ms: Some(31_000),
        bytes: 1 << 30,
        kept: false,
    }
}

pub(super) fn started(verb: &str) -> Event {
    Event::Started { verb: verb.into(), platform: "shop".into(), environment: "lab".into(), version: "0.1.0".into() }
}

pub(super) fn phase() -> Event {
    Event::Phase { name: "apply".into(), title: "bring every instance to its plan".into() }
}

/// An instance that was made.
pub(super) fn made() -> Event {
    let reason = "it was not there".into();
    Event::Thing { kind: ThingKind::Instance, name: lb(), outcome: Outcome::Changed, reason, duration_ms: 1_250 }
}

/// A step that was right already.
pub(super) fn unchanged() -> Event {
    step("web-blue-1", "run nginx", Outcome::Unchanged, "it runs, and its inputs are the same")
}

/// A step that was done, too fast for its time to be worth a word.
pub(super) fn changed() -> Event {
    step("lb-1", "configure HAProxy", Outcome::Changed, "its content differs")
}

pub(super) fn reached() -> Event {
    Event::Reached { instance: lb(), what: "door open".into() }
}

pub(super) fn output(text: &str) -> Event {
    Event::Output { instance: lb(), stream: Stream::Stdout, text: text.into(), bytes: Vec::new() }
}

pub(super) fn secret() -> Event {
    Event::Secret { name: "token".into(), fingerprint: "0a1b2c3d".into(), used_by: vec!["api".into(), "web".into()] }
}

/// Of nine instances, in 0.8 s.
pub(super) fn summary(changed: u64, unchanged: u64, failed: u64) -> Event {
    Event::Summary(Summary { changed, unchanged, failed, duration_ms: 799, instances: 9, applied: true })
}

/// What `doctor` says of a thing that is as it should be.
pub(super) fn found() -> Event {
    Event::Finding(Finding {
        check: "Incus".into(),
        verdict: Verdict::Ok,
        found: "6.0.4 answers".into(),
        why: None,
        remedy: None,
    })
}

/// What `doctor` says of a thing that is not there.
pub(super) fn missing() -> Event {
    Event::Finding(Finding {
        check: "debootstrap".into(),
        verdict: Verdict::Missing,
        found: "it is not installed".into(),
        why: Some("the first `up` makes the base image with it".into()),
        remedy: Some("apt-get install debootstrap".into()),
    })
}

/// A failure with everything that there can be.
pub(super) fn failure() -> Failure {
    Failure {
        instance: Some("api-blue-1".into()),
        step: Some("component/service:healthy".into()),
        message: "it did not become healthy within 60 s".into(),
        causes: vec!["the front door does not answer".into(), "connection refused".into()],
        evidence: Evidence {
            last_answer: Some("503 Service Unavailable".into()),
            unit_status: Some("api.service: activating (auto-restart)\nMain PID: 812 (code=exited, status=1)\n".into()),
            log: vec!["listening on 0.0.0.0:8080".into(), "no database".into()],
        },
        hint: Some("bascule logs api-blue-1".into()),
    }
}

/// A replica that has the traffic, one that is stopped, the colour of the first, and the front door.
pub(super) fn status() -> [Event; 4] {
    let healthy = InstanceStatus {
        name: "api-blue-1".into(),
        roles: vec!["component".into()],
        address: "10.20.0.11".into(),
        state: "running".into(),
        colour: Some("blue".into()),
        active: true,
        version: Some(COMMIT.into()),
        certificates_expire: Some("2026-03-01T12:00:00Z".into()),
        certificates_days_left: Some(58),
        healthy: true,
        problem: None,
    };
    let stopped = InstanceStatus {
        name: "api-green-1".into(),
        address: "10.20.0.12".into(),
        state: "stopped".into(),
        colour: Some("green".into()),
        active: false,
        healthy: false,
        problem: Some("the instance is stopped".into()),
        certificates_expire: None,
        certificates_days_left: None,
        ..healthy.clone()
    };
    let colour = Event::Colour {
        colour: Some("blue".into()),
        commit: COMMIT.into(),
        state: "ready".into(),
        active: true,
        generation: 7,
    };
    let front_door = Event::FrontDoor {
        url: "https://10.20.0.9".into(),
        holder: Some("lb-2".into()),
        certificate_expires: Some("2026-03-01T12:00:00Z".into()),
        certificate_days_left: Some(58),
    };
    [Event::Instance(healthy), Event::Instance(stopped), colour, front_door]
}

/// A node of the object store that keeps data.
pub(super) fn store_node() -> Event {
    Event::StoreNode(StoreNode {
        name: "store-1".into(),
        votes: true,
        keeps_data: Some(true),
        bytes_total: 5 << 30,
        bytes_used: 1 << 30,
        parts_repaired: 0,
    })
}

/// A standby of PostgreSQL.
pub(super) fn postgres_node() -> Event {
    Event::PostgresNode(PostgresNode {
        name: "pg-1".into(),
        state: Some("secondary".into()),
        goal: Some("secondary".into()),
        healthy: true,
        writable: Some(false),
        timeline: Some(3),
        behind_bytes: Some(1 << 20),
    })
}

/// An object store of which one node is away.
pub(super) fn store() -> StoreStatus {
    StoreStatus {
        bytes_used: 3 << 29,
        bytes_free: 8 << 30,
        objects: 1_200,
        parts_missing: 1_200,
        may_lose: 1,
        ..StoreStatus::default()
    }
}

fn step(instance: &str, title: &str, outcome: Outcome, reason: &str) -> Event {
    Event::StepEnded {
        instance: instance.into(),
        step: "group:step".into(),
        title: title.into(),
        outcome,
        reason: reason.into(),
        duration_ms: 99,
        evidence: Evidence::default(),
    }
}

fn lb() -> String {
    "lb-1".into()
}
