use std::process::ExitCode;

use bascule_release::Context;
use clap::Args;

use crate::cli::{Common, Locking};
use crate::failure::Exit;
use crate::setup::{self, Access, session};

const EXAMPLES: &str = "\
Examples:
  bascule rollback                         in a second: the colour that served before still runs
  bascule history                          what there is to go back to";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
