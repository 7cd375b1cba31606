use std::process::ExitCode;

use bascule_engine::Destroy;
use bascule_spec::Platform;
use clap::Args;

use crate::cli::{Common, Locking};
use crate::failure::{Exit, Failed};
use crate::setup::{Access, session_after};

const EXAMPLES: &str = "\
Examples:
  bascule down                             tells what would be lost, and destroys nothing
  bascule down --env lab --yes-destroy lab";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The name of the environment, as proof that its destruction is wanted
    #[arg(long, value_name = "NAME-OF-ENVIRONMENT")]
    yes_destroy: Option<String>,
    #[command(flatten)]
    locking: Locking,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    let named = arguments.yes_destroy.as_deref();
    // Without the name nothing is destroyed: then this only tells what would be.
    let look = |platform: &Platform| {
        let confirmed = named == Some(platform.environment.as_str());
        Ok(if confirmed { Access::Changes(arguments.locking) } else { Access::Looks })
    };
    session_after(common, "down", look, async |session| {
        let platform = &session.platform;
        let environment = platform.environment.as_str();
        let Some(destroy) = Destroy::confirmed(environment, named) else {
            let instances = session.incus.instances(&platform.incus.project).await?;
            let names: Vec<String> = instances.into_iter().map(|instance| instance.name).collect();
            let other = named.map(|named| format!("`{named}` is not this environment: ")).unwrap_or_default();
            return Err(Failed::usage(
                format!(
                    "{other}this destroys the environment `{environment}` of {} for good, with all its data: {}",
                    platform.name,
                    list(&names),
                ),
                format!("if that is wanted: bascule down --env {environment} --yes-destroy {environment}"),
            ));
        };
        session.run.destroy(&platform.network.bridge, &platform.incus.pool, destroy).await?;
        if session.run.summary(true).changed == 0 {
            session.run.note("there was nothing to destroy");
        }
        Ok(Exit::Done)
    })
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no instances".to_owned() } else { names.join(", ") }
}
