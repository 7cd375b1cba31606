use std::time::Duration;

use bascule_plan::event::{Backup, BackupKind, Event, Failure};
use jiff::Timestamp;
use serde::Deserialize;

use super::super::{exec, pg};
use super::Kind;
use crate::failure::{Exit, Failed};
use crate::setup::Session;

/// Longer than any backup may take.
const LIMIT: Duration = Duration::from_hours(24);

/// A line that the program `backup` says on the primary.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Progress(String),
    Backup(Glance),
    Window {
        from_s: i64,
        to_s: i64,
    },
    /// A file that is damaged, or missing.
    Wrong(String),
}

#[derive(Debug, Deserialize)]
struct Glance {
    label: String,
    kind: BackupKind,
    began_s: i64,
    ended_s: i64,
    lsn_start: String,
    lsn_stop: String,
    wal_start: String,
    wal_stop: String,
    database_bytes: u64,
    stored_bytes: u64,
    needs: Vec<String>,
    damaged: bool,
}

pub(super) async fn now(session: &Session, kind: Kind) -> Result<Exit, Failed> {
    asked(session, &["now", kind.word()], "the backup was not made").await
}

pub(super) async fn list(session: &Session) -> Result<Exit, Failed> {
    asked(session, &["list"], "the repository does not tell what is in it").await
}

pub(super) async fn verify(session: &Session) -> Result<Exit, Failed> {
    let exit = asked(session, &["verify"], "the repository is not as it should be").await?;
    if exit == Exit::Done {
        session.run.note("every backup and every piece of the log is as it was written");
    }
    Ok(exit)
}

/// Has the primary do something with the repository, and tells what it says meanwhile.
async fn asked(session: &Session, verb: &[&str], failure: &str) -> Result<Exit, Failed> {
    let Some(primary) = pg::primary(session).await else {
        return Err(Failed::usage("no node of PostgreSQL may be written to", "bascule pg status"));
    };
    let argv: Vec<String> =
        (["/usr/local/lib/bascule/backup"].iter().chain(verb)).map(|word| (*word).to_owned()).collect();
    let (mut wrong, mut last) = (Vec::new(), String::new());
    let exited = exec::line_by_line(session, &primary, &argv, LIMIT, |line| match serde_json::from_slice(line) {
        Ok(Told::Progress(message)) => {
            session.run.emit(Event::Progress { instance: Some(primary.clone()), step: None, message });
        }
        Ok(Told::Backup(glance)) => session.run.emit(Event::Backup(glance.into())),
        Ok(Told::Window { from_s, to_s }) => {
            session.run.emit(Event::RestoreWindow { from: time(from_s), to: time(to_s) });
        }
        Ok(Told::Wrong(file)) => wrong.push(file),
        Err(_) => last = String::from_utf8_lossy(line).trim().to_owned(),
    })
    .await?;
    if exited.code == 0 {
        return Ok(Exit::Done);
    }
    let said = exited.stderr_tail.trim().trim_start_matches("backup: ").to_owned();
    let causes = if wrong.is_empty() { vec![if said.is_empty() { last } else { said }] } else { wrong };
    session.run.failure(Failure {
        instance: Some(primary),
        message: failure.to_owned(),
        causes,
        hint: Some("bascule pg status tells whether the repository answers and the log gets there".to_owned()),
        ..Failure::default()
    });
    Ok(Exit::Failed)
}

impl From<Glance> for Backup {
    fn from(glance: Glance) -> Self {
        Self {
            label: glance.label,
            kind: glance.kind,
            began: time(glance.began_s),
            ended: time(glance.ended_s),
            duration_ms: u64::try_from(glance.ended_s - glance.began_s).unwrap_or_default() * 1_000,
            lsn_start: glance.lsn_start,
            lsn_stop: glance.lsn_stop,
            wal_start: glance.wal_start,
            wal_stop: glance.wal_stop,
            database_bytes: glance.database_bytes,
            stored_bytes: glance.stored_bytes,
            needs: glance.needs,
            damaged: glance.damaged,
        }
    }
}

fn time(unix_s: i64) -> String {
    Timestamp::from_second(unix_s).unwrap_or_default().to_string()
}
