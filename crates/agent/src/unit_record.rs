//! What units were last started with, remembered between calls, and what is owed to them since.
//!
//! A digest of the inputs alone would miss what came and went: a file that was edited by hand, read by a reload or a boot,
//! and put back by the next run has the digest of the last good start again, while the unit runs with the edit. So
//! whoever puts something at a path first notes that every unit which reads it is owed a start.

use bascule_plan::Unit;
use bascule_plan::agent::STATE_DIR;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::pending::same_or_nested;
use crate::place::put_file;
use crate::resource::Failure;
use crate::system::{Access, Result, System};

/// The inputs of a unit at its last good start or reload. Readable by root only, like the secrets among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) inputs: Inputs,
    pub(crate) reload_inputs: Inputs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inputs {
    paths: Vec<String>,
    /// None: they changed since, and a start or a reload is owed.
    pub(crate) digest: Option<String>,
}

impl Record {
    pub(crate) fn of_now(unit: &Unit, system: &dyn System) -> Result<Self> {
        let inputs = |paths: &[String]| -> Result<Inputs> {
            Ok(Inputs { paths: paths.to_vec(), digest: Some(digest::of_paths(system, paths)?) })
        };
        Ok(Self { inputs: inputs(&unit.inputs)?, reload_inputs: inputs(&unit.reload_inputs)? })
    }

    /// Nothing it reads could ever ask for a restart.
    pub(crate) fn reads_nothing(&self) -> bool {
        self.inputs.paths.is_empty() && self.reload_inputs.paths.is_empty()
    }

    /// The same with a start owed.
    pub(crate) fn start_owed(&self) -> Self {
        Self { inputs: self.inputs.owed(), reload_inputs: self.reload_inputs.owed() }
    }

    /// The same with a reload owed.
    pub(crate) fn reload_owed(&self) -> Self {
        Self { inputs: self.inputs.clone(), reload_inputs: self.reload_inputs.owed() }
    }
}

impl Inputs {
    fn owed(&self) -> Self {
        Self { paths: self.paths.clone(), digest: None }
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

/// Notes that something is owed to a unit. Where nothing was ever noted of it, everything is owed already.
pub(crate) fn owe(
    unit: &str,
    owed: impl Fn(&Record) -> Record,
    system: &dyn System,
) -> std::result::Result<(), Failure> {
    match load(unit, system)? {
        Some(record) => save(unit, &owed(&record), system),
        None => Ok(()),
    }
}

/// Notes a good start.
pub(crate) fn settle(unit: &str, record: &Record, system: &dyn System) -> std::result::Result<(), Failure> {
    if record.reads_nothing() && load(unit, system)?.is_none() { Ok(()) } else { save(unit, record, system) }
}

fn save(unit: &str, record: &Record, system: &dyn System) -> std::result::Result<(), Failure> {
    let json = serde_json::to_vec(record).map_err(|error| Failure::new(format!("cannot write a record: {error}")))?;
    put_file(system, &path(unit), &json, &Access::root(0o600), &[])
}

/// Notes, for every unit that reads what is at a path, that it is owed a start or a reload. To be called before the
/// change: whoever is killed between the two has owed too much, never too little.
pub(crate) fn owe_readers_of(changed: &str, system: &dyn System) -> std::result::Result<(), Failure> {
    let dir = units_dir();
    if system.metadata(&dir)?.is_none() {
        return Ok(());
    }
    for name in system.list(&dir)? {
        let Some(unit) = name.strip_suffix(".json").filter(|unit| !unit.starts_with('.')) else {
            continue;
        };
        let Some(before) = load(unit, system)? else { continue };
        let mut record = before.clone();
        for inputs in [&mut record.inputs, &mut record.reload_inputs] {
            if inputs.paths.iter().any(|path| same_or_nested(path, changed)) {
                *inputs = inputs.owed();
            }
        }
        if record != before {
            save(unit, &record, system)?;
        }
    }
    Ok(())
}

fn path(unit: &str) -> String {
    format!("{}/{unit}.json", units_dir())
}

fn units_dir() -> String {
    format!("{STATE_DIR}/units")
}
