use std::process::ExitCode;

use bascule_plan::event::{Event, Summary};

use crate::cli::Common;
use crate::failure::Exit;
use crate::secrets::SecretsFile;
use crate::setup;

pub(crate) fn run(common: &Common) -> ExitCode {
    setup::in_runtime(common, async |events, _| {
        let platform = setup::platform(common)?;
        let instances = platform.instances.len();
        let message = format!("{}/{} is sound: {instances} instances", platform.name, platform.environment);
        let _ = events.send(Event::Note { message });
        if let Err(error) = SecretsFile::load(&platform) {
            let message = format!("its secrets are not at hand, which all but `check` need: {error}; {}", error.hint());
            let _ = events.send(Event::Note { message });
        }
        let summary = Summary { instances: instances as u64, ..Summary::default() };
        let _ = events.send(Event::Summary(summary));
        Ok(Exit::Done)
    })
}
