use std::collections::BTreeMap;
use std::process::ExitCode;

use bascule_engine::Glance;
use bascule_plan::event::{Event, InstanceStatus};
use bascule_release::ReleaseError;
use bascule_roles::{ColourState, Existing, Facts};
use bascule_spec::{Instance, Role};

use super::lock_status;
use crate::cli::Common;
use crate::failure::Exit;
use crate::setup::{Access, session};

pub(crate) fn run(common: &Common) -> ExitCode {
    session(common, "status", Access::Looks, async |session| {
        let platform = &session.platform;
        let facts = bascule_release::observe(&*session.incus, platform).await?;
        let plan = bascule_roles::health(platform, &facts).map_err(ReleaseError::from)?;
        let glances = session.run.glance(&plan).await;
        for (colour, release) in &facts.releases.colours {
            session.run.emit(Event::Colour {
                colour: colour.map(|colour| colour.to_string()),
                commit: release.commit.clone(),
                state: state_name(release.state).to_owned(),
                active: *colour == facts.releases.active,
                generation: facts.releases.generation,
            });
        }
        if let Some(lock) = lock_status(session).await? {
            session.run.emit(Event::Lock(lock));
        }
        if facts.releases.colours.is_empty() {
            session.run.note("nothing has been released here yet: bascule deploy COMMIT");
        }
        let mut all_healthy = true;
        for instance in &platform.instances {
            let status = glance_at(instance, &facts, &glances);
            all_healthy &= status.healthy || !status.active;
            session.run.emit(Event::Instance(status));
        }
        Ok(if all_healthy { Exit::Done } else { Exit::Failed })
    })
}

fn glance_at(instance: &Instance, facts: &Facts, glances: &BTreeMap<String, Glance>) -> InstanceStatus {
    let state = match facts.instances.get(&instance.name) {
        Some(Existing::Running) => "running",
        Some(Existing::Stopped) => "stopped",
        Some(Existing::Frozen) => "frozen",
        None => "absent",
    };
    let (colour, is_component) = match &instance.role {
        Role::Component { colour, .. } => (*colour, true),
        Role::LoadBalancer | Role::Plain { .. } => (None, false),
    };
    let active = !is_component || colour == facts.releases.active;
    let release = facts.releases.colours.get(&colour).filter(|_| is_component);
    let glance = glances.get(&instance.name);
    let version = match release {
        Some(release) => Some(release.commit.clone()),
        None => glance.and_then(|glance| glance.version.clone()),
    };
    let problem = match (state, glance) {
        ("running", Some(glance)) => match release.map(|release| release.state) {
            Some(ColourState::Failed) => Some("its deploy failed; the next one makes it anew".to_owned()),
            Some(ColourState::Deploying) => Some("its deploy has not ended".to_owned()),
            Some(ColourState::Ready) | None => glance.problem.clone(),
        },
        (state, _) => Some(format!("the instance is {state}; `bascule up` brings it back")),
    };
    InstanceStatus {
        name: instance.name.clone(),
        roles: vec![instance.role.name().to_owned()],
        address: facts.addresses.get(&instance.name).map(ToString::to_string).unwrap_or_default(),
        state: state.to_owned(),
        colour: colour.map(|colour| colour.to_string()),
        active,
        version,
        healthy: problem.is_none(),
        problem,
    }
}

fn state_name(state: ColourState) -> &'static str {
    match state {
        ColourState::Deploying => "deploying",
        ColourState::Ready => "ready",
        ColourState::Failed => "failed",
    }
}
