//! What the operator gives: the platform file and its secrets.

use bascule_plan::event::{Failure, Finding};

use super::{Machine, missing, ok};

pub(super) fn platform(machine: &Machine) -> Finding {
    const CHECK: &str = "platform file";
    const WHY: &str = "every verb that works on a platform reads it first";
    match &machine.platform {
        Ok(platform) => {
            let instances = platform.instances.len();
            ok(CHECK, format!("{}/{} is sound: {instances} instances", platform.name, platform.environment))
        }
        Err((_, mistakes @ 1..)) => {
            let count = if *mistakes == 1 { "a mistake".to_owned() } else { format!("{mistakes} mistakes") };
            missing(CHECK, format!("it has {count}"), WHY, "bascule check".to_owned())
        }
        Err((failure, _)) => missing(CHECK, failure.message.clone(), WHY, remedy(failure)),
    }
}

/// `None` where there is no platform that could have any.
pub(super) fn secrets(machine: &Machine) -> Option<Finding> {
    const CHECK: &str = "secrets";
    const WHY: &str = "all verbs but `check` and this one want them";
    machine.platform.as_ref().ok()?;
    Some(match &machine.secrets_wrong {
        None => ok(CHECK, "your age key opens them, and none is missing"),
        Some(failure) => missing(CHECK, failure.message.clone(), WHY, remedy(failure)),
    })
}

fn remedy(failure: &Failure) -> String {
    failure.hint.clone().unwrap_or_else(|| "bascule check".to_owned())
}
