//! The command line: arguments in, one call of a library, events out through a renderer.

mod cli;
mod commands;
mod failure;
mod files;
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
    restore_sigpipe();
    cli::Cli::parse().run()
}

/// `bascule status | head` ends quietly, as every Unix tool does; Rust's default is a panic.
fn restore_sigpipe() {
    use nix::sys::signal::{SigSet, Signal};
    // Without the signal's default action (setting it needs `unsafe`), a closed pipe is an error that the renderers
    // end on; unblocking is all that is left to do here.
    let _ = SigSet::from(Signal::SIGPIPE).thread_unblock();
}
