use std::process::ExitCode;

use bascule_release::Context;
use clap::Args;

use crate::cli::Common;
use crate::failure::Exit;
use crate::setup::{self, session};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The commit to put into service: 40 hex digits
    commit: String,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "deploy", true, async |session| {
        let commit = setup::commit(&arguments.commit)?;
        let context = Context { platform: &session.platform, run: &session.run, who: setup::who() };
        bascule_release::deploy(&context, &commit).await?;
        Ok(Exit::Done)
    })
}
