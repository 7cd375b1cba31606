use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::render;

const EXAMPLES: &str = "\
Examples:
  bascule completions bash > /etc/bash_completion.d/bascule
  bascule completions zsh > /usr/local/share/zsh/site-functions/_bascule
  bascule completions fish > ~/.config/fish/completions/bascule.fish";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell to complete for
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "bascule", &mut script);
    render::document(&script)
}
