use std::process::ExitCode;

use bascule_release::Context;
use clap::Args;

use crate::cli::{Common, Locking};
use crate::failure::Exit;
use crate::setup::{self, Access, session};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The commit to put into service: 40 hex digits
    commit: String,
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "deploy", Access::Changes(arguments.locking), async |session| {
        let commit = setup::commit(&arguments.commit)?;
        let context = Context { platform: &session.platform, run: &session.run, who: setup::who() };
        bascule_release::deploy(&context, &commit).await?;
        Ok(Exit::Done)
    })
}
