use std::collections::BTreeSet;
use std::process::ExitCode;

use bascule_plan::event::{Event, Summary};
use bascule_secrets::Recipients;

use crate::cli::Common;
use crate::{runtime, secrets};

pub(crate) fn run(common: &Common) -> ExitCode {
    runtime::on_files(common, "secrets list", async |platform, events| {
        let file = secrets::open(common, &platform.environment)?;
        for name in file.names() {
            let users = secrets::users(&platform, name);
            let _ = events.send(Event::Secret {
                name: name.to_owned(),
                fingerprint: file.fingerprint(name)?.to_string(),
                used_by: users.into_iter().map(str::to_owned).collect(),
            });
        }
        let named: BTreeSet<(String, String)> =
            Recipients::of(file.place())?.into_iter().map(|one| (one.name.clone(), one.key())).collect();
        let readers: BTreeSet<(String, String)> = file.readers().into_iter().collect();
        for (name, recipient) in named.union(&readers) {
            let one = (name.clone(), recipient.clone());
            let (reads, named) = (readers.contains(&one), named.contains(&one));
            let _ = events.send(Event::Reader { name: one.0, recipient: one.1, reads, named });
        }
        if let Err(error) = secrets::lacks_none(&file, &platform) {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            let _ = events.send(Event::Note { message: format!("{error}{hint}") });
        }
        Ok(Summary::default())
    })
}
