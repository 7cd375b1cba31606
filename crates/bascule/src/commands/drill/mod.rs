//! What tries whether the worst can be survived.

mod metrics;
mod restore;

use std::process::ExitCode;

use bascule_spec::Platform;
use clap::{Args, Subcommand};

use crate::cli::Common;
use crate::setup::{Access, session_after};

const RESTORE_EXAMPLES: &str = "\
Examples:
  bascule drill restore
  bascule drill restore --keep && bascule exec pg-drill -- runuser -u postgres psql";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Restore the newest backup on an instance of its own, and look whether everything is there
    ///
    /// Makes the instance `pg-drill`, which may only read the repository and sends nothing there, restores the newest backup
    /// and all of the log, and looks: at every table and every index (amcheck), at every page's checksum, at the rows that
    /// `expect` of each database asks for, and at a row that the primary wrote right before. Then removes it. Nothing of the
    /// platform is changed; the ops instance, where there is one, runs it every Sunday at 04:00 UTC. Ends with 0 when all is there, with 1 when
    /// it is not, and with 2 when it could not be tried: there is no backup, the repository does not answer, another drill is
    /// under way.
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(Restore),
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Leave the instance there for a look, until the next drill
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    let Verb::Restore(arguments) = verb;
    let look = |platform: &Platform| super::backup::there_are(platform).map(|()| Access::Drills);
    session_after(common, "drill restore", look, async |session| restore::restore(session, arguments.keep).await)
}
