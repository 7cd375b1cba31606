use std::process::ExitCode;

use bascule_release::{Context, Folder, ReleaseError};
use bascule_spec::Platform;
use clap::Args;

use crate::cli::{Common, Locking};
use crate::failure::Exit;
use crate::setup::{self, Access, session_after};

const EXAMPLES: &str = "\
Examples:
  bascule deploy $(git rev-parse HEAD)
  bascule deploy 0123456789abcdef0123456789abcdef01234567 --output json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The commit to put into service: 40 hex digits
    commit: String,
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    let look = |platform: &Platform| {
        let commit = setup::commit(&arguments.commit)?;
        Folder(platform.release.artifacts.clone()).release(platform, &commit).map_err(ReleaseError::from)?;
        Ok(Access::Changes(arguments.locking))
    };
    session_after(common, "deploy", look, async |session| {
        let commit = setup::commit(&arguments.commit)?;
        let context = Context { platform: &session.platform, run: &session.run, who: setup::who() };
        bascule_release::deploy(&context, &commit).await?;
        Ok(Exit::Done)
    })
}
