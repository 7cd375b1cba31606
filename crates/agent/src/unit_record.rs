//! What a unit was last started with, remembered between calls.

use bascule_plan::Unit;
use bascule_plan::agent::STATE_DIR;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::place::put_file;
use crate::resource::Failure;
use crate::system::{Access, Result, System};

/// Digests of a unit's inputs at its last good start or reload. Readable by root only, like the secrets among the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) inputs: String,
    pub(crate) reload_inputs: String,
}

impl Record {
    pub(crate) fn of_now(unit: &Unit, system: &dyn System) -> Result<Self> {
        Ok(Self {
            inputs: digest::of_paths(system, &unit.inputs)?,
            reload_inputs: digest::of_paths(system, &unit.reload_inputs)?,
        })
    }
}

/// `None` when the unit was never started by an agent, or the record cannot be understood: then it is started anew.
pub(crate) fn load(unit: &str, system: &dyn System) -> Result<Option<Record>> {
    let path = path(unit);
    if system.metadata(&path)?.is_none() {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&system.read(&path)?).ok())
}

pub(crate) fn save(unit: &str, record: &Record, system: &dyn System) -> std::result::Result<(), Failure> {
    let json = serde_json::to_vec(record).map_err(|error| Failure::new(format!("cannot write what {unit} was started with: {error}")))?;
    put_file(system, &path(unit), &json, &Access::root(0o600), &[])
}

fn path(unit: &str) -> String {
    format!("{STATE_DIR}/units/{unit}.json")
}
