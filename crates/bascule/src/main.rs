//! The command line: arguments in, one call of a library, events out through a renderer.

mod cli;
mod commands;
mod failure;
mod files;
mod process;
mod render;
mod secrets;
mod setup;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // On an instance this program is the agent, for the length of one call: before anything else is set up.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "agent") {
        return bascule_agent::main();
    }
    cli::Cli::parse().run()
}
