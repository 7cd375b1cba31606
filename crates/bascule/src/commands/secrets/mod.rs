//! `bascule secrets`: look at and change what an environment's encrypted file holds. Nothing here touches an instance:
//! what changed is seen by `bascule plan`, and rolled out by `bascule up`.

mod edit;
mod editor;
mod list;
mod rekey;
mod rotate;
mod set;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Common;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the names of secrets, their fingerprints, who uses them and who can read them
    ///
    /// A fingerprint is a keyed hash: it tells two values of a secret apart, and tells neither. `bascule plan` shows the
    /// same, so a rotation is seen as a change from one fingerprint to another.
    #[command(after_help = "Examples:\n  bascule secrets list --env prod")]
    List,
    /// Open the secrets in your editor, on a file that never lies on a disk
    ///
    /// The editor is $VISUAL or $EDITOR. Its file lies in a folder of yours in memory, which is removed with all that the
    /// editor left there, however the session ends. What is the platform's own is not shown, and stays.
    #[command(after_help = "Examples:\n  bascule secrets edit   in the editor that $EDITOR names")]
    Edit,
    /// Give a secret the value on standard input
    ///
    /// One line feed at the end of a single line is left out: it is the shell's.
    #[command(after_help = "Examples:\n  bascule secrets set mail_password   < password.txt")]
    Set(set::Arguments),
    /// Print the value of one secret
    #[command(after_help = "Examples:\n  bascule secrets show operator_token   for a person or a pipe")]
    Show(show::Arguments),
    /// Draw new values for secrets
    ///
    /// 256 random bits each, as 64 hex digits. The components that use them are restarted by the next `bascule up`, one
    /// replica after the other.
    #[command(after_help = "Examples:\n  bascule secrets rotate session_key && bascule plan && bascule up")]
    Rotate(rotate::Arguments),
    /// Encrypt the secrets anew, for those whom recipients.toml names now
    ///
    /// Without --env, those of every environment that has any.
    #[command(after_help = "Examples:\n  bascule secrets rekey   then commit what changed")]
    Rekey,
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    match verb {
        Verb::List => list::run(common),
        Verb::Edit => edit::run(common),
        Verb::Set(arguments) => set::run(common, arguments),
        Verb::Show(arguments) => show::run(common, arguments),
        Verb::Rotate(arguments) => rotate::run(common, arguments),
        Verb::Rekey => rekey::run(common),
    }
}

/// What to do after values changed.
const ROLL_OUT: &str = "`bascule plan` shows what that changes, `bascule up` rolls it out";
