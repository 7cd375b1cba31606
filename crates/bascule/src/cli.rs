//! What can be typed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Command, CommandFactory as _, Parser, Subcommand, ValueEnum};
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
  bascule init shop                       begin a platform in the folder shop
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
    /// Your age key, which opens the secrets; by default ~/.config/bascule/age.key
    #[arg(long, global = true, value_name = "FILE", env = "BASCULE_AGE_KEY_FILE", hide_env_values = true)]
    pub(crate) age_key: Option<PathBuf>,
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
    /// Begin a platform: a commented starter, an age key, strong secrets
    ///
    /// Writes a site, a small program and the platform file for both, where there is no platform yet; makes your age key,
    /// where you have none; and draws a strong value for every secret that a component uses and that has none. Nothing
    /// that is there is ever overwritten, so that it can be run again at any time.
    Init(commands::init::Arguments),
    /// Check the platform file: every mistake at once, with its line and its remedy
    ///
    /// Reads the platform file and the environment's overlay, and nothing else: no Incus is asked, no secret is needed.
    /// Editors find the same mistakes while you type, by the schema that `bascule schema platform` prints.
    #[command(after_help = commands::check::EXAMPLES)]
    Check,
    /// Show what `up` would change, and change nothing
    ///
    /// Asks every instance for its whole line of steps, and shows what differs from the platform file and why. What is
    /// shown here is exactly what `bascule up` does then, unless something else changes the world in between.
    Plan(commands::plan::Arguments),
    /// Make the platform what its file says; a second run changes nothing
    ///
    /// Checks everything first, then brings what differs to its plan, all instances at once. A step is done when it was
    /// checked again after it was applied. Killed at any moment and run again, it goes on from where the world is.
    Up(commands::up::Arguments),
    /// Renew the certificates that are due, and change nothing else
    ///
    /// `up` does so, too; the instance `ops-1` runs this verb every day. A certificate is due when a third of its time is
    /// left. Whatever uses it loads it again, the replicas of a component one after the other. Ends with 1 when one could not
    /// be renewed, or when the certificate that you brought for the front door has 21 days left or less.
    Renew(commands::renew::Arguments),
    /// Show instances, roles, versions, colours and health
    ///
    /// Looks at every instance in one call each and changes nothing. Ends with 1 when an instance that has traffic is
    /// not healthy, when the last renewal of certificates failed, or when the front door's certificate has 21 days left or
    /// less, so that a script can ask.
    #[command(after_help = commands::status::EXAMPLES)]
    Status,
    /// Tell what is missing on this machine, and the command that mends it
    ///
    /// Looks at the platform file, Incus and what it needs of the kernel, and changes nothing. Ends with 0 when nothing
    /// is missing, else with 3. Mend from the top: what is below may follow from it.
    #[command(after_help = commands::doctor::EXAMPLES)]
    Doctor,
    /// Run a command on an instance
    ///
    /// As root, by Incus: no SSH is involved. Standard input goes along, output comes back byte for byte, and the exit
    /// code is the command's own. On a terminal the command gets a terminal, too.
    Exec(commands::exec::Arguments),
    /// Show the journal of an instance
    ///
    /// Runs `journalctl` there. Without `--unit` it is everything that the instance says.
    Logs(commands::logs::Arguments),
    /// Destroy an environment: its instances, volumes, bridge and project
    ///
    /// Without `--yes-destroy` it only tells what would be lost. The environment has to be named twice, so that a
    /// command in the history of your shell cannot take the wrong one with it. With names of instances it destroys only those,
    /// which the platform file must not name any more: `plan`, `up` and `status` say which there are.
    Down(commands::down::Arguments),
    /// Make Incus servers of bare machines, as `[hosts]` of the platform file says
    ///
    /// A machine with Debian 12 or 13, an SSH server and your key for root is enough. Every host's key is compared and
    /// pinned once; the pins are in `env/NAME.known_hosts`, which belongs into the repository.
    #[command(subcommand, after_help = commands::host::EXAMPLES)]
    Host(commands::host::Verb),
    /// Put a commit into service: on the idle colour, probed, then switched to
    ///
    /// The artifacts are looked for in `COMMIT/COMPONENT.tar.gz` below the folder that `[release] artifacts` names. The
    /// idle colour's instances are made anew with them, each is asked for its health in place and across the network,
    /// then the traffic moves in one step. When anything fails, the old release goes on serving and the verb ends with 1.
    Deploy(commands::deploy::Arguments),
    /// Go back to what served before
    ///
    /// The other colour still runs: its health is asked for, then the traffic moves back. Without colours the release
    /// before is rolled out again, replica by replica.
    Rollback(commands::rollback::Arguments),
    /// Show releases and rollbacks: who, when, what, and how each ended
    ///
    /// The last 200 are kept in Incus, so that every operator sees the same ones.
    #[command(after_help = commands::history::EXAMPLES)]
    History,
    /// Look at and change the secrets of an environment
    #[command(subcommand)]
    Secrets(commands::secrets::Verb),
    /// Look after Redis and its Sentinels
    #[command(subcommand)]
    Redis(commands::redis::Verb),
    /// Look after PostgreSQL
    #[command(subcommand)]
    Pg(commands::pg::Verb),
    /// Make backups of PostgreSQL, and look after those there are
    #[command(subcommand)]
    Backup(commands::backup::Verb),
    /// Try whether a backup of PostgreSQL can be restored
    #[command(subcommand)]
    Drill(commands::drill::Verb),
    /// Restore PostgreSQL to a moment, beside what serves
    ///
    /// Makes the first node of a new formation, and brings a backup and the log after it there, up to where you say. What
    /// serves is left alone. Prints how to look at what came out of it, and how to go on with it. Ends with 2, before anything
    /// is made, where the backups do not reach to there.
    Restore(commands::restore::Arguments),
    /// Look after the object store
    #[command(subcommand)]
    Store(commands::store::Verb),
    /// Look after the edge cache
    #[command(subcommand)]
    Edge(commands::edge::Verb),
    /// Show who holds the environment's lock, and take it away from a holder that is stuck
    ///
    /// A verb that changes an environment holds its lock, and renews a lease of 20 s while it works. A holder that died
    /// loses the lock by itself: at once where that can be told (it ran on this machine), when its lease has run out
    /// elsewhere. So this verb is for a holder that lives and must not go on. Its next change is refused; the next
    /// `bascule up` finishes what it began.
    Unlock(commands::unlock::Arguments),
    /// Print a JSON Schema: of the platform file, or of the events of `--output json`
    Schema(commands::schema::Arguments),
    /// Print shell completions
    Completions(commands::completions::Arguments),
    /// Write the man pages: one for the tool and one for each verb
    Man(commands::man::Arguments),
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        let common = self.common;
        match self.verb {
            Verb::Init(arguments) => commands::init::run(&common, arguments),
            Verb::Check => commands::check::run(&common),
            Verb::Plan(arguments) => commands::plan::run(&common, arguments),
            Verb::Up(arguments) => commands::up::run(&common, arguments),
            Verb::Renew(arguments) => commands::renew::run(&common, arguments),
            Verb::Status => commands::status::run(&common),
            Verb::Doctor => commands::doctor::run(&common),
            Verb::Exec(arguments) => commands::exec::run(&common, arguments),
            Verb::Logs(arguments) => commands::logs::run(&common, arguments),
            Verb::Down(arguments) => commands::down::run(&common, arguments),
            Verb::Host(verb) => commands::host::run(&common, verb),
            Verb::Deploy(arguments) => commands::deploy::run(&common, arguments),
            Verb::Rollback(arguments) => commands::rollback::run(&common, arguments),
            Verb::History => commands::history::run(&common),
            Verb::Secrets(verb) => commands::secrets::run(&common, verb),
            Verb::Redis(verb) => commands::redis::run(&common, verb),
            Verb::Pg(verb) => commands::pg::run(&common, verb),
            Verb::Backup(verb) => commands::backup::run(&common, verb),
            Verb::Drill(verb) => commands::drill::run(&common, verb),
            Verb::Restore(arguments) => commands::restore::run(&common, arguments),
            Verb::Store(verb) => commands::store::run(&common, verb),
            Verb::Edge(verb) => commands::edge::run(&common, verb),
            Verb::Unlock(arguments) => commands::unlock::run(&common, arguments),
            Verb::Schema(arguments) => commands::schema::run(&arguments),
            Verb::Completions(arguments) => commands::completions::run(&arguments),
            Verb::Man(arguments) => commands::man::run(&arguments),
        }
    }
}

/// The tool and all its verbs, with those below them, as they are told about in man pages and in the book.
pub(crate) fn described() -> Vec<Command> {
    fn add(command: &Command, all: &mut Vec<Command>) {
        all.push(command.clone());
        command.get_subcommands().filter(|verb| !verb.is_hide_set()).for_each(|verb| add(verb, all));
    }
    let mut tool = Cli::command().disable_help_subcommand(true);
    tool.build();
    let mut all = Vec::new();
    add(&tool, &mut all);
    all
}

#[cfg(test)]
mod tests;
