use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::render;

const EXAMPLES: &str = "\
Examples:
  bascule schema platform > platform.schema.json   for an editor that completes the platform file
  bascule schema events | jq '.oneOf[].description'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to describe
    of: Of,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// The platform file and its overlays
    Platform,
    /// One line of `--output json`
    Events,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let schema = match arguments.of {
        Of::Platform => bascule_spec::schema(),
        Of::Events => bascule_plan::event_schema().to_value(),
    };
    render::document(format!("{schema:#}\n").as_bytes())
}
