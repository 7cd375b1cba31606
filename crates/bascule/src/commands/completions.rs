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
    clap_complete::generate(arguments.shell, &mut Cli::command(), "bascule", &mut std::io::stdout());
    ExitCode::SUCCESS
}
