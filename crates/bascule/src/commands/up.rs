use std::process::ExitCode;

use bascule_engine::Converged;
use clap::Args;

use super::narrowed;
use crate::cli::{Common, Locking, Only};
use crate::failure::Exit;
use crate::setup::{Access, session};

const EXAMPLES: &str = "\
Examples:
  bascule up
  bascule up --env prod --verbose          tell of every step, also of those that are right already
  bascule up --only load_balancer          every instance of a role
  bascule up --only common/ssh             a group of steps, wherever it is";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    only: Only,
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "up", Access::Makes(arguments.locking), async |session| {
        let narrow = |plan| narrowed(plan, &arguments.only);
        let converged = bascule_release::up(&session.run, &session.platform, narrow).await?;
        Ok(if converged == Converged::Failed { Exit::Failed } else { Exit::Done })
    })
}
