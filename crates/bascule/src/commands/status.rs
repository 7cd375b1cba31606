use std::collections::BTreeMap;
use std::process::ExitCode;

use bascule_engine::Glance;
use bascule_plan::event::{Event, InstanceStatus};
use bascule_release::ReleaseError;
use bascule_roles::{ColourRelease, ColourState, Existing, Facts, OWN_FRONT_CERTIFICATE};
use bascule_spec::{FrontCertificate, Instance, Platform, Role};
use jiff::Timestamp;

use super::lock_status;
use crate::cli::Common;
use crate::expiry::{days_if_soon, days_until, moment};
use crate::failure::Exit;
use crate::setup::{Access, session};

pub(crate) const EXAMPLES: &str = "\
Examples:
  bascule status
  bascule status --output json | jq -r 'select(.type == \"instance\" and .healthy == false).name'";

pub(crate) fn run(common: &Common) -> ExitCode {
    session(common, "status", Access::Looks, async |session| {
        let platform = &session.platform;
        let facts = bascule_release::observe(&session.run, platform).await?;
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
        bascule_release::tell_of_strays(&session.run, platform, &facts);
        let now_ms = session.run.unix_ms();
        let ends = front_certificate_ends(platform, &glances);
        session.run.emit(front_door(platform, &facts, ends, now_ms));
        let mut all_healthy = true;
        if let Some(days_left) = ends.and_then(|ends| days_if_soon(ends, now_ms)) {
            session
                .run
                .note(format!("the front door's certificate ends {days_left} days from now: it has to be renewed"));
            all_healthy = false;
        }
        for instance in &platform.instances {
            let status = glance_at(instance, &facts, &glances, now_ms);
            all_healthy &= status.healthy || !status.active;
            session.run.emit(Event::Instance(status));
        }
        Ok(if all_healthy { Exit::Done } else { Exit::Failed })
    })
}

/// When the certificate that clients see ends; `None` where they speak plain HTTP, or where none could be asked for it.
fn front_certificate_ends(platform: &Platform, glances: &BTreeMap<String, Glance>) -> Option<Timestamp> {
    let own = |glance: &Glance| glance.certificates.get(OWN_FRONT_CERTIFICATE).copied();
    let ends_s = match &platform.load_balancer.tls.as_ref()?.certificate {
        FrontCertificate::Given(given) => given.expires_s,
        // Each load balancer has one of its own: the first to end counts.
        FrontCertificate::Own { .. } => glances.values().filter_map(own).min()?,
    };
    moment(ends_s)
}

fn front_door(platform: &Platform, facts: &Facts, ends: Option<Timestamp>, now_ms: i64) -> Event {
    let first = platform.load_balancers().next().and_then(|first| facts.addresses.get(&first.name).copied());
    let address = platform.load_balancer.address.or(first);
    Event::FrontDoor {
        url: address.map(|address| platform.load_balancer.url(address)).unwrap_or_default(),
        holder: facts.holder.clone(),
        certificate_expires: ends.map(|ends| ends.to_string()),
        certificate_days_left: ends.map(|ends| days_until(ends, now_ms)),
    }
}

fn glance_at(instance: &Instance, facts: &Facts, glances: &BTreeMap<String, Glance>, now_ms: i64) -> InstanceStatus {
    let state = match facts.instances.get(&instance.name) {
        Some(Existing::Running) => "running",
        Some(Existing::Stopped) => "stopped",
        Some(Existing::Frozen) => "frozen",
        None => "absent",
    };
    let (colour, component) = match &instance.role {
        Role::Component { colour, component } => (*colour, Some(component)),
        _ => (None, None),
    };
    let active = component.is_none() || colour == facts.releases.active;
    // A release may be from before there was this component.
    let has_it = |release: &&ColourRelease| component.is_some_and(|name| release.artifacts.contains_key(name));
    let release = facts.releases.colours.get(&colour).filter(has_it);
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
    let expires = glance.and_then(|glance| glance.certificates.values().copied().min()).and_then(moment);
    let days_left = expires.map(|expires| days_until(expires, now_ms));
    let problem = problem.or_else(|| {
        let days_left = days_if_soon(expires?, now_ms)?;
        Some(format!("a certificate ends {days_left} days from now, which `bascule up` should have renewed long ago"))
    });
    InstanceStatus {
        name: instance.name.clone(),
        roles: vec![instance.role.name().to_owned()],
        address: facts.addresses.get(&instance.name).map(ToString::to_string).unwrap_or_default(),
        state: state.to_owned(),
        colour: colour.map(|colour| colour.to_string()),
        active,
        version,
        certificates_expire: expires.map(|expires| expires.to_string()),
        certificates_days_left: days_left,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::doctor::tests::Shop;

    const NOW_S: u64 = 1_800_000_000;

    /// The first load balancer of a shop that runs, with a certificate that ends in so many days.
    fn glanced(days: u64) -> InstanceStatus {
        let platform = bascule_spec::load(&Shop, Path::new("platform.toml"), "lab").unwrap();
        let facts = Facts { instances: [("lb-1".to_owned(), Existing::Running)].into(), ..Facts::default() };
        let certificates = [("/etc/haproxy/inside.pem".to_owned(), NOW_S + days * 86_400)].into();
        let glances = [("lb-1".to_owned(), Glance { certificates, ..Glance::default() })].into();
        let lb = platform.load_balancers().next().unwrap();
        glance_at(lb, &facts, &glances, i64::try_from(NOW_S * 1_000).unwrap())
    }

    #[test]
    fn an_instance_whose_certificate_ends_soon_is_not_healthy() {
        let well = glanced(22);
        assert_eq!((well.healthy, well.certificates_days_left, well.problem), (true, Some(22), None));
        let ill = glanced(21);
        assert_eq!((ill.healthy, ill.certificates_days_left), (false, Some(21)));
        assert!(ill.problem.unwrap().contains("a certificate ends 21 days from now"));
    }
}
