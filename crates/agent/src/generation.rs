//! Which holder of the platform's lock may change this machine: the one with the newest generation that it has heard of.
//!
//! A tool that was stopped for longer than its lease may wake up, and an agent that it called may still be at work. The
//! next holder's agent leaves a file named after its generation before it waits for its turn; an older agent sees it
//! between two steps, and leaves the rest alone. A file for each generation, since two agents may write at one time.

use bascule_plan::agent::GENERATION_DIR;

use crate::place::make_parents;
use crate::resource::Failure;
use crate::system::{Access, System};

/// Lets every agent of an older generation on this machine know that it was overtaken.
pub(crate) fn announce(system: &dyn System, generation: Option<u64>) -> Result<(), Failure> {
    let Some(generation) = generation else { return Ok(()) };
    refuse_if_overtaken(system, Some(generation))?;
    let path = path(generation);
    if system.metadata(&path)?.is_some() {
        return Ok(());
    }
    make_parents(system, &path)?;
    let written = system.write_new(&path, &mut std::io::empty(), &Access::root(0o600), false);
    // Another agent of this generation may have written it first.
    if system.metadata(&path)?.is_none() {
        written?;
    }
    for older in heard_of(system)?.into_iter().filter(|older| *older < generation) {
        system.remove(&self::path(older))?;
    }
    Ok(())
}

pub(crate) fn refuse_if_overtaken(system: &dyn System, generation: Option<u64>) -> Result<(), Failure> {
    let Some(ours) = generation else { return Ok(()) };
    match heard_of(system)?.into_iter().max() {
        Some(newest) if newest > ours => Err(Failure::new(format!(
            "this run has lost the lock: the instance works for generation {newest} already, and this is {ours}"
        ))),
        _ => Ok(()),
    }
}

fn heard_of(system: &dyn System) -> Result<Vec<u64>, Failure> {
    if system.metadata(GENERATION_DIR)?.is_none() {
        return Ok(Vec::new());
    }
    Ok(system.list(GENERATION_DIR)?.iter().filter_map(|name| name.parse().ok()).collect())
}

fn path(generation: u64) -> String {
    format!("{GENERATION_DIR}/{generation}")
}
