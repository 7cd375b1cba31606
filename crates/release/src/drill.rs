//! Drills: the instance on which one is done, and what is recorded of the last.

use bascule_engine::{Converged, Run};
use bascule_incus::Incus;
use bascule_roles::EPHEMERAL;
use bascule_spec::Platform;
use serde::{Deserialize, Serialize};

use crate::{ReleaseError, observe, record};

const LAST: &str = "user.bascule.drill.last";
const PASSED: &str = "user.bascule.drill.passed";

/// How a drill ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRecord {
    pub passed: bool,
    /// Milliseconds since 1970.
    pub ended_ms: i64,
    /// What was restored.
    pub backup: String,
}

/// What is recorded of drills.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drills {
    pub last: Option<DrillRecord>,
    /// When the last one ended that passed, in milliseconds since 1970.
    pub passed_ms: Option<i64>,
}

/// Makes the instance of a drill, and its way to the repository; what an earlier one left goes first.
///
/// # Errors
/// What made it impossible.
pub async fn drill(run: &Run, platform: &Platform) -> Result<Converged, ReleaseError> {
    end_drill(run, platform).await?;
    let facts = observe(run, platform).await?;
    Ok(run.converge(&bascule_roles::drill(platform, &facts)?).await?)
}

/// Removes the instance of a drill, and all that is on it.
///
/// # Errors
/// It cannot be removed, or is none of a drill.
pub async fn end_drill(run: &Run, platform: &Platform) -> Result<(), ReleaseError> {
    let facts = observe(run, platform).await?;
    let plan = bascule_roles::drill(platform, &facts)?;
    for line in &plan.lines {
        run.discard(&platform.incus.pool, line, EPHEMERAL).await?;
    }
    Ok(())
}

/// Records how a drill ended, and gives all that is recorded then.
///
/// # Errors
/// Incus refuses.
pub async fn record_drill(incus: &dyn Incus, project: &str, drill: &DrillRecord) -> Result<Drills, ReleaseError> {
    let value = serde_json::to_string(drill).map_err(|source| ReleaseError::Record {
        key: LAST.to_owned(),
        value: format!("{drill:?}"),
        source: Some(source),
    })?;
    let passed = drill.passed.then(|| (PASSED.to_owned(), Some(drill.ended_ms.to_string())));
    let changes = [(LAST.to_owned(), Some(value))].into_iter().chain(passed);
    record::write(incus, project, changes.collect()).await?;
    drills(incus, project).await
}

/// What is recorded of drills.
///
/// # Errors
/// Incus does not answer, or what is there was not written by this tool.
pub async fn drills(incus: &dyn Incus, project: &str) -> Result<Drills, ReleaseError> {
    let keys = record::keys(incus, project).await?;
    let unreadable =
        |key: &str, value: &str, source| ReleaseError::Record { key: key.to_owned(), value: value.to_owned(), source };
    let last =
        keys.get(LAST).map(|value| serde_json::from_str(value).map_err(|source| unreadable(LAST, value, Some(source))));
    let passed_ms = keys.get(PASSED).map(|value| value.parse().map_err(|_| unreadable(PASSED, value, None)));
    Ok(Drills { last: last.transpose()?, passed_ms: passed_ms.transpose()? })
}
