use std::process::ExitCode;

use bascule_engine::Destroy;
use bascule_spec::Platform;
use clap::Args;

use crate::cli::{Common, Locking};
use crate::failure::{Exit, Failed};
use crate::setup::{Access, Session, session_after};

const EXAMPLES: &str = "\
Examples:
  bascule down                             tells what would be lost, and destroys nothing
  bascule down --env lab --yes-destroy lab
  bascule down pg-3 --yes-destroy lab      an instance that the platform file names no more";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only these instances, with their volumes: those that the platform file names no more
    #[arg(value_name = "INSTANCE")]
    instances: Vec<String>,
    /// The name of the environment, as proof that its destruction is wanted
    #[arg(long, value_name = "NAME-OF-ENVIRONMENT")]
    yes_destroy: Option<String>,
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    let (instances, named) = (&arguments.instances, arguments.yes_destroy.as_deref());
    // Without the name nothing is destroyed: then this only tells what would be.
    let look = |platform: &Platform| {
        are_strays(platform, instances)?;
        let confirmed = named == Some(platform.environment.as_str());
        Ok(if confirmed { Access::Changes(arguments.locking) } else { Access::Looks })
    };
    session_after(common, "down", look, async |session| {
        let (run, platform) = (&session.run, &session.platform);
        let Some(destroy) = Destroy::confirmed(&platform.environment, named) else {
            return Err(would_be_lost(session, instances, named).await?);
        };
        let pool = platform.incus.pool.as_str();
        match instances.is_empty() {
            true => run.destroy(&platform.network.bridge, pool, destroy).await?,
            false => run.destroy_instances(instances, pool, destroy).await?,
        }
        if run.summary(true).changed == 0 {
            run.note("there was nothing to destroy");
        }
        Ok(Exit::Done)
    })
}

/// What the platform file names `up` would only make again, with nothing on its volume.
fn are_strays(platform: &Platform, instances: &[String]) -> Result<(), Failed> {
    let is_named = |name: &&String| platform.instances.iter().any(|instance| instance.name == **name);
    match instances.iter().find(is_named) {
        None => Ok(()),
        Some(named) => Err(Failed::usage(
            format!("`{named}` is in the platform file: `bascule up` would make it again"),
            "take it out of the platform file first, run `bascule up`, and then this",
        )),
    }
}

async fn would_be_lost(session: &Session, instances: &[String], named: Option<&str>) -> Result<Failed, Failed> {
    let platform = &session.platform;
    let environment = platform.environment.as_str();
    let other = named.map(|named| format!("`{named}` is not this environment: ")).unwrap_or_default();
    let (what, typed) = if instances.is_empty() {
        let there = session.incus.instances(&platform.incus.project).await?;
        let names: Vec<String> = there.into_iter().map(|instance| instance.name).collect();
        let what = format!("the environment `{environment}` of {}", platform.name);
        (format!("{what} for good, with all its data: {}", list(&names)), String::new())
    } else {
        let names = instances.join(", ");
        (format!("{names} of {} for good, with all data there", platform.name), format!("{} ", instances.join(" ")))
    };
    Ok(Failed::usage(
        format!("{other}this destroys {what}"),
        format!("if that is wanted: bascule down {typed}--env {environment} --yes-destroy {environment}"),
    ))
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no instances".to_owned() } else { names.join(", ") }
}
