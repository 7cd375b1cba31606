use std::process::ExitCode;

use bascule_plan::event::Event;
use bascule_release::{Entry, Outcome};

use super::lock_status;
use crate::cli::Common;
use crate::failure::{Exit, Failed};
use crate::setup::{Access, Session, session};

pub(crate) const EXAMPLES: &str = "\
Examples:
  bascule history
  bascule history --output json | jq -r 'select(.outcome == \"failed\").reason'";

pub(crate) fn run(common: &Common) -> ExitCode {
    session(common, "history", Access::Looks, async |session| {
        let entries = entries(session).await?;
        if entries.is_empty() {
            session.run.note("nothing has been deployed yet: bascule deploy COMMIT");
        }
        for entry in entries {
            session.run.emit(Event::History {
                number: entry.number,
                verb: entry.verb,
                commit: entry.commit,
                colour: entry.colour,
                who: entry.who,
                began: entry.began.to_string(),
                ended: entry.ended.map(|ended| ended.to_string()),
                outcome: entry.outcome.to_string(),
                reason: entry.reason,
            });
        }
        Ok(Exit::Done)
    })
}

/// What is written down as running while nobody holds the lock was killed, and is told so.
async fn entries(session: &Session) -> Result<Vec<Entry>, Failed> {
    let read = async || bascule_release::history(&*session.incus, &session.platform.incus.project).await;
    let entries = read().await?;
    let runs = |entries: &[Entry]| entries.iter().any(|entry| entry.outcome == Outcome::Running);
    if !runs(&entries) || lock_status(session).await?.is_some_and(|lock| !lock.ended) {
        return Ok(entries);
    }
    // Read again: it may have ended in order since.
    let mut entries = read().await?;
    for entry in entries.iter_mut().filter(|entry| entry.outcome == Outcome::Running) {
        entry.outcome = Outcome::Interrupted;
    }
    Ok(entries)
}
