use std::io::IsTerminal as _;
use std::time::Duration;

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
    /// Arguments of psql
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs psql on the primary.
pub(super) async fn psql(session: &Session, arguments: &Arguments) -> Result<Exit, Failed> {
    let databases = session.platform.postgres.iter().flat_map(|postgres| &postgres.databases);
    let mut names = databases.map(|database| database.name.as_str());
    let database = match (&arguments.database, names.next(), names.next()) {
        (Some(name), ..) => name,
        (None, Some(only), None) => only,
        (None, ..) => "postgres",
    };
    let Some(primary) = status::primary(session).await else {
        return Err(Failed::usage("no node of PostgreSQL may be written to", "bascule pg status"));
    };
    // Its own history and settings would be on the instance: `-X`, and no home.
    let command = ["runuser", "-u", "postgres", "--", "env", "HOME=/tmp", "psql", "-X", "--set", "HISTFILE=/dev/null"];
    let command: Vec<String> = (command.into_iter().map(str::to_owned))
        .chain(arguments.arguments.iter().cloned())
        .chain(["--dbname".to_owned(), database.to_owned()])
        .collect();
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let exited = if is_terminal && arguments.arguments.is_empty() {
        terminal::run(&*session.incus, &session.platform.incus.project, &primary, &command).await?
    } else {
        piped(session, &primary, &command, Duration::from_secs(24 * 3600), Pieces::AsTheyCome).await?
    };
    Ok(Exit::Code(u8::try_from(exited.code).unwrap_or(1)))
}
