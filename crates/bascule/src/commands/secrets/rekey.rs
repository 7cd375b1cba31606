use std::process::ExitCode;
use std::time::Instant;

use bascule_plan::event::{Event, Summary};
use bascule_secrets::Recipients;

use crate::cli::Common;
use crate::failure::Exit;
use crate::{runtime, secrets, setup};

pub(crate) fn run(common: &Common) -> ExitCode {
    runtime::in_runtime(common, async |events, _| {
        let began = Instant::now();
        let _ = events.send(runtime::started("secrets rekey", None));
        let known = setup::environments(&common.platform)?;
        Recipients::know(&common.platform.with_file_name("recipients.toml"), &known)?;
        let environments = common.env.as_ref().map_or(known, |environment| vec![environment.clone()]);
        // All are opened before the first is written: who cannot read one of them leaves all as they are.
        let mut files = Vec::new();
        for environment in environments {
            let file = secrets::open(common, &environment)?;
            if file.exists() {
                files.push(file);
            }
        }
        let mut lost = false;
        for file in &mut files {
            let before = names(file.readers());
            file.save()?;
            let now = names(file.readers());
            lost |= before.iter().any(|name| !now.contains(name));
            let message = format!("{}: can be read by {}", file.place().environment, now.join(", "));
            let _ = events.send(Event::Note { message });
        }
        if files.is_empty() {
            let _ = events.send(Event::Note { message: "there are no secrets yet: bascule init".to_owned() });
        }
        if lost {
            let message = "who was taken out still has what the repository held before: `bascule secrets rotate` it";
            let _ = events.send(Event::Note { message: message.to_owned() });
        }
        let summary = Summary { duration_ms: runtime::elapsed_ms(began), ..Summary::default() };
        let _ = events.send(Event::Summary(summary));
        Ok(Exit::Done)
    })
}

fn names(readers: Vec<(String, String)>) -> Vec<String> {
    readers.into_iter().map(|(name, _)| name).collect()
}
