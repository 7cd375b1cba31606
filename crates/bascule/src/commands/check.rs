use std::process::ExitCode;

use bascule_plan::event::{Event, Summary};

use crate::cli::Common;
use crate::{runtime, secrets};

pub(crate) const EXAMPLES: &str = "\
Examples:
  bascule check                            the only environment there is
  bascule check --env prod                 one of several
  bascule check --env prod --output json   the same, for a program";

pub(crate) fn run(common: &Common) -> ExitCode {
    runtime::on_files(common, "check", async |platform, events| {
        let instances = platform.instances.len();
        let message = format!("{}/{} is sound: {instances} instances", platform.name, platform.environment);
        let _ = events.send(Event::Note { message });
        if let Err(error) = secrets::complete(common, &platform) {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            let message = format!("its secrets are not at hand, which all but `check` need: {error}{hint}");
            let _ = events.send(Event::Note { message });
        }
        Ok(Summary { instances: instances as u64, ..Summary::default() })
    })
}
