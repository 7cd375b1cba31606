use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use bascule_engine::Converged;
use bascule_plan::event::{Event, Failure, Restored};
use bascule_roles::Target;
use bascule_spec::Platform;
use clap::Args;
use jiff::Timestamp;

use super::backup;
use super::pg::said;
use crate::cli::{Common, Locking};
use crate::failure::{Exit, Failed};
use crate::setup::{Access, Session, session_after};

const EXAMPLES: &str = "\
Examples:
  bascule restore                                    all there is, up to the last minute
  bascule restore --to 2026-11-27T09:41:00Z          as it was at that moment
  bascule restore --backup 20261122-020312F          as it was when this backup was made
  bascule backup list                                what can be restored";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// As it was at this moment, with its offset from UTC: 2026-11-27T09:41:00Z
    #[arg(long, value_name = "TIME", group = "target")]
    to: Option<String>,
    /// As it was at this position in the log: 0/3000060
    #[arg(long, value_name = "LSN", group = "target")]
    to_lsn: Option<String>,
    /// As it was when this backup was complete
    #[arg(long, value_name = "LABEL", group = "target")]
    backup: Option<String>,
    /// What the new formation is called; by default the first of r1, r2… that is free
    #[arg(long, value_name = "NAME")]
    formation: Option<String>,
    /// The formation that was backed up: by default the one that serves; `first` for the one without a name
    #[arg(long, value_name = "FORMATION")]
    from: Option<String>,
    #[command(flatten)]
    locking: Locking,
}

const FIRST: &str = "first";
/// How long a program on an instance may take to say something.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    let look = |platform: &Platform| {
        backup::there_are(platform)?;
        arguments.target()?;
        arguments.fits(platform).map(|()| Access::Changes(arguments.locking))
    };
    session_after(common, "restore", look, async |session| arguments.restore(session).await)
}

impl Arguments {
    fn target(&self) -> Result<Target, Failed> {
        if let Some(time) = &self.to {
            let moment: Timestamp = time.parse().map_err(|_| {
                let hint = "write it with its offset from UTC, e.g. 2026-11-27T09:41:00Z or 2026-11-27T10:41:00+01:00";
                Failed::usage(format!("`{time}` is no moment"), hint)
            })?;
            return Ok(Target::Time(moment.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string()));
        }
        if let Some(lsn) = &self.to_lsn {
            let is_half =
                |half: &str| (1..=8).contains(&half.len()) && half.bytes().all(|byte| byte.is_ascii_hexdigit());
            return match lsn.split_once('/') {
                Some((high, low)) if is_half(high) && is_half(low) => Ok(Target::Lsn(lsn.to_ascii_uppercase())),
                _ => Err(Failed::usage(
                    format!("`{lsn}` is no position in the log"),
                    "PostgreSQL writes them as two hexadecimal numbers: 0/3000060",
                )),
            };
        }
        Ok(self.backup.clone().map_or(Target::Newest, Target::Backup))
    }

    /// The new one is another one.
    fn fits(&self, platform: &Platform) -> Result<(), Failed> {
        let Some(name) = &self.formation else { return Ok(()) };
        let is_name = name.len() <= 12
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let serves = platform.postgres.as_ref().and_then(|postgres| postgres.formation.as_ref()) == Some(name);
        if !is_name || name == FIRST {
            let hint = "use lower-case letters and digits, a letter first, 12 at most";
            return Err(Failed::usage(format!("`{name}` is not a name that a formation may have"), hint));
        }
        if serves {
            let hint = "choose another name: a restore is made beside what serves, never over it";
            return Err(Failed::usage(format!("the formation `{name}` is the one that serves"), hint));
        }
        Ok(())
    }

    async fn restore(&self, session: &Session) -> Result<Exit, Failed> {
        let (run, platform) = (&session.run, &session.platform);
        let target = self.target()?;
        let serving = platform.postgres.as_ref().and_then(|postgres| postgres.formation.as_deref());
        let from = self.from.as_deref().or(serving).filter(|from| *from != FIRST);
        if let Some(refused) = refused(session, from, &target).await {
            return Err(refused);
        }
        let (formation, backed_up) = (self.formation.as_deref(), backed_up(session).await);
        if let Some(name) = formation.filter(|name| backed_up.contains(*name)) {
            let hint = "choose another name: two histories in one place would overwrite each other";
            return Err(Failed::usage(format!("the repository has backups of a formation `{name}` already"), hint));
        }
        let (converged, made) = bascule_release::restore(run, platform, formation, &backed_up, from, &target).await?;
        if converged == Converged::Failed {
            run.note(format!("what is there of it is {}; to be rid of that: bascule down {0}", made.node));
            return Ok(Exit::Failed);
        }
        let told = said(session, &made.node, &["restore", "told"], PATIENCE).await;
        let told = told.and_then(|told| serde_json::from_slice(&told).map_err(|error| error.to_string()));
        let restored: Restored = match told {
            Ok(Told { last_commit, lsn, bytes }) => {
                Restored { formation: made.formation.clone(), node: made.node.clone(), last_commit, lsn, bytes }
            }
            Err(why) => {
                let message = "what was restored cannot be asked how far it came".to_owned();
                run.failure(Failure { instance: Some(made.node), message, causes: vec![why], ..Failure::default() });
                return Ok(Exit::Failed);
            }
        };
        run.emit(Event::Restored(restored));
        run.note(format!("to look at it: bascule pg psql --formation {}", made.formation));
        run.note(format!(
            "to have the platform go on with it: set `formation = \"{}\"` in [postgres], then bascule up. What was written to \
             the one that serves since then is not in it",
            made.formation
        ));
        let nodes: Vec<&str> = platform.postgres_nodes().map(|node| node.name.as_str()).collect();
        run.note(format!(
            "the other one stays as it is until: bascule down {}; to be rid of what was restored: bascule down {}",
            nodes.join(" "),
            made.node
        ));
        Ok(Exit::Done)
    }
}

/// What the program `restore` tells of what it did.
#[derive(Debug, serde::Deserialize)]
struct Told {
    last_commit: Option<String>,
    lsn: String,
    bytes: u64,
}

/// What the first node says that can tell.
async fn told(session: &Session, argv: &[&str]) -> Option<Vec<u8>> {
    for node in session.platform.postgres_nodes() {
        if let Ok(told) = said(session, &node.name, argv, PATIENCE).await {
            return Some(told);
        }
    }
    None
}

/// The formations of which the repository has backups, as far as a node that runs can tell.
async fn backed_up(session: &Session) -> BTreeSet<String> {
    let told = told(session, &["backup", "formations"]).await;
    told.and_then(|told| serde_json::from_slice(&told).ok()).unwrap_or_default()
}

/// What is wrong with the target, as far as a node that runs can tell. Where none does, the new one finds out by itself.
async fn refused(session: &Session, from: Option<&str>, target: &Target) -> Option<Failed> {
    let [kind, value] = target.told();
    let why = told(session, &["backup", "reaches", bascule_roles::stanza(from), kind, value]).await?;
    let why = String::from_utf8_lossy(&why).trim().to_owned();
    (!why.is_empty()).then(|| Failed::usage(why, "bascule backup list shows what can be restored"))
}
