use std::process::ExitCode;

use bascule_plan::event::{Event, Stream, Summary};
use clap::Args;

use crate::cli::Common;
use crate::{runtime, secrets};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The secret
    name: String,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    runtime::on_files(common, "secrets show", async |platform, events| {
        let file = secrets::open(common, &platform.environment)?;
        let mut text = file.value(&arguments.name)?.to_owned();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let bytes = text.clone().into_bytes();
        let _ = events.send(Event::Output { instance: String::new(), stream: Stream::Stdout, text, bytes });
        Ok(Summary::default())
    })
}
