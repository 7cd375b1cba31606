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
