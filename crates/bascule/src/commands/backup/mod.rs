//! What makes backups of PostgreSQL, and looks after those there are.

mod repository;

use std::process::ExitCode;

use bascule_spec::Platform;
use clap::{Args, Subcommand, ValueEnum};

use crate::cli::Common;
use crate::failure::Failed;
use crate::setup::{Access, session_after};

const NOW_EXAMPLES: &str = "\
Examples:
  bascule backup now
  bascule backup now --type full";

const LIST_EXAMPLES: &str = "\
Examples:
  bascule backup list
  bascule backup list --output json | jq -r 'select(.type == \"backup\").label'";

const VERIFY_EXAMPLES: &str = "\
Examples:
  bascule backup verify";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a backup now
    ///
    /// On the primary, to the bucket that [postgres.backup] names. A full one is due every Sunday at 02:00 UTC and a
    /// differential one every other day, and they are made by themselves: this is for before something risky.
    #[command(after_help = NOW_EXAMPLES)]
    Now(Now),
    /// Show all backups, and which moments can be restored
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Read everything in the repository again, and tell what is not as it was
    ///
    /// Every file of every backup, and every piece of the log: it takes as long as to read all that. Ends with 1 when a
    /// file is damaged or missing, and names it.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify,
}

#[derive(Debug, Args)]
pub(crate) struct Now {
    /// How much is in it
    #[arg(long = "type", value_name = "TYPE", default_value = "differential")]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Everything
    Full,
    /// What differs from the last full one; everything, where there is none
    Differential,
    /// What differs from the last one of any kind; everything, where there is none
    Incremental,
}

impl Kind {
    /// As pgBackRest calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Differential => "diff",
            Self::Incremental => "incr",
        }
    }
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    let look = |platform: &Platform| there_are(platform).map(|()| Access::Looks);
    match verb {
        Verb::Now(arguments) => {
            session_after(common, "backup now", look, async |session| repository::now(session, arguments.kind).await)
        }
        Verb::List => session_after(common, "backup list", look, async |session| repository::list(session).await),
        Verb::Verify => session_after(common, "backup verify", look, async |session| repository::verify(session).await),
    }
}

pub(super) fn there_are(platform: &Platform) -> Result<(), Failed> {
    let hint = "add [postgres.backup] to the platform file; then bascule up";
    platform.backup().map(|_| ()).ok_or_else(|| Failed::usage("the platform has no backups of PostgreSQL", hint))
}
