use std::collections::BTreeMap;

use bascule_engine::Converged;
use bascule_plan::Blob;
use bascule_plan::event::Event;
use bascule_roles::{ColourRelease, ColourState, Existing, Facts};
use bascule_spec::{Colour, Role, Topology};

use crate::{Commit, Context, Folder, ReleaseError, history, observe, record};

/// Puts a commit into service. Whatever fails, what served before goes on serving.
pub async fn deploy(context: &Context<'_>, commit: &Commit) -> Result<(), ReleaseError> {
    let artifacts = Folder(context.platform.release.artifacts.clone()).release(context.platform, commit)?;
    let facts = observe(context.run, context.platform).await?;
    require_up(context, &facts)?;
    require_secrets(context, &facts).await?;
    let colour = target(context, &facts, commit, &artifacts);
    let entry = history::begin(context, "deploy", commit, colour.map(Colour::as_str)).await?;
    let release = release_to(context, facts, colour, commit, artifacts);
    let released = release.await;
    history::end(context, entry, &released).await?;
    released
}

/// The colour a commit goes to: the idle one, or the active one when it holds the commit already.
fn target(context: &Context<'_>, facts: &Facts, commit: &Commit, artifacts: &BTreeMap<String, Blob>) -> Option<Colour> {
    if context.platform.load_balancer.topology == Topology::MultiInstance {
        return None;
    }
    match facts.releases.active {
        Some(active) if is_ready(facts, Some(active), commit, artifacts) => Some(active),
        active => Some(active.map_or(Colour::Blue, Colour::other)),
    }
}

pub(crate) async fn release_to(
    context: &Context<'_>,
    facts: Facts,
    colour: Option<Colour>,
    commit: &Commit,
    artifacts: BTreeMap<String, Blob>,
) -> Result<(), ReleaseError> {
    match colour {
        None => roll(context, facts, commit, artifacts).await,
        Some(colour) if facts.releases.active == Some(colour) => {
            context.run.note(format!("{commit} is active already, on {colour}"));
            let plan = bascule_roles::switch(context.platform, &facts)?;
            healthy(context.run.converge(&plan).await?, commit, "it goes on serving as it is")
        }
        Some(colour) => {
            let facts = prepare(context, facts, colour, commit, artifacts).await?;
            switch(context, facts, colour, commit).await
        }
    }
}

/// Makes the idle colour's instances anew with the commit, and probes every replica in place and across the network.
async fn prepare(
    context: &Context<'_>,
    mut facts: Facts,
    colour: Colour,
    commit: &Commit,
    artifacts: BTreeMap<String, Blob>,
) -> Result<Facts, ReleaseError> {
    let run = context.run;
    // A run that was killed in the middle of a switch may have left load balancers that still send requests to the colour
    // that is about to be made anew.
    let caught_up = run.converge(&bascule_roles::catch_up(context.platform, &facts)?).await?;
    healthy(
        caught_up,
        commit,
        "not every load balancer can be brought to what is active, and nothing else was touched",
    )?;
    if facts.releases.colours.contains_key(&Some(colour)) {
        run.phase("drain", &format!("letting {colour} finish the sessions it still holds"));
        run.converge(&bascule_roles::drain(context.platform, &facts, colour)?).await?;
    }
    run.phase("prepare", &format!("putting {commit} on {colour}, out of traffic"));
    let mut release = deploying(commit, artifacts, None);
    record(context, &mut facts, Some(colour), &release).await?;
    let plan = bascule_roles::prepare(context.platform, &facts, colour, commit.as_str(), &release.artifacts)?;
    let prepared = run.converge(&plan).await;
    release.state = if went_well(&prepared) { ColourState::Ready } else { ColourState::Failed };
    record(context, &mut facts, Some(colour), &release).await?;
    healthy(prepared?, commit, &serving(&facts))?;
    Ok(facts)
}

/// Moves traffic to a colour that is ready: the intent first, then the load balancers, then a look through the front
/// door. When that look fails, traffic goes back.
pub(crate) async fn switch(
    context: &Context<'_>,
    mut facts: Facts,
    to: Colour,
    commit: &Commit,
) -> Result<(), ReleaseError> {
    let from = facts.releases.active;
    context.run.phase("switch", &format!("moving traffic to {to}"));
    let switched = move_traffic(context, &mut facts, Some(to)).await;
    if went_well(&switched) {
        return Ok(());
    }
    context.run.phase("switch", &format!("moving traffic back to {}", from.map_or("nothing", Colour::as_str)));
    let back = move_traffic(context, &mut facts, from).await;
    if let Some(release) = facts.releases.colours.get(&Some(to)).cloned() {
        record(context, &mut facts, Some(to), &ColourRelease { state: ColourState::Failed, ..release }).await?;
    }
    switched?;
    back?;
    Err(ReleaseError::SwitchFailed { commit: commit.clone(), serving: serving(&facts) })
}

async fn move_traffic(context: &Context<'_>, facts: &mut Facts, to: Option<Colour>) -> Result<Converged, ReleaseError> {
    let from = facts.releases.active;
    facts.releases.active = to;
    facts.releases.generation += 1;
    record::set_active(context.run.incus(), &context.platform.incus.project, &facts.releases).await?;
    let commit = facts.releases.colours.get(&to).map_or_else(String::new, |release| release.commit.clone());
    context.run.emit(Event::Switch {
        from: from.map(|colour| colour.to_string()),
        to: to.map_or("none", Colour::as_str).to_owned(),
        generation: facts.releases.generation,
        commit,
    });
    let plan = bascule_roles::switch(context.platform, facts)?;
    Ok(context.run.converge(&plan).await?)
}

