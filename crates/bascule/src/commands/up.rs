use std::process::ExitCode;

use bascule_engine::Converged;
use clap::Args;

use super::planned;
use crate::cli::{Common, Locking, Only};
use crate::failure::Exit;
use crate::setup::{Access, session};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    only: Only,
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "up", Access::Makes(arguments.locking), async |session| {
        let plan = planned(session, &arguments.only).await?;
        let converged = session.run.converge(&plan).await?;
        Ok(if converged == Converged::Failed { Exit::Failed } else { Exit::Done })
    })
}
