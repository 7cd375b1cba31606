use bascule_engine::{Converged, Run};
use bascule_spec::Platform;

use crate::{ReleaseError, observe};

/// Has another member of Redis be the master, without losing a write that was answered. `Unchanged` where none says that it
/// is the master.
///
/// # Errors
/// What made the run impossible.
pub async fn switchover(run: &Run, platform: &Platform) -> Result<Converged, ReleaseError> {
    let facts = observe(run, platform).await?;
    Ok(run.converge(&bascule_roles::switchover(platform, &facts)?).await?)
}

/// Has another node of PostgreSQL be the primary, without an error to a client. `Unchanged` where none says that it is.
///
/// # Errors
/// What made the run impossible.
pub async fn postgres_switchover(run: &Run, platform: &Platform) -> Result<Converged, ReleaseError> {
    let facts = observe(run, platform).await?;
    Ok(run.converge(&bascule_roles::postgres_switchover(platform, &facts)?).await?)
}

/// Brings a node of PostgreSQL back whose state leads nowhere. `Unchanged` where it is well.
///
/// # Errors
/// What made the run impossible.
pub async fn postgres_rejoin(run: &Run, platform: &Platform, node: &str) -> Result<Converged, ReleaseError> {
    let facts = observe(run, platform).await?;
    Ok(run.converge(&bascule_roles::postgres_rejoin(platform, &facts, node)?).await?)
}
