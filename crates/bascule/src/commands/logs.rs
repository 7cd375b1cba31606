use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::exec::{self, Pieces};
use super::running_instance;
use crate::cli::Common;
use crate::failure::Exit;
use crate::setup::{Access, session};

const EXAMPLES: &str = "\
Examples:
  bascule logs api-blue-1 --unit api       the last lines of one unit
  bascule logs lb-1 --follow               everything, as it comes
  bascule logs lb-1 --since -1h --lines 1000";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The instance
    instance: String,
    /// Only this unit
    #[arg(long, short)]
    unit: Option<String>,
    /// How many lines, counted from the end
    #[arg(long, short = 'n', default_value_t = 50)]
    lines: u32,
    /// Go on with new lines as they come
    #[arg(long, short)]
    follow: bool,
    /// Only lines since then, as `journalctl --since` reads it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
}

impl Arguments {
    fn journalctl(&self) -> Vec<String> {
        let mut argv = vec!["journalctl".to_owned(), "--no-pager".to_owned(), format!("--lines={}", self.lines)];
        argv.extend(self.unit.iter().map(|unit| format!("--unit={unit}")));
        argv.extend(self.since.iter().map(|since| format!("--since={since}")));
        argv.extend(self.follow.then(|| "--follow".to_owned()));
        argv
    }
}

/// A follower is ended by its reader; a day is a bound, not a promise.
const FOLLOW_MAX: Duration = Duration::from_hours(24);

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "logs", Access::Looks, async |session| {
        running_instance(session, &arguments.instance).await?;
        let limit = if arguments.follow { FOLLOW_MAX } else { Duration::from_mins(1) };
        let exited = exec::piped(session, &arguments.instance, &arguments.journalctl(), limit, Pieces::Lines).await?;
        Ok(Exit::Code(u8::try_from(exited.code).unwrap_or(1)))
    })
}
