use bascule_plan::Plan;
use bascule_spec::Platform;

use crate::postgres::drill;
use crate::{Facts, RoleError, line};

/// The instance on which a backup is restored and looked at: made, whatever there is, and with a way to the repository.
///
/// # Errors
/// The platform has no backups.
pub fn drill(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    Ok(line::plan(platform, facts, vec![drill::line(platform, facts)?]))
}