/// Without colours: one replica after the other, each out of rotation while it changes. When one does not become
/// healthy, those that changed go back to what they had.
async fn roll(
    context: &Context<'_>,
    mut facts: Facts,
    commit: &Commit,
    artifacts: BTreeMap<String, Blob>,
) -> Result<(), ReleaseError> {
    let previous = facts.releases.colours.get(&None).and_then(ColourRelease::last_ready).cloned();
    context.run.phase("roll", &format!("rolling {commit} through the replicas"));
    let mut release = deploying(commit, artifacts, previous.clone().map(Box::new));
    record(context, &mut facts, None, &release).await?;
    look_for_rotation(context, &mut facts).await?;
    let plan = bascule_roles::roll(context.platform, &facts, commit.as_str(), &release.artifacts)?;
    let rolled = context.run.converge(&plan).await;
    release.fallback = None;
    if went_well(&rolled) {
        release.state = ColourState::Ready;
        return record(context, &mut facts, None, &release).await;
    }
    let Some(previous) = previous else {
        release.state = ColourState::Failed;
        record(context, &mut facts, None, &release).await?;
        return healthy(rolled?, commit, "nothing served before");
    };
    context.run.phase("roll", "going back to what served before");
    // The intent first: what is killed from here on is finished by the next `up`.
    record(context, &mut facts, None, &previous).await?;
    look_for_rotation(context, &mut facts).await?;
    let plan = bascule_roles::roll(context.platform, &facts, &previous.commit, &previous.artifacts)?;
    context.run.converge(&plan).await?;
    healthy(rolled?, commit, &serving(&facts))
}

/// Asks the load balancers which replicas are out of rotation: while one is, none that serves is touched.
async fn look_for_rotation(context: &Context<'_>, facts: &mut Facts) -> Result<(), ReleaseError> {
    let checked = context.run.check(&bascule_roles::rotation(context.platform, facts)?).await?;
    facts.out_of_rotation = bascule_roles::out_of_rotation(checked.differing());
    Ok(())
}

fn deploying(
    commit: &Commit,
    artifacts: BTreeMap<String, Blob>,
    fallback: Option<Box<ColourRelease>>,
) -> ColourRelease {
    ColourRelease { commit: commit.as_str().to_owned(), state: ColourState::Deploying, artifacts, fallback }
}

async fn record(
    context: &Context<'_>,
    facts: &mut Facts,
    colour: Option<Colour>,
    release: &ColourRelease,
) -> Result<(), ReleaseError> {
    facts.releases.colours.insert(colour, release.clone());
    record::set_release(context.run.incus(), &context.platform.incus.project, colour, release).await
}

fn healthy(converged: Converged, commit: &Commit, serving: &str) -> Result<(), ReleaseError> {
    if converged == Converged::Failed {
        return Err(ReleaseError::Unhealthy { commit: commit.clone(), serving: serving.to_owned() });
    }
    Ok(())
}

fn went_well<E>(converged: &Result<Converged, E>) -> bool {
    matches!(converged, Ok(Converged::Unchanged | Converged::Applied))
}

/// The colour holds this very release: the commit, and the same bytes for it.
fn is_ready(facts: &Facts, colour: Option<Colour>, commit: &Commit, artifacts: &BTreeMap<String, Blob>) -> bool {
    facts.releases.colours.get(&colour).is_some_and(|release| {
        release.state == ColourState::Ready && release.commit == commit.as_str() && release.artifacts == *artifacts
    })
}

/// What has the traffic, as the end of a sentence.
fn serving(facts: &Facts) -> String {
    let active = facts.releases.active;
    match facts.releases.colours.get(&active) {
        Some(release) => {
            let who = active.map_or("the replicas go on".to_owned(), |colour| format!("{colour} goes on"));
            format!("{who} serving {}", &release.commit[..12])
        }
        None => "nothing served before".to_owned(),
    }
}

/// A release needs its load balancers (and, without colours, its replicas): those are `up`'s to make. Of load balancers
/// that share an address, one is enough.
pub(crate) fn require_up(context: &Context<'_>, facts: &Facts) -> Result<(), ReleaseError> {
    let reached = facts.load_balancers(context.platform);
    let needed = context.platform.instances.iter().filter(|instance| match &instance.role {
        Role::LoadBalancer => reached.contains(instance),
        Role::Component { colour, .. } => colour.is_none(),
        Role::Plain { .. }
        | Role::Redis
        | Role::Postgres
        | Role::PostgresMonitor
        | Role::Pooler
        | Role::Store
        | Role::StoreWitness
        | Role::Edge
        | Role::Ops => false,
    });
    for instance in needed {
        if facts.instances.get(&instance.name) != Some(&Existing::Running) {
            return Err(ReleaseError::NotUp { missing: instance.name.clone() });
        }
    }
    for absent in context.platform.load_balancers().filter(|instance| !reached.contains(instance)) {
        let name = &absent.name;
        context.run.note(format!("{name} does not run and is left behind: `bascule up` brings it back"));
    }
    Ok(())
}

/// A release brings replicas the secrets of today, and the services those by which they know them are `up`'s to bring.
pub(crate) async fn require_secrets(context: &Context<'_>, facts: &Facts) -> Result<(), ReleaseError> {
    let plan = bascule_roles::service_secrets(context.platform, facts)?;
    if plan.lines.is_empty() {
        return Ok(());
    }
    let checked = context.run.check(&plan).await?;
    match checked.differing_on(&plan).next() {
        Some((instance, step)) => {
            Err(ReleaseError::SecretNotBrought { instance: instance.to_owned(), step: step.to_owned() })
        }
        None => Ok(()),
    }
}
