//! What looks after the object store.

mod migrate;
mod status;

use std::process::ExitCode;

use bascule_spec::{Platform, StoreCluster};
use clap::Subcommand;

use crate::cli::Common;
use crate::failure::Failed;
use crate::setup::{Access, session_after};

const STATUS_EXAMPLES: &str = "\
Examples:
  bascule store status
  bascule store status --output json | jq -r 'select(.type == \"alert\").message'";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show its nodes, its room, and what would be lost with another node
    ///
    /// Ends with 1 where somebody has to see to something: a node is away (two are urgent), a disk is nearly full, what was
    /// lost is not made anew, a part of an object was found wrong and put right.
    #[command(after_help = STATUS_EXAMPLES)]
    Status,
    /// Move a bucket over from another S3 server
    ///
    /// Objects go from server to server, not through this machine, and are then read back from both and compared. What is
    /// there already is not moved again: after a break, or for what was written meanwhile, run it again. The other server's
    /// key is read from standard input, as a file of AWS credentials.
    #[command(after_help = migrate::EXAMPLES)]
    Migrate(migrate::Arguments),
}

pub(crate) fn run(common: &Common, verb: Verb) -> ExitCode {
    match verb {
        Verb::Status => {
            let look = |platform: &Platform| own(platform).map(|_| Access::Looks);
            session_after(common, "store status", look, async |session| status::status(session).await)
        }
        Verb::Migrate(arguments) => {
            let look = |platform: &Platform| arguments.fit(platform).map(|()| Access::Looks);
            session_after(common, "store migrate", look, async |session| migrate::migrate(session, &arguments).await)
        }
    }
}

/// The platform's own store.
fn own(platform: &Platform) -> Result<&StoreCluster, Failed> {
    let Some(store) = &platform.store else {
        let hint = "add [store] to the platform file; then bascule up";
        return Err(Failed::usage("the platform has no object store", hint));
    };
    store.cluster().ok_or_else(|| {
        let endpoint = store.external().map(|external| external.endpoint.as_str()).unwrap_or_default();
        Failed::usage("the object store is somebody else's", format!("whoever runs {endpoint} looks after it"))
    })
}
