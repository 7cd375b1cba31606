use std::time::Duration;

use bascule_engine::Converged;
use bascule_plan::event::{Drill, Event, Failure};
use bascule_release::DrillRecord;
use bascule_roles::DRILL;
use serde::Deserialize;

use super::super::exec::{answered, line_by_line};
use super::super::pg;
use super::metrics;
use crate::failure::{Exit, Failed};
use crate::setup::Session;

/// Longer than any restore may take.
const LIMIT: Duration = Duration::from_hours(24);
/// What the primary wrote is in the repository by then: after a minute it begins a new piece of the log, which takes a moment.
const ARCHIVED_AFTER_MS: i64 = 75_000;
/// What the program `restore` ends with when it could not be tried.
const ENVIRONMENT: i32 = 2;

/// A line that the program `restore` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Progress(String),
    Check { name: String, passed: bool, detail: String },
    Result(Found),
}

/// What came of it.
#[derive(Debug, Deserialize)]
struct Found {
    label: String,
    bytes: u64,
    restored_s: Option<f64>,
    rpo_s: Option<f64>,
    passed: bool,
}

/// What the program `backup` says of the row that it wrote.
#[derive(Debug, Deserialize)]
struct Written {
    canary_s: f64,
}

pub(super) async fn restore(session: &Session, keep: bool) -> Result<Exit, Failed> {
    let began_ms = session.run.unix_ms();
    let canary_s = canary(session).await?;
    session.run.phase("prepare", &format!("making {DRILL}"));
    if bascule_release::drill(&session.run, &session.platform).await? == Converged::Failed {
        remove(session, keep).await;
        return Ok(Exit::Input);
    }
    wait_until_archived(session, canary_s).await;
    session.run.phase("restore", "restoring the newest backup, and all of the log");
    let found = on_it(session, canary_s).await;
    let kept = remove(session, keep).await;
    let Some(found) = found? else { return Ok(Exit::Input) };
    let ended_ms = session.run.unix_ms();
    let ms = |seconds: f64| (seconds * 1_000.0) as u64;
    let drill = Drill {
        backup: found.label,
        passed: found.passed,
        duration_ms: u64::try_from(ended_ms - began_ms).unwrap_or_default(),
        restore_ms: found.restored_s.map(ms),
        rpo_ms: found.rpo_s.map(ms),
        bytes: found.bytes,
        kept,
    };
    let (incus, project) = (session.run.incus(), session.platform.incus.project.as_str());
    let record = DrillRecord { passed: drill.passed, ended_ms, backup: drill.backup.clone() };
    let last = bascule_release::record_drill(incus, project, &record).await?;
    metrics::tell(session, &drill, ended_ms / 1_000, last.passed_ms.map(|passed_ms| passed_ms / 1_000)).await;
    let passed = drill.passed;
    session.run.emit(Event::Drill(drill));
    if !passed {
        session.run.failure(Failure {
            message: "what was restored is not all that it has to be".to_owned(),
            hint: Some("bascule drill restore --keep, and look at pg-drill; bascule backup verify".to_owned()),
            ..Failure::default()
        });
    }
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

/// Has the primary write down that it is now.
async fn canary(session: &Session) -> Result<f64, Failed> {
    let Some(primary) = pg::primary(session).await else {
        return Err(Failed::usage("no node of PostgreSQL may be written to", "bascule pg status"));
    };
    let argv = ["/usr/local/lib/bascule/backup", "canary"].map(str::to_owned);
    let (exited, said) = answered(session, &primary, &argv, Duration::from_secs(30)).await?;
    match serde_json::from_slice::<Written>(&said) {
        Ok(written) if exited.code == 0 => Ok(written.canary_s),
        _ => {
            let message = format!("{primary} does not write: {}", exited.stderr_tail.trim());
            Err(Failed::usage(message, "bascule pg status"))
        }
    }
}

/// A disaster would not wait; but what a drill tries is whether the log gets there in its time.
async fn wait_until_archived(session: &Session, canary_s: f64) {
    let until_ms = (canary_s * 1_000.0) as i64 + ARCHIVED_AFTER_MS;
    let left_ms = until_ms - session.run.unix_ms();
    if let Ok(left_ms @ 1..) = u64::try_from(left_ms) {
        let message = format!(
            "waiting for {} s, until what was just written has to be in the repository",
            left_ms.div_ceil(1_000)
        );
        session.run.emit(Event::Progress { instance: None, step: None, message });
        tokio::time::sleep(Duration::from_millis(left_ms)).await;
    }
}

/// Nothing, where it could not be tried: that is told as a failure.
async fn on_it(session: &Session, canary_s: f64) -> Result<Option<Found>, Failed> {
    let argv = ["/usr/local/lib/bascule/restore".to_owned(), "drill".to_owned(), canary_s.to_string()];
    let mut found = None;
    let exited = line_by_line(session, DRILL, &argv, LIMIT, |line| match serde_json::from_slice(line) {
        Ok(Told::Progress(message)) => {
            session.run.emit(Event::Progress { instance: Some(DRILL.to_owned()), step: None, message });
        }
        Ok(Told::Check { name, passed, detail }) => session.run.emit(Event::DrillCheck { name, passed, detail }),
        Ok(Told::Result(result)) => found = Some(result),
        Err(_) => {}
    })
    .await?;
    if found.is_none() {
        let said = exited.stderr_tail.trim().trim_start_matches("restore: ").to_owned();
        let why =
            if exited.code == ENVIRONMENT { "the drill could not be tried" } else { "the drill ended without a word" };
        session.run.failure(Failure {
            instance: Some(DRILL.to_owned()),
            message: why.to_owned(),
            causes: vec![said],
            hint: Some("bascule pg status tells whether the repository answers; bascule backup list".to_owned()),
            ..Failure::default()
        });
    }
    Ok(found)
}

/// True where it was kept. What cannot be removed is left to the next drill, or to `down`.
async fn remove(session: &Session, keep: bool) -> bool {
    if keep {
        session.run.note(format!("{DRILL} is kept until the next drill: bascule exec {DRILL} -- COMMAND"));
        return true;
    }
    if let Err(error) = bascule_release::end_drill(&session.run, &session.platform).await {
        session.run.note(format!("{DRILL} is still there: {error}"));
    }
    false
}
