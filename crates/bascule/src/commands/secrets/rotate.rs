use std::process::ExitCode;

use bascule_plan::event::{Event, Summary};
use bascule_secrets::{SecretsError, is_internal};
use bascule_spec::{Backup, Store};
use clap::Args;

use super::ROLL_OUT;
use crate::cli::Common;
use crate::failure::Failed;
use crate::{runtime, secrets};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The secrets: of the file, or of some component that has none yet
    #[arg(required = true)]
    names: Vec<String>,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    runtime::on_files(common, "secrets rotate", async |platform, events| {
        let mut file = secrets::open(common, &platform.environment)?;
        let mut drawn = Vec::new();
        for name in arguments.names {
            let of_a_service = platform.own_secrets().contains(&name);
            if is_internal(&name) && !of_a_service {
                let message = format!("{name} is the platform's own: what it signs or opens has to change with it");
                return Err(Failed::usage(message, "bascule secrets list shows which are yours"));
            }
            if name == Store::CLUSTER_KEY {
                let message = format!("{name} cannot be replaced: the parts of a running store know each other by it");
                return Err(Failed::usage(message, "the keys by which software comes to the store can be"));
            }
            if name == Backup::PASSPHRASE {
                let message = format!("{name} cannot be replaced: every backup that there is was encrypted by it");
                return Err(Failed::usage(message, "for a new one, name another bucket in [postgres.backup]"));
            }
            if let Some(given) = platform.given_secrets().find(|given| given.name == name) {
                let message = format!("{name} is {}: it comes from elsewhere", given.what);
                return Err(Failed::usage(message, format!("bring the new one: bascule secrets set {name} < FILE")));
            }
            let before = file.fingerprint(&name).ok();
            if before.is_none() && !of_a_service && !platform.secrets().contains(name.as_str()) {
                return Err(SecretsError::Unknown { path: file.place().secrets.clone(), name }.into());
            }
            file.set(&name, &secrets::drawn(&name)?)?;
            let before = before.map_or_else(|| "new".to_owned(), |before| before.to_string());
            drawn.push(format!("{name}: {before} → {}", file.fingerprint(&name)?));
        }
        file.save()?;
        for message in drawn.into_iter().chain([ROLL_OUT.to_owned()]) {
            let _ = events.send(Event::Note { message });
        }
        Ok(Summary::default())
    })
}
