use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bascule completions bash > /etc/bash_completion.d/bascule")]
pub(crate) struct Arguments {
    /// The shell to complete for
    shell: Shell,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "bascule", &mut script);
    // A reader that went away (`| head`) has all it wants.
    let _ = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}
