use std::process::ExitCode;

use bascule_plan::event::Event;

use crate::cli::Common;
use crate::failure::Exit;
use crate::setup::{Access, session};

pub(crate) fn run(common: &Common) -> ExitCode {
    session(common, "history", Access::Looks, async |session| {
        let entries = bascule_release::history(&*session.incus, &session.platform.incus.project).await?;
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
