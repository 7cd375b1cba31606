//! One thin file a verb: arguments, then one call.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod drill;
pub(crate) mod edge;
pub(crate) mod exec;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod pg;
pub(crate) mod plan;
pub(crate) mod redis;
pub(crate) mod renew;
pub(crate) mod restore;
pub(crate) mod rollback;
pub(crate) mod schema;
pub(crate) mod secrets;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod unlock;
pub(crate) mod up;

use bascule_incus::Status;
use bascule_plan::Plan;
use bascule_plan::event::LockStatus;
use jiff::Timestamp;

use crate::cli::Only;
use crate::failure::Failed;
use crate::process;
use crate::setup::Session;

/// The plan that `plan` shows.
async fn planned(session: &Session, only: &Only) -> Result<Plan, Failed> {
    let facts = bascule_release::observe(&session.run, &session.platform).await?;
    let plan = bascule_roles::up(&session.platform, &facts).map_err(bascule_release::ReleaseError::from)?;
    bascule_release::tell_of_strays(&session.run, &session.platform, &facts);
    narrowed(plan, only)
}

/// What of a plan was asked for.
fn narrowed(plan: Plan, only: &Only) -> Result<Plan, Failed> {
    if only.only.is_empty() {
        return Ok(plan);
    }
    plan.narrow(&only.only)
        .map_err(|error| Failed::usage(error.to_string(), "`bascule plan --verbose` shows every name"))
}

/// Who holds the environment's lock, if anybody does.
async fn lock_status(session: &Session) -> Result<Option<LockStatus>, Failed> {
    // Where there is no environment there is no lock.
    if session.incus.project(&session.platform.incus.project).await?.is_none() {
        return Ok(None);
    }
    let time = |unix_ms| Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_string();
    Ok(session.run.lock_state().await?.holder.map(|holder| LockStatus {
        generation: holder.generation,
        ended: process::has_ended(&holder.process),
        since: time(holder.since_ms),
        until: time(holder.until_ms),
        who: holder.who,
        doing: holder.doing,
    }))
}

/// Fails unless an instance as typed is of the platform, and there to be asked.
async fn running_instance(session: &Session, name: &str) -> Result<(), Failed> {
    let instances = &session.platform.instances;
    // The instance of a drill is none of the platform's.
    let is_drill = session.platform.backup().is_some() && name == bascule_roles::DRILL;
    if !is_drill && instances.iter().all(|instance| instance.name != name) {
        let names: Vec<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
        let hint = format!("the platform has {}", names.join(", "));
        return Err(Failed::usage(format!("there is no instance `{name}`"), hint));
    }
    let found = session.incus.instance(&session.platform.incus.project, name).await?;
    let state = match found.map(|instance| instance.status) {
        None => "not made yet",
        Some(Status::Stopped) => "stopped",
        Some(Status::Frozen) => "frozen",
        Some(_) => return Ok(()),
    };
    Err(Failed::usage(format!("the instance `{name}` is {state}"), "bascule up"))
}
