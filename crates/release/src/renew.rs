use bascule_engine::{Converged, Run};
use bascule_plan::event::Failure;
use bascule_spec::Platform;

use crate::{ReleaseError, observe};

/// Renews the certificates that are due on the instances that run, and has those loaded that read them; a pool's replicas
/// one after the other. Changes nothing else.
///
/// # Errors
/// What made the run impossible.
pub async fn renew(run: &Run, platform: &Platform) -> Result<Converged, ReleaseError> {
    let mut facts = observe(run, platform).await?;
    let asked = bascule_roles::due_or_out_of_rotation(platform, &facts)?;
    let checked = run.check(&asked).await?;
    let mut failed = false;
    let mut fail = |failure: Failure| {
        failed = true;
        run.failure(failure);
    };
    checked.failures().cloned().for_each(&mut fail);
    facts.out_of_rotation = bascule_roles::out_of_rotation(checked.differing());
    let due = bascule_roles::due(checked.differing_on(&asked));
    let (plan, waiting) = bascule_roles::renewal(platform, &facts, &due)?;
    for instance in waiting {
        fail(Failure {
            instance: Some(instance),
            message: "its certificate is due, but another of its pool gets no requests".to_owned(),
            hint: Some("bascule status tells what is wrong with that one; the next renewal is tomorrow".to_owned()),
            ..Failure::default()
        });
    }
    let converged = run.converge(&plan).await?;
    Ok(if failed { Converged::Failed } else { converged })
}
