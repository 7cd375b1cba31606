//! Begins a platform, or adds what is missing of one: nothing that is there is ever overwritten.

mod starter;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use bascule_plan::agent::Outcome;
use bascule_plan::event::{Event, Summary, ThingKind};
use bascule_secrets::{Identity, Recipients, SecretsError, token};
use clap::Args;
use tokio::sync::mpsc::UnboundedSender;

use crate::cli::Common;
use crate::failure::{Exit, Failed};
use crate::{runtime, secrets, setup};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bascule init shop            a starter platform in the folder shop
  bascule init                 again, or in a platform's folder: draws the secrets that have no value yet
  bascule init --env prod      those of one environment")]
pub(crate) struct Arguments {
    /// The folder of the platform; made where it is missing
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    // A path that is told to a person begins with no `./`.
    let folder = arguments.dir.strip_prefix(".").unwrap_or(&arguments.dir);
    let common = Common { platform: folder.join("platform.toml"), ..common.clone() };
    runtime::in_runtime(&common, async |events, _| {
        let _ = events.send(runtime::started("init", None));
        let mut told = Told { events, summary: Summary { applied: true, ..Summary::default() }, began: Instant::now() };
        let begins = !common.platform.exists();
        let files = if begins { starter::files(&arguments.dir)? } else { Vec::new() };
        // Before anything is written: what is there already has to be sound.
        if !begins {
            platforms(&common)?;
        }
        for file in &files {
            let is_new = file.write(&arguments.dir).map_err(|error| cannot_write(&arguments.dir, file.path, error))?;
            told.file(&arguments.dir.join(file.path), is_new.then_some(file.is));
        }
        let identity = identity(&common, &mut told)?;
        recipients(&common, &identity, &mut told)?;
        for platform in platforms(&common)? {
            let mut file = secrets::open(&common, &platform.environment)?;
            let mut drawn = Vec::new();
            for name in platform.drawn_secrets() {
                if file.ensure(name, token)? {
                    drawn.push(name.to_owned());
                }
            }
            let is_new = !file.exists();
            if is_new || !drawn.is_empty() {
                file.save()?;
            }
            let drew = format!("drew {}", drawn.join(", "));
            let did = if drawn.is_empty() { is_new.then_some("no secrets yet") } else { Some(drew.as_str()) };
            told.file(&file.place().secrets, did);
        }
        if begins {
            let dir = arguments.dir.display();
            told.note(format!("next: read {dir}/README.md and {dir}/platform.toml"));
        }
        told.end();
        Ok(Exit::Done)
    })
}

/// The environments that are meant, each of them sound.
fn platforms(common: &Common) -> Result<Vec<bascule_spec::Platform>, Failed> {
    let environments = match &common.env {
        Some(environment) => vec![environment.clone()],
        None => setup::environments(&common.platform)?,
    };
    let platform = |environment| setup::platform(&Common { env: Some(environment), ..common.clone() });
    environments.into_iter().map(platform).collect()
}

fn identity(common: &Common, told: &mut Told) -> Result<Identity, SecretsError> {
    let path = setup::age_key(common);
    match Identity::read(&path) {
        Err(SecretsError::NoIdentity { .. }) => {
            let identity = Identity::create(&path)?;
            told.file(&path, Some("your age key, which opens the secrets: keep a copy where no fire reaches it"));
            Ok(identity)
        }
        identity => {
            if identity.is_ok() {
                told.file(&path, None);
            }
            identity
        }
    }
}

fn recipients(common: &Common, identity: &Identity, told: &mut Told) -> Result<(), SecretsError> {
    let path = common.platform.with_file_name("recipients.toml");
    if path.exists() {
        told.file(&path, None);
        return Ok(());
    }
    let key = identity.recipients().first().map_or("", String::as_str);
    // `user@host`, as far as a TOML key goes without quotes.
    let who = setup::who();
    let name: String = who.split('@').take(1).flat_map(str::chars).filter(char::is_ascii_alphanumeric).collect();
    Recipients::create(&path, if name.is_empty() { "me" } else { &name }, key)?;
    told.file(&path, Some("who may read the secrets: you"));
    Ok(())
}

fn cannot_write(folder: &Path, path: &str, source: io::Error) -> Failed {
    SecretsError::Unwritten { path: folder.join(path), source }.into()
}

/// What was made and what was there, told and counted.
struct Told {
    events: UnboundedSender<Event>,
    summary: Summary,
    began: Instant,
}

impl Told {
    /// A file, and why it was written; `None` when it was there.
    fn file(&mut self, path: &Path, written: Option<&str>) {
        let (outcome, reason, count) = match written {
            Some(reason) => (Outcome::Changed, reason, &mut self.summary.changed),
            None => (Outcome::Unchanged, "is there already", &mut self.summary.unchanged),
        };
        *count += 1;
        let name = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
        let reason = reason.to_owned();
        let _ = self.events.send(Event::Thing { kind: ThingKind::File, name, outcome, reason, duration_ms: 0 });
    }

    fn note(&self, message: String) {
        let _ = self.events.send(Event::Note { message });
    }

    fn end(self) {
        let duration_ms = runtime::elapsed_ms(self.began);
        let _ = self.events.send(Event::Summary(Summary { duration_ms, ..self.summary }));
    }
}
