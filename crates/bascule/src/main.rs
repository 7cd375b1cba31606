//! The command line: arguments in, one call of a library, events out through a renderer.

mod authority;
mod cli;
mod commands;
mod doctor;
mod expiry;
mod failure;
mod files;
mod hosts;
mod operators;
mod ops;
mod pair;
mod process;
#[cfg(test)]
mod reference;
mod render;
mod runtime;
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
