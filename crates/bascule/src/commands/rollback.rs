use std::process::ExitCode;

use bascule_release::Context;

use crate::cli::Common;
use crate::failure::Exit;
use crate::setup::{self, session};

pub(crate) fn run(common: &Common) -> ExitCode {
    session(common, "rollback", true, async |session| {
        let context = Context { platform: &session.platform, run: &session.run, who: setup::who() };
        bascule_release::rollback(&context).await?;
        Ok(Exit::Done)
    })
}
