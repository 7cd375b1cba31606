//! How a file gets into its place: written beside, validated, synced, renamed.

use std::collections::BTreeMap;

use crate::resource::{Failure, output_evidence};
use crate::system::{Access, Exec, Result, System};

const VALIDATE_TIMEOUT_MS: u64 = 60_000;

/// Puts a whole file at a path, whatever file or symlink is there now. `validate` is run first, with `{}` standing for the
/// staged file; when it does not exit 0 nothing is left behind.
pub(crate) fn put_file(
    system: &dyn System,
    path: &str,
    content: &[u8],
    access: &Access,
    validate: &[String],
) -> std::result::Result<(), Failure> {
    let staged = stage_file(system, path, content, access, validate)?;
    swap_in(system, &staged, path)?;
    Ok(())
}

/// The first half of [`put_file`]: everything but the rename. Gives the staged file's path.
pub(crate) fn stage_file(
    system: &dyn System,
    path: &str,
    content: &[u8],
    access: &Access,
    validate: &[String],
) -> std::result::Result<String, Failure> {
    make_parents(system, path)?;
    let staged = beside(path, "new");
    system.remove(&staged)?;
    if let Err(error) = system.write_new(&staged, &mut &*content, access, true) {
        // A disk that is full is not helped by half a file; why it failed matters more than whether this works.
        let _ = system.remove(&staged);
        return Err(error.into());
    }
    if let Err(refusal) = run_validator(system, &staged, validate) {
        system.remove(&staged)?;
        return Err(refusal);
    }
    Ok(staged)
}

/// Renames what was staged beside a path into place, for good.
pub(crate) fn swap_in(system: &dyn System, staged: &str, path: &str) -> Result<()> {
    system.rename(staged, path)?;
    system.sync_dir(parent(path))
}

/// Makes the directories above a path, owned by root, mode 0755.
pub(crate) fn make_parents(system: &dyn System, path: &str) -> Result<()> {
    let dir = parent(path);
    if system.metadata(dir)?.is_some() {
        return Ok(());
    }
    make_parents(system, dir)?;
    system.make_dir(dir, 0o755)?;
    system.sync_dir(parent(dir))
}

/// A hidden name in the same directory, always the same one: what a killed run left there is found by the next.
pub(crate) fn beside(path: &str, suffix: &str) -> String {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{dir}/.{name}.bascule-{suffix}")
}

pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((dir, _)) => dir,
    }
}

fn run_validator(system: &dyn System, staged: &str, validate: &[String]) -> std::result::Result<(), Failure> {
    let Some(program) = validate.first() else { return Ok(()) };
    let argv: Vec<String> = validate.iter().map(|word| word.replace("{}", staged)).collect();
    let exec = Exec { argv: &argv, env: &BTreeMap::new(), timeout_ms: VALIDATE_TIMEOUT_MS };
    let finished = system.run(&exec, &mut |_| ())?;
    if finished.success() {
        return Ok(());
    }
    let reason = format!("{program} refused the new file ({program} {}); the old one is in place", finished.ending);
    Err(Failure { reason, evidence: output_evidence(&finished) })
}
