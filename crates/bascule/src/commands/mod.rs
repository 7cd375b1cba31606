//! One thin file a verb: arguments, then one call.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod down;
pub(crate) mod exec;
pub(crate) mod history;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod up;

use bascule_plan::Plan;

use crate::cli::Only;
use crate::failure::Failed;
use crate::setup::Session;

/// The plan that `plan` shows and `up` applies.
async fn planned(session: &Session, only: &Only) -> Result<Plan, Failed> {
    let facts = bascule_release::observe(&*session.incus, &session.platform).await?;
    let plan = bascule_roles::up(&session.platform, &facts).map_err(bascule_release::ReleaseError::from)?;
    if only.only.is_empty() {
        return Ok(plan);
    }
    plan.narrow(&only.only)
        .map_err(|error| Failed::usage(error.to_string(), "`bascule plan --verbose` shows every name"))
}

/// An instance as typed: it must be of the platform, and is looked for in Incus by the caller.
fn known_instance<'a>(session: &'a Session, name: &str) -> Result<&'a bascule_spec::Instance, Failed> {
    let instances = &session.platform.instances;
    instances.iter().find(|instance| instance.name == name).ok_or_else(|| {
        let names: Vec<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
        Failed::usage(format!("there is no instance `{name}`"), format!("the platform has {}", names.join(", ")))
    })
}
