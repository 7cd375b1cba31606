use bascule_engine::{Converged, Run};
use bascule_plan::Plan;
use bascule_spec::Platform;

use crate::{ReleaseError, observe, tell_of_strays};

/// Brings the platform to what is recorded, or what `narrow` leaves of it. Where load balancers are found that send no
/// requests to a replica, that one's turn comes before any that serves is touched.
///
/// # Errors
/// What made the run impossible, and what `narrow` refuses.
pub async fn up<E: From<ReleaseError>>(
    run: &Run,
    platform: &Platform,
    mut narrow: impl FnMut(Plan) -> Result<Plan, E>,
) -> Result<Converged, E> {
    let mut facts = observe(run, platform).await?;
    let mut planned = |facts: &_| narrow(bascule_roles::up(platform, facts).map_err(ReleaseError::from)?);
    let plan = planned(&facts)?;
    tell_of_strays(run, platform, &facts);
    let checked = run.check_for(&plan).await.map_err(ReleaseError::from)?;
    facts.out_of_rotation = bascule_roles::out_of_rotation(checked.differing());
    // As a rule nobody is, and nothing has to be planned twice.
    let in_turn = if facts.out_of_rotation.is_empty() { None } else { Some(planned(&facts)?) };
    let converged = match in_turn.filter(|in_turn| *in_turn != plan) {
        Some(in_turn) => run.converge(&in_turn).await,
        None => run.apply(&plan, &checked).await,
    };
    Ok(converged.map_err(ReleaseError::from)?)
}
