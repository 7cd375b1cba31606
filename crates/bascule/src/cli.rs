//! What can be typed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::commands;

/// Turns Debian hosts into a highly available platform, and releases software to it without dropping a request.
///
/// One file describes the platform; `bascule up` makes it so. Every verb can be killed and run again.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    pub(crate) common: Common,
}

const EXAMPLES: &str = "\
Examples:
  bascule check --env lab                 is the platform file sound?
  bascule plan --env lab                  what would `up` change?
  bascule up --env lab                    make it so
  bascule deploy $(git rev-parse HEAD)    put a commit into service, blue/green
  bascule rollback                        go back to what served before
  bascule status                          instances, versions, colours, health

Exit codes: 0 done · 1 failed · 2 the input or the environment is wrong · 3 a needed tool or host is missing";

#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The platform file; `env/NAME.toml` beside it overlays it
    #[arg(long, global = true, value_name = "FILE", default_value = "platform.toml", env = "BASCULE_PLATFORM")]
    pub(crate) platform: PathBuf,
    /// The environment: lab, staging, prod… May be left out where the platform has one only
    #[arg(long, global = true, value_name = "NAME", env = "BASCULE_ENV")]
    pub(crate) env: Option<String>,
    /// Text for people, or one JSON event a line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Output,
    /// Show unchanged steps too, each with its reason
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

/// How a verb comes by the lock of the environment that it changes.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Locking {
    /// When somebody else is changing the environment, wait so long for the lock: 90s, 5m, 1h
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    lock_wait: SignedDuration,
}

impl Locking {
    pub(crate) fn wait(self) -> Duration {
        Duration::try_from(self.lock_wait).unwrap_or_default()
    }
}

/// Narrows a run.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Only {
    /// Only these instances (lb-1), roles (load_balancer) or groups of steps (common/ssh); may be given several times
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check the platform file: every mistake at once, with its line and its remedy
    Check,
    /// Show what `up` would change, and change nothing
    Plan(commands::plan::Arguments),
    /// Make the platform what its file says; a second run changes nothing
    Up(commands::up::Arguments),
    /// Show instances, roles, versions, colours and health
    Status,
    /// Run a command on an instance
    Exec(commands::exec::Arguments),
    /// Show the journal of an instance
    Logs(commands::logs::Arguments),
    /// Destroy an environment: its instances, volumes, bridge and project
    Down(commands::down::Arguments),
    /// Put a commit into service: on the idle colour, probed, then switched to
    Deploy(commands::deploy::Arguments),
    /// Go back to what served before
    Rollback(commands::rollback::Arguments),
    /// Show releases and rollbacks: who, when, what, and how each ended
    History,
    /// Show who holds the environment's lock, and take it away from a holder that is stuck
    Unlock(commands::unlock::Arguments),
    /// Print shell completions
    Completions(commands::completions::Arguments),
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        let common = self.common;
        match self.verb {
            Verb::Check => commands::check::run(&common),
            Verb::Plan(arguments) => commands::plan::run(&common, arguments),
            Verb::Up(arguments) => commands::up::run(&common, arguments),
            Verb::Status => commands::status::run(&common),
            Verb::Exec(arguments) => commands::exec::run(&common, arguments),
            Verb::Logs(arguments) => commands::logs::run(&common, arguments),
            Verb::Down(arguments) => commands::down::run(&common, arguments),
            Verb::Deploy(arguments) => commands::deploy::run(&common, arguments),
            Verb::Rollback(arguments) => commands::rollback::run(&common, arguments),
            Verb::History => commands::history::run(&common),
            Verb::Unlock(arguments) => commands::unlock::run(&common, arguments),
            Verb::Completions(arguments) => commands::completions::run(arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
