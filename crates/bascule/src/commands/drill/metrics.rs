//! What node_exporter tells of the last drill. On every node of PostgreSQL, whoever ran it: that is where backups are told of.

use std::fmt::Write as _;

use bascule_incus::{FileKind, InstanceFile, Status};
use bascule_plan::event::Drill;
use bytes::Bytes;

use crate::setup::Session;

const FILE: &str = "/var/lib/prometheus/node-exporter/drill.prom";

/// Where a node does not run, it is not told.
pub(super) async fn tell(session: &Session, drill: &Drill, ended_s: i64, succeeded_s: Option<i64>) {
    let text = text(drill, ended_s, succeeded_s);
    let (incus, project) = (&session.incus, &session.platform.incus.project);
    for node in session.platform.postgres_nodes() {
        let runs = incus.instance(project, &node.name).await;
        if !runs.is_ok_and(|found| found.is_some_and(|instance| instance.status == Status::Running)) {
            continue;
        }
        let file = InstanceFile { kind: FileKind::File(Bytes::from(text.clone())), uid: 0, gid: 0, mode: 0o644 };
        if let Err(error) = incus.push_file(project, &node.name, FILE, file).await {
            session.run.note(format!("{} was not told of the drill: {error}", node.name));
        }
    }
}

fn text(drill: &Drill, ended_s: i64, succeeded_s: Option<i64>) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, what: &str, value: f64| {
        let _ = writeln!(
            text,
            "# HELP bascule_drill_{name} {what}\n# TYPE bascule_drill_{name} gauge\nbascule_drill_{name} {value}"
        );
    };
    gauge("success", "1 when the last drill passed.", f64::from(u8::from(drill.passed)));
    gauge("ended_timestamp_seconds", "When the last drill ended.", ended_s as f64);
    if let Some(succeeded_s) = succeeded_s {
        gauge("success_timestamp_seconds", "When the last drill that passed ended.", succeeded_s as f64);
    }
    gauge("duration_seconds", "How long it took, with the making of its instance.", drill.duration_ms as f64 / 1_000.0);
    if let Some(restore_ms) = drill.restore_ms {
        gauge("restore_seconds", "How long it took until PostgreSQL answered.", restore_ms as f64 / 1_000.0);
    }
    if let Some(rpo_ms) = drill.rpo_ms {
        gauge(
            "rpo_seconds",
            "What was committed in so many seconds before it would have been lost.",
            rpo_ms as f64 / 1_000.0,
        );
    }
    gauge("bytes", "How large the databases are that were restored.", drill.bytes as f64);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_that_failed_before_postgres_answered_tells_neither_of_two_times() {
        let drill = Drill {
            backup: "20260104-020312F".to_owned(),
            passed: false,
            duration_ms: 90_500,
            restore_ms: None,
            rpo_ms: None,
            bytes: 1_000,
            kept: false,
        };
        let told = text(&drill, 1_767_500_000, None);
        for line in ["bascule_drill_success 0", "bascule_drill_duration_seconds 90.5", "bascule_drill_bytes 1000"] {
            assert!(told.lines().any(|found| found == line), "{line}: {told}");
        }
        assert!(!told.contains("rpo") && !told.contains("success_timestamp"), "{told}");
    }
}
