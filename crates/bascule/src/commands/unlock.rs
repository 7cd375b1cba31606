use std::process::ExitCode;

use bascule_plan::event::{Event, LockStatus};
use clap::Args;

use super::lock_status;
use crate::cli::Common;
use crate::failure::{Exit, Failed};
use crate::setup::{self, Access, session};

const EXAMPLES: &str = "\
Examples:
  bascule unlock                           who holds the lock, and what taking it away would mean
  bascule unlock --generation 7            take it away, if that is still the holder";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The generation to end, as `bascule unlock` shows it: proof that this holder is meant, and no later one
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u64>,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "unlock", Access::Looks, async |session| {
        let Some(status) = lock_status(session).await? else {
            session.run.note("nobody holds the lock");
            return Ok(Exit::Done);
        };
        session.run.emit(Event::Lock(status.clone()));
        match arguments.generation {
            Some(generation) if generation == status.generation => {
                session.run.unlock(generation, &setup::claim("unlock", None)).await?;
                session.run.note(format!(
                    "the lock was taken from {}; `bascule up` finishes what its {} began",
                    status.who, status.doing
                ));
                Ok(Exit::Done)
            }
            Some(other) => Err(Failed::usage(
                format!("generation {other} does not hold the lock, {} does", status.generation),
                explanation(&status),
            )),
            None => Err(Failed::usage("nothing was done yet", explanation(&status))),
        }
    })
}

fn explanation(status: &LockStatus) -> String {
    let LockStatus { generation, who, doing, ended, .. } = status;
    if *ended {
        return "nothing: that process has ended, and the next verb takes the lock over by itself".to_owned();
    }
    format!(
        "ask {who} first. If its {doing} must not go on: `bascule unlock --generation {generation}`; its next change is \
         then refused, and `bascule up` finishes what it began"
    )
}
