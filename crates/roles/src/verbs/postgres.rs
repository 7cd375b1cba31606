use bascule_plan::{LineItem, Plan};
use bascule_spec::{Instance, Platform};

use crate::line::{self, Making};
use crate::{Facts, RoleError, postgres};

/// Has another node of PostgreSQL be the primary: the one that is has it in its line, and the others have nothing to do.
///
/// # Errors
/// The platform was never brought up.
pub fn postgres_switchover(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    of_nodes(platform, facts, |node| facts.runs(node), postgres::hand_over)
}

/// Brings a node of PostgreSQL back whose state leads nowhere.
///
/// # Errors
/// The platform was never brought up.
pub fn postgres_rejoin(platform: &Platform, facts: &Facts, node: &str) -> Result<Plan, RoleError> {
    of_nodes(platform, facts, |instance| instance.name == node, postgres::rejoin)
}

fn of_nodes(
    platform: &Platform,
    facts: &Facts,
    wanted: impl Fn(&Instance) -> bool,
    items: impl Fn() -> Vec<LineItem>,
) -> Result<Plan, RoleError> {
    let nodes = platform.postgres_nodes().filter(|node| wanted(node));
    let lines = nodes.map(|node| line::line(platform, facts, node, Making::Nothing, items()));
    Ok(line::plan(platform, facts, lines.collect::<Result<_, _>>()?))
}
