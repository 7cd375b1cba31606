use bascule_plan::Plan;
use bascule_spec::Platform;

use crate::line::{self, Making};
use crate::postgres::restore::{self, Target};
use crate::{Facts, RoleError, common};

/// Restores a backup of PostgreSQL, and the log after it, into the first node of a formation of its own. `platform` is the one
/// that has it: see [`beside`](crate::beside). `from` is the formation that was backed up.
///
/// # Errors
/// The platform was never brought up.
pub fn restore(platform: &Platform, facts: &Facts, from: Option<&str>, target: &Target) -> Result<Plan, RoleError> {
    let node = platform.postgres_nodes().next().into_iter();
    let lines = node.map(|node| {
        let mut items = common::steps(platform, facts, node)?;
        items.extend(restore::steps(platform, facts, node, from, target)?);
        line::line(platform, facts, node, Making::Missing, items)
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, RoleError>>()?))
}
