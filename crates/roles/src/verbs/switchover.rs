use bascule_plan::Plan;
use bascule_spec::Platform;

use crate::line::{self, Making};
use crate::{Facts, RoleError, redis};

/// Has another member of Redis be the master: the one that is has it in its line, and the others that run have nothing to do.
///
/// # Errors
/// The platform was never brought up.
pub fn switchover(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    let lines = platform.redis_members().filter(|member| facts.runs(member)).map(|member| {
        let items = redis::hand_over(facts, member)?;
        line::line(platform, facts, member, Making::Nothing, items)
    });
    Ok(line::plan(platform, facts, lines.collect::<Result<_, _>>()?))
}
