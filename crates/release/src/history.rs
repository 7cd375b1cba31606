use std::fmt;

use bascule_engine::Run;
use bascule_incus::Incus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Commit, Context, ReleaseError, record};

const PREFIX: &str = "user.bascule.history.";
/// Older entries are dropped: the history is for people, and lives in one object of Incus.
const ENTRIES_MAX: usize = 200;

/// One release or rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub number: u64,
    /// `deploy` or `rollback`.
    pub verb: String,
    pub commit: String,
    /// The colour it went to; none under `multi-instance`.
    pub colour: Option<String>,
    pub who: String,
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub outcome: Outcome,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Running,
    Succeeded,
    Failed,
    /// It was found unended by the next one: the tool was killed.
    Interrupted,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        })
    }
}

/// The history of an environment, oldest first.
pub async fn history(incus: &dyn Incus, project: &str) -> Result<Vec<Entry>, ReleaseError> {
    let keys = record::keys(incus, project).await?;
    let entries = keys.iter().filter(|(key, _)| key.starts_with(PREFIX));
    entries
        .map(|(key, value)| {
            serde_json::from_str(value).map_err(|source| ReleaseError::Record {
                key: key.clone(),
                value: value.clone(),
                source: Some(source),
            })
        })
        .collect()
}

/// Opens an entry before anything is touched. Entries that a killed run left open are closed as interrupted.
pub(crate) async fn begin(
    context: &Context<'_>,
    verb: &str,
    commit: &Commit,
    colour: Option<&str>,
) -> Result<Entry, ReleaseError> {
    let (incus, project) = (context.run.incus(), context.platform.incus.project.as_str());
    let mut entries = history(incus, project).await?;
    let now = now(context.run);
    for entry in entries.iter_mut().filter(|entry| entry.outcome == Outcome::Running) {
        entry.outcome = Outcome::Interrupted;
        entry.ended = Some(now);
        write(incus, project, entry).await?;
    }
    let entry = Entry {
        number: entries.last().map_or(1, |last| last.number + 1),
        verb: verb.to_owned(),
        commit: commit.as_str().to_owned(),
        colour: colour.map(str::to_owned),
        who: context.who.clone(),
        began: now,
        ended: None,
        outcome: Outcome::Running,
        reason: None,
    };
    write(incus, project, &entry).await?;
    let surplus = (entries.len() + 1).saturating_sub(ENTRIES_MAX);
    let drop = entries.iter().take(surplus).map(|entry| (key(entry.number), None));
    record::write(incus, project, drop.collect()).await?;
    Ok(entry)
}

pub(crate) async fn end(
    context: &Context<'_>,
    entry: Entry,
    result: &Result<(), ReleaseError>,
) -> Result<(), ReleaseError> {
    let outcome = if result.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
    let reason = result.as_ref().err().map(ToString::to_string);
    let entry = Entry { ended: Some(now(context.run)), outcome, reason, ..entry };
    write(context.run.incus(), &context.platform.incus.project, &entry).await
}

async fn write(incus: &dyn Incus, project: &str, entry: &Entry) -> Result<(), ReleaseError> {
    let value = serde_json::to_string(entry).map_err(|source| ReleaseError::Record {
        key: key(entry.number),
        value: format!("{entry:?}"),
        source: Some(source),
    })?;
    record::write(incus, project, [(key(entry.number), Some(value))].into()).await
}

/// Numbered so that the order of the keys is the order of the entries.
fn key(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

fn now(run: &Run) -> Timestamp {
    Timestamp::from_millisecond(run.unix_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
}
