use std::process::ExitCode;
use std::time::Duration;

use bascule_incus::Status;
use bascule_plan::event::{Event, Failure, Stream};
use bascule_spec::Platform;
use clap::{Args, Subcommand};

use super::exec::answered;
use crate::cli::Common;
use crate::failure::{Exit, Failed};
use crate::setup::{Access, Session, session_after};

const PURGE_EXAMPLES: &str = "\
Examples:
  bascule edge purge /media/tracks/42/       everything below it
  bascule edge purge /media/                 all that the edges keep of a route";

/// A purge waits for what is just being fetched, which is bounded by the program on the edge.
const TIMEOUT: Duration = Duration::from_mins(5);

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Forget what is kept of the paths that begin so, on all edges
    ///
    /// For what was replaced or withdrawn in the store: the next request fetches it anew. Says how many files went from each
    /// edge; an object of many megabytes is kept as one for each. Needs no lock, so that it can be done while somebody else
    /// changes the environment. Ends with 1 when an edge could not be asked: what it keeps is then as it was.
    #[command(after_help = PURGE_EXAMPLES)]
    Purge(Arguments),
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How the paths begin, as URLs have them, but not percent-encoded
    prefix: String,
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    let Verb::Purge(Arguments { prefix }) = verb;
    let look = |platform: &Platform| purge(platform, &prefix).map(|_| Access::Looks);
    session_after(common, "edge purge", look, async |session| {
        let argv = purge(&session.platform, &prefix)?;
        if prefix.contains(['*', '%']) {
            session.run.note("`*` and `%` are taken as they are: nothing stands for something else in a prefix");
        }
        let mut exit = Exit::Done;
        let edges = session.platform.edges().map(|edge| forget(session, &edge.name, &argv));
        for failure in futures_util::future::join_all(edges).await.into_iter().flatten() {
            session.run.failure(failure);
            exit = Exit::Failed;
        }
        Ok(exit)
    })
}

/// The program that forgets on an edge.
fn purge(platform: &Platform, prefix: &str) -> Result<Vec<String>, Failed> {
    let Some(edge) = &platform.edge else {
        return Err(Failed::usage(
            "the platform has no edge cache",
            "add [edge] to the platform file; then bascule up",
        ));
    };
    bascule_roles::purge(platform, prefix).ok_or_else(|| {
        let message = format!("no edge answers paths that begin with `{prefix}`");
        Failed::usage(message, format!("begin with one of {}", edge.routes.join(", ")))
    })
}

/// Says how many went, or gives back why that is not known.
async fn forget(session: &Session, edge: &str, argv: &[String]) -> Option<Failure> {
    let failure = |message: String, hint: &str| Failure {
        instance: Some(edge.to_owned()),
        message,
        hint: Some(hint.to_owned()),
        ..Failure::default()
    };
    let project = &session.platform.incus.project;
    match session.incus.instance(project, edge).await {
        Ok(Some(instance)) if instance.status == Status::Running => {}

        Ok(_) => {
            let message = "it does not run, and will have what it kept when it does".to_owned();
            return Some(failure(message, "bascule up; then purge again"));
        }
        Err(error) => return Some(failure(error.to_string(), "purge again")),
    }
    match answered(session, edge, argv, TIMEOUT).await {
        Err(error) => Some(failure(error.to_string(), "purge again")),
        Ok((exited, said)) => {
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            if !said.is_empty() {
                let text = format!("{edge}: {said} gone\n");
                let bytes = text.clone().into_bytes();
                session.run.emit(Event::Output { instance: edge.to_owned(), stream: Stream::Stdout, text, bytes });
            }
            (exited.code != 0).then(|| failure(exited.stderr_tail.trim().to_owned(), "purge again"))
        }
    }
}
