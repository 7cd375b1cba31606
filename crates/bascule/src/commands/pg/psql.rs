use std::io::IsTerminal as _;
use std::time::Duration;

use bascule_incus::Status;
use bascule_spec::Postgres;
use clap::Args;

use super::super::exec::{Pieces, piped};
use super::status;
use crate::failure::{Exit, Failed};
use crate::setup::Session;
use crate::terminal;

pub(super) const EXAMPLES: &str = "\
Examples:
  bascule pg psql shop
  bascule pg psql shop -- -c 'SELECT count(*) FROM orders'
  cat statements.sql | bascule pg psql shop";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The database; by default the platform's, where it has one only
    database: Option<String>,
    /// A formation that `bascule restore` made; by default the one that serves
    #[arg(long, value_name = "NAME")]
    formation: Option<String>,
    /// Arguments of psql
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs psql on the primary, or on what was restored.
pub(super) async fn psql(session: &Session, arguments: &Arguments) -> Result<Exit, Failed> {
    let databases = session.platform.postgres.iter().flat_map(|postgres| &postgres.databases);
    let mut names = databases.map(|database| database.name.as_str());
    let database = match (&arguments.database, names.next(), names.next()) {
        (Some(name), ..) => name,
        (None, Some(only), None) => only,
        (None, ..) => "postgres",
    };
    let node = match &arguments.formation {
        // Until it serves it has one node.
        Some(formation) => restored(session, formation).await?,
        None => status::primary(session)
            .await
            .ok_or_else(|| Failed::usage("no node of PostgreSQL may be written to", "bascule pg status"))?,
    };
    // Its own history and settings would be on the instance: `-X`, and no home.
    let command = ["runuser", "-u", "postgres", "--", "env", "HOME=/tmp", "psql", "-X", "--set", "HISTFILE=/dev/null"];
    let command: Vec<String> = (command.into_iter().map(str::to_owned))
        .chain(arguments.arguments.iter().cloned())
        .chain(["--dbname".to_owned(), database.to_owned()])
        .collect();
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let exited = if is_terminal && arguments.arguments.is_empty() {
        terminal::run(&*session.incus, &session.platform.incus.project, &node, &command).await?
    } else {
        piped(session, &node, &command, Duration::from_secs(24 * 3600), Pieces::AsTheyCome).await?
    };
    Ok(Exit::Code(u8::try_from(exited.code).unwrap_or(1)))
}

/// The node of a formation that a restore made.
async fn restored(session: &Session, formation: &str) -> Result<String, Failed> {
    let node = format!("{}-1", Postgres::node_prefix(Some(formation)));
    let found = session.incus.instance(&session.platform.incus.project, &node).await?;
    match found.is_some_and(|instance| instance.status == Status::Running) {
        true => Ok(node),
        false => {
            let message = format!("there is no formation `{formation}`: {node} does not run");
            Err(Failed::usage(message, "bascule restore makes one, and says what it is called"))
        }
    }
}
