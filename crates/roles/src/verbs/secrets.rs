use bascule_plan::Plan;
use bascule_spec::Platform;

use super::only_steps;
use super::renew::on_what_runs;
use crate::{Facts, RoleError};

/// Of `up`, on the instances that run: the secrets by which services know those who come to them. While one differs, a
/// replica that comes with it is turned away. Meant to be checked, never applied.
///
/// Whether a service took in what it was given is not asked: one that is away must not hold a release back.
///
/// # Errors
/// As [`super::up`].
pub fn service_secrets(platform: &Platform, facts: &Facts) -> Result<Plan, RoleError> {
    const OF_USERS: [&str; 4] =
        ["redis/users/", "store/users/key-", "postgres/install/credential-user-", "pooler/install/credential-user-"];
    const OF_DATABASES: [&str; 2] = ["postgres/install/credential-migrate-", "pooler/install/credential-migrate-"];
    let users: Vec<&str> = platform.components.iter().map(|component| component.name.as_str()).collect();
    let is_of_a_user = |id: &str| {
        let user = OF_USERS.iter().find_map(|prefix| id.strip_prefix(prefix));
        user.is_some_and(|user| users.contains(&user))
            || OF_DATABASES.iter().any(|prefix| id.starts_with(prefix))
            || id == "edge/keys/signing"
    };
    Ok(only_steps(on_what_runs(platform, facts)?.keeping(|_, step| is_of_a_user(&step.id))))
}
