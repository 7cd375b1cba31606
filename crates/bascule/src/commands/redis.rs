use std::process::ExitCode;

use bascule_engine::Converged;
use bascule_plan::event::Failure;
use clap::{Args, Subcommand};

use crate::cli::{Common, Locking};
use crate::failure::{Exit, Failed};
use crate::setup::{Access, session_after};

const SWITCHOVER_EXAMPLES: &str = "\
Examples:
  bascule redis switchover
  bascule redis switchover --env prod --lock-wait 5m";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Have another member be the master, and lose no write that was answered
    ///
    /// Writes are held back for about a second: until a replica has everything and Sentinels have promoted it. Clients are
    /// sent there by Sentinel. A restart of the master, and a shutdown of its instance, do the same by themselves.
    #[command(after_help = SWITCHOVER_EXAMPLES)]
    Switchover(Arguments),
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    let Verb::Switchover(arguments) = verb;
    let look = |platform: &bascule_spec::Platform| match platform.redis {
        Some(_) => Ok(Access::Changes(arguments.locking)),
        None => Err(Failed::usage("the platform has no Redis", "add [redis] to the platform file; then bascule up")),
    };
    session_after(common, "redis switchover", look, async |session| {
        match bascule_release::switchover(&session.run, &session.platform).await? {
            Converged::Applied => Ok(Exit::Done),
            Converged::Failed => Ok(Exit::Failed),
            Converged::Unchanged => {
                session.run.failure(Failure {
                    message: "no member of Redis says that it is the master".to_owned(),
                    hint: Some(
                        "Sentinels may just be promoting one: try again; bascule status shows what is down".into(),
                    ),
                    ..Failure::default()
                });
                Ok(Exit::Failed)
            }
        }
    })
}
