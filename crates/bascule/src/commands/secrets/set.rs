use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use bascule_plan::event::{Event, Summary};
use bascule_roles::AUTHORITY_KEY;
use bascule_secrets::{Identity, SecretsError, is_internal};
use bascule_spec::{Https, Ops, Platform};
use clap::Args;

use super::ROLL_OUT;
use crate::cli::Common;
use crate::failure::Failed;
use crate::{pair, runtime, secrets};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The secret; one that is not there yet is added
    name: String,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    runtime::on_files(common, "secrets set", async |platform, events| {
        let Arguments { name } = arguments;
        let mut file = secrets::open(common, &platform.environment)?;
        let before = file.fingerprint(&name).ok();
        let value = value()?;
        fits(&name, &value, &platform)?;
        file.set(&name, &value)?;
        file.save()?;
        let now = file.fingerprint(&name)?;
        let message = match before {
            Some(before) if before == now => format!("{name} has that value already ({now})"),
            Some(before) => format!("{name}: {before} → {now}; {ROLL_OUT}"),
            None if secrets::users(&platform, &name).is_empty() => {
                format!("{name}: {now}; no component uses it yet: name it in its `secrets`")
            }
            None => format!("{name}: {now}; {ROLL_OUT}"),
        };
        let _ = events.send(Event::Note { message });
        Ok(Summary::default())
    })
}

/// What the platform itself uses has to be of its kind; what it does not know under a name of its own it takes from nobody.
fn fits(name: &str, value: &str, platform: &Platform) -> Result<(), Failed> {
    let is_front_key = platform.given_certificate().is_some_and(|given| given.key == name);
    let right = match name {
        Ops::AGE_KEY => Identity::public_half(value).is_some(),
        AUTHORITY_KEY | Https::CLIENT_KEY | Ops::CLIENT_KEY => pair::is_key(value),
        _ if is_front_key => pair::is_key(value),
        _ if is_internal(name) => return Err(SecretsError::Name { name: name.to_owned() }.into()),
        _ => true,
    };
    let kind = if name == Ops::AGE_KEY { "an age key" } else { "a private key, PEM" };
    let hint = "give the file that holds the key itself, and the whole of it";
    if right { Ok(()) } else { Err(Failed::usage(format!("{name} has to be {kind}"), hint)) }
}

/// All of standard input but the line feed that a shell puts at the end.
fn value() -> Result<String, Failed> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failed::usage(
            "the value is read from standard input, which is a terminal: it would be seen",
            "bascule secrets set NAME < FILE, or bascule secrets edit",
        ));
    }
    let mut value = String::new();
    if let Err(error) = stdin.read_to_string(&mut value) {
        return Err(Failed::usage(format!("standard input cannot be read as a text: {error}"), "encode it as base64"));
    }
    if value.ends_with('\n') && !value.trim_end_matches('\n').contains('\n') {
        value.truncate(value.trim_end_matches('\n').len());
    }
    Ok(value)
}
