use std::process::ExitCode;

use bascule_release::Context;
use clap::Args;

use crate::cli::{Common, Locking};
use crate::failure::Exit;
use crate::setup::{self, Access, session};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "rollback", Access::Changes(arguments.locking), async |session| {
        let context = Context { platform: &session.platform, run: &session.run, who: setup::who() };
        bascule_release::rollback(&context).await?;
        Ok(Exit::Done)
    })
}
