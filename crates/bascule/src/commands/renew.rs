use std::process::ExitCode;

use bascule_engine::Converged;
use bascule_plan::event::Failure;
use clap::Args;

use crate::cli::{Common, Locking};
use crate::expiry::{days_if_soon, moment};
use crate::failure::Exit;
use crate::setup::{Access, session};

const EXAMPLES: &str = "\
Examples:
  bascule renew
  bascule renew --env prod --lock-wait 10m";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "renew", Access::Changes(arguments.locking), async |session| {
        let converged = bascule_release::renew(&session.run, &session.platform).await?;
        let mut exit = if converged == Converged::Failed { Exit::Failed } else { Exit::Done };
        if let Some(given) = session.platform.given_certificate() {
            let ends = moment(given.expires_s);
            if let Some(days) = ends.and_then(|ends| days_if_soon(ends, session.run.unix_ms())) {
                exit = Exit::Failed;
                session.run.failure(Failure {
                    message: format!("the front door's certificate ends {days} days from now"),
                    hint: Some(
                        "get a new one from who issued it: its file is `certificate_file`; then bascule up".into(),
                    ),
                    ..Failure::default()
                });
            }
        }
        Ok(exit)
    })
}
