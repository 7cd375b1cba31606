//! What looks after PostgreSQL.

mod backups;
mod psql;
mod status;

use std::process::ExitCode;

use bascule_engine::Converged;
use bascule_plan::event::Failure;
use bascule_spec::Platform;
use clap::{Args, Subcommand};

use crate::cli::{Common, Locking};
use crate::failure::{Exit, Failed};
use crate::setup::{Access, session_after};

pub(super) use status::{primary, said};

const STATUS_EXAMPLES: &str = "\
Examples:
  bascule pg status
  bascule pg status --output json | jq -r 'select(.type == \"alert\").message'";

const SWITCHOVER_EXAMPLES: &str = "\
Examples:
  bascule pg switchover
  bascule pg switchover --env prod --lock-wait 5m";

const REJOIN_EXAMPLES: &str = "\
Examples:
  bascule pg rejoin pg-1";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show nodes, poolers, and whether what is committed is on two nodes
    ///
    /// Writes a row through each pooler. Ends with 1 where somebody has to see to something: there is no primary or more than
    /// one, commits are on one node only since its standby is away, a standby lost its place in the log, a pooler does not write; and
    /// where no backup was made when one was due, the log does not get to the repository, or the last drill failed.
    #[command(after_help = STATUS_EXAMPLES)]
    Status,
    /// Have another node be the primary, without an error to any client
    ///
    /// Poolers hold queries back until transactions have ended, for 12 s at most, and go on with the new primary. Where that
    /// cannot be, nothing is changed. A restart of the primary, and a shutdown of its instance, do the same by themselves.
    #[command(after_help = SWITCHOVER_EXAMPLES)]
    Switchover(Switchover),
    /// A prompt of psql on the primary, as the superuser
    ///
    /// On the instance itself: no password is involved, and no pooler. Standard input goes along.
    #[command(after_help = psql::EXAMPLES)]
    Psql(psql::Arguments),
    /// Bring a node back that does not find its way into the formation
    ///
    /// Its keeper rewinds it to where the primary is; where that has not helped within a minute, it gets all data anew, and
    /// what it had is put aside on its volume. The primary is never touched.
    #[command(after_help = REJOIN_EXAMPLES)]
    Rejoin(Rejoin),
}

#[derive(Debug, Args)]
pub(crate) struct Switchover {
    #[command(flatten)]
    locking: Locking,
}

#[derive(Debug, Args)]
pub(crate) struct Rejoin {
    /// The node
    node: String,
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    match verb {
        Verb::Status => {
            let look = |platform: &Platform| there_is(platform).map(|()| Access::Looks);
            session_after(common, "pg status", look, async |session| status::status(session).await)
        }
        Verb::Switchover(arguments) => {
            let look = |platform: &Platform| there_is(platform).map(|()| Access::Changes(arguments.locking));
            session_after(common, "pg switchover", look, async |session| {
                let converged = bascule_release::postgres_switchover(&session.run, &session.platform).await?;
                Ok(ended(converged, || {
                    session.run.failure(Failure {
                        message: "no node of PostgreSQL says that it is the primary".to_owned(),
                        hint: Some("one may just be promoted: try again; bascule pg status shows what is down".into()),
                        ..Failure::default()
                    });
                    Exit::Failed
                }))
            })
        }
        Verb::Psql(arguments) => {
            let look = |platform: &Platform| there_is(platform).map(|()| Access::Looks);
            session_after(common, "pg psql", look, async |session| psql::psql(session, &arguments).await)
        }
        Verb::Rejoin(arguments) => {
            let look = |platform: &Platform| {
                there_is(platform)?;
                let nodes: Vec<&str> = platform.postgres_nodes().map(|node| node.name.as_str()).collect();
                if nodes.contains(&arguments.node.as_str()) {
                    return Ok(Access::Changes(arguments.locking));
                }
                let message = format!("`{}` is no node of PostgreSQL", arguments.node);
                Err(Failed::usage(message, format!("the platform has {}", nodes.join(", "))))
            };
            session_after(common, "pg rejoin", look, async |session| {
                let (run, platform) = (&session.run, &session.platform);
                let converged = bascule_release::postgres_rejoin(run, platform, &arguments.node).await?;
                Ok(ended(converged, || {
                    run.note(format!("{} is where it belongs", arguments.node));
                    Exit::Done
                }))
            })
        }
    }
}

fn ended(converged: Converged, unchanged: impl FnOnce() -> Exit) -> Exit {
    match converged {
        Converged::Applied => Exit::Done,
        Converged::Failed => Exit::Failed,
        Converged::Unchanged => unchanged(),
    }
}

fn there_is(platform: &Platform) -> Result<(), Failed> {
    let hint = "add [postgres] to the platform file; then bascule up";
    platform.postgres.as_ref().map(|_| ()).ok_or_else(|| Failed::usage("the platform has no PostgreSQL", hint))
}
