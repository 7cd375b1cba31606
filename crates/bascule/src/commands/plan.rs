use std::process::ExitCode;

use bascule_plan::event::{Event, Stream};
use clap::Args;

use super::planned;
use crate::cli::{Common, Only};
use crate::failure::Exit;
use crate::setup::{Access, session};

const EXAMPLES: &str = "\
Examples:
  bascule plan                             what differs, and why
  bascule plan --verbose                   what is right already, too
  bascule plan --only lb-1                 one instance
  bascule plan --lines                     every step of every line, in its order";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    only: Only,
    /// Show every line from top to bottom, with its waits, instead of what differs
    #[arg(long)]
    lines: bool,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    session(common, "plan", Access::Looks, async |session| {
        let plan = planned(session, &arguments.only).await?;
        if arguments.lines {
            let text = plan.outline();
            let bytes = text.clone().into_bytes();
            session.run.emit(Event::Output { instance: String::new(), stream: Stream::Stdout, text, bytes });
        } else {
            session.run.plan(&plan).await?;
        }
        Ok(if session.run.failures().is_empty() { Exit::Done } else { Exit::Failed })
    })
}
