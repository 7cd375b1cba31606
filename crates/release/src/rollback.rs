use bascule_engine::Converged;
use bascule_roles::{ColourState, Facts};
use bascule_spec::{Colour, Topology};

use crate::deploy::{release_to, require_secrets, require_up, switch};
use crate::{Commit, Context, Folder, Outcome, ReleaseError, history, observe};

/// Goes back: to the other colour, which still holds what it served, or (without colours) to the commit before.
pub async fn rollback(context: &Context<'_>) -> Result<(), ReleaseError> {
    let facts = observe(context.run, context.platform).await?;
    require_up(context, &facts)?;
    if context.platform.load_balancer.topology == Topology::MultiInstance {
        require_secrets(context, &facts).await?;
        let commit = previous_commit(context).await?;
        let artifacts = Folder(context.platform.release.artifacts.clone()).release(context.platform, &commit)?;
        let entry = history::begin(context, "rollback", &commit, None).await?;
        let released = release_to(context, facts, None, &commit, artifacts).await;
        history::end(context, entry, &released).await?;
        return released;
    }
    let nothing = |reason: String| ReleaseError::NothingToRollBackTo { reason };
    let active = facts.releases.active.ok_or_else(|| nothing("no release has been deployed yet".to_owned()))?;
    let to = active.other();
    let release = match facts.releases.colours.get(&Some(to)) {
        Some(release) if release.state == ColourState::Ready => release,
        Some(release) => {
            let why = if release.state == ColourState::Failed { "failed" } else { "was interrupted" };
            return Err(nothing(format!("{to} holds a deploy of {} that {why}", &release.commit[..12])));
        }
        None => return Err(nothing(format!("{to} has never held a release"))),
    };
    let commit: Commit = release.commit.parse().map_err(|_| nothing(format!("{to} holds no commit")))?;
    let entry = history::begin(context, "rollback", &commit, Some(to.as_str())).await?;
    let switched = back(context, facts, to, &commit).await;
    history::end(context, entry, &switched).await?;
    switched
}

/// The colour is looked at before traffic goes to it: a replica may have died since it was active.
async fn back(context: &Context<'_>, facts: Facts, to: Colour, commit: &Commit) -> Result<(), ReleaseError> {
    context.run.phase("probe", &format!("looking whether {to} still answers with {commit}"));
    let probe = bascule_roles::probe(context.platform, &facts, to)?;
    if context.run.converge(&probe).await? == Converged::Failed {
        let serving = format!("{} goes on serving", to.other());
        return Err(ReleaseError::Unhealthy { commit: commit.clone(), serving });
    }
    switch(context, facts, to, commit).await
}

async fn previous_commit(context: &Context<'_>) -> Result<Commit, ReleaseError> {
    let entries = history(context.run.incus(), &context.platform.incus.project).await?;
    let mut succeeded = entries.iter().rev().filter(|entry| entry.outcome == Outcome::Succeeded);
    let current = succeeded.next().map(|entry| entry.commit.clone());
    let previous = succeeded.find(|entry| Some(&entry.commit) != current.as_ref());
    previous.and_then(|entry| entry.commit.parse().ok()).ok_or_else(|| ReleaseError::NothingToRollBackTo {
        reason: "no other commit has been deployed before".to_owned(),
    })
}
