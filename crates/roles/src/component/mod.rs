//! A replica of a component: the release of one commit, and the service that runs it.
//!
//! ```text
//! /srv/COMPONENT/releases/COMMIT/   what the artifact holds, read-only
//! /srv/COMPONENT/current            the release that runs, swapped by one rename
//! ```
//!
//! A component of kind `binary` is `bin/COMPONENT` of its release and is told by its environment:
//!
//! | variable | is |
//! | --- | --- |
//! | `LISTEN_ADDRESS` | where it listens: `0.0.0.0:PORT` |
//! | `COMMIT` | the 40 hex digits of its release, which the path `version` has to answer |
//! | `COMPONENT`, `INSTANCE` | its own name, and that of the machine it runs on |
//! | `CREDENTIALS_DIRECTORY` | the folder with its secrets, a file each: by systemd, when it has any |
//! | `REDIS_SENTINELS`, `REDIS_MASTER`, `REDIS_USER`, `REDIS_CA` | with `uses = ["redis"]`: where the Sentinels are (`ADDRESS:PORT`, with commas), by which name they know the master, as whom to come (the password is the credential `redis`), and the file with the authority that vouches for them |
//! | `DATABASE_URL`, `PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`, `PGSSLMODE`, `PGSSLROOTCERT` | with `uses = ["postgres"]`: where its database is and as whom to come, as a URL and by the names that libpq reads by itself; the password is the credential `postgres`. Connections are lent for a transaction at a time: what belongs to a session (`SET`, `LISTEN`, advisory locks of a session) does not last |
//! | `MIGRATION_DATABASE_URL` | for a component among the `migrators` of its database: as whom to come to change its shape; the password is the credential `postgres_migration`, and the connection is its own for as long as it lasts |
//! | `AWS_ENDPOINT_URL_S3`, `AWS_REGION`, `AWS_CA_BUNDLE`, `AWS_SHARED_CREDENTIALS_FILE`, `S3_BUCKETS` | with `uses = ["store"]`: where the object store is, and as whom to come, by the names that clients of S3 read by themselves; and the buckets that are open to it, with commas. Buckets are part of the path (`https://HOST/BUCKET/KEY`) |
//! | `TLS_CERTIFICATE` | with `tls = true`: a PEM file with the certificate and the key for all that come to `LISTEN_ADDRESS` |
//!
//! and by what the platform file gives it in `environment`. On SIGTERM it answers 404 on its health path, and goes on
//! answering that until its last session has ended (who answers nothing counts as dead, and a dead replica's tunnels are
//! cut); it exits within `stop_timeout`. A component of kind `static` is the files of its release.

mod binary;
mod static_site;

use bascule_plan::{Archive, LineItem, Milestone, OnTimeout, Probe, Resource};
use bascule_spec::{Component, ComponentKind, Instance, Platform, Role, Service};

use crate::facts::ColourRelease;
use crate::group::{Group, command_on, script_path, symlink, wait};
use crate::{Facts, RoleError, certificates, edge, line, postgres, redis, store};

/// Releases kept beside the current one, for a look and for a way back.
const RELEASES_KEPT: &str = "3";

/// What a replica has before anything was released to it.
pub(crate) fn base(
    platform: &Platform,
    facts: &Facts,
    component: &Component,
    replica: &Instance,
) -> Result<Vec<LineItem>, RoleError> {
    let mut group = match component.kind {
        ComponentKind::Binary => binary::base(platform, component, facts)?,
        ComponentKind::Static => static_site::base(),
    };
    if let Some(path) = certificate(component) {
        let certificate = certificates::of_server(platform, facts, replica, path, "root")?;
        group.step("certificate", format!("give {} a certificate", component.name), certificate);
    }
    Ok(group.into_items())
}

/// Where the certificate of a component that speaks TLS lies on its replicas.
fn certificate(component: &Component) -> Option<String> {
    component.tls.then(|| match component.kind {
        ComponentKind::Binary => binary::certificate(component),
        ComponentKind::Static => static_site::CERTIFICATE.to_owned(),
    })
}

/// Where a replica is asked for a path, by who knows it as `host`.
pub(crate) fn url(component: &Component, host: impl std::fmt::Display, path: &str) -> String {
    let scheme = if component.tls { "https" } else { "http" };
    format!("{scheme}://{host}:{}{path}", component.port)
}

/// What makes a replica run a release. Everything that takes it out of service is done while it holds its pool's lease,
/// which it gives back when `load_balancers` send it requests again.
pub(crate) fn release(
    platform: &Platform,
    facts: &Facts,
    component: &Component,
    replica: &Instance,
    release: &ColourRelease,
    gates: &Gates<'_>,
) -> Result<Vec<LineItem>, RoleError> {
    let colour = match &replica.role {
        Role::Component { colour, .. } => *colour,
        _ => None,
    };
    let lease = line::roll_lease(component, colour);
    let folder = format!("/srv/{}", component.name);
    let commit = &release.commit;

    let mut group = Group::new("component/release");
    let path = format!("{folder}/releases/{commit}");
    let blob = release.artifact(&component.name)?.clone();
    group.step("unpack", format!("unpack {}", blob.name), Resource::Archive(Archive { path, blob }));
    let mut items = group.into_items();

    items.extend(match component.kind {
        ComponentKind::Binary => binary::prepare(component)?.into_items(),
        ComponentKind::Static => static_site::prepare(component)?.into_items(),
    });

    let mut group = Group::new("component/service");
    // Where nobody sends it requests yet, it need not wait for its turn.
    let in_service = !gates.load_balancers.is_empty();
    for (credential, milestone) in &gates.accepted {
        group.wait_for_the_sake_of(&[&binary::credential_step(credential)], milestone.clone());
    }
    if in_service {
        group.take(&lease);
    }
    let current = format!("{folder}/current");
    group.step(
        "current",
        format!("make {commit} the current release"),
        symlink(&current, format!("releases/{commit}")),
    );
    let unit = match component.kind {
        ComponentKind::Binary => binary::run(&mut group, platform, facts, component, &replica.name, commit)?,
        ComponentKind::Static => static_site::run(&mut group),
    };
    let local = |path: &str| url(component, "127.0.0.1", path);
    let probe = Probe::Http { url: local(&component.health), contains: None };
    let mut healthy = wait(probe, Some(&unit), gates.health_timeout_ms);
    if let (Resource::Wait(healthy), true) = (&mut healthy, gates.restart_hung) {
        healthy.on_timeout = OnTimeout::RestartUnit;
    }
    group.step("healthy", "wait until it is healthy", healthy);
    let probe = Probe::Http { url: local(&component.version), contains: Some(commit.clone()) };
    group.step("version", "wait until it answers with the commit", wait(probe, Some(&unit), gates.health_timeout_ms));
    group.reach(line::healthy(replica));
    for load_balancer in gates.load_balancers {
        group.wait_for(line::in_rotation(replica, load_balancer));
    }
    if in_service {
        group.release(&lease);
    }
    items.extend(group.into_items());

    let mut group = Group::new("component/cleanup");
    group.scripts(&[("prune-releases", include_str!("prune-releases.sh"))]);
    let program = script_path("prune-releases");
    let (apply, check) = ([&program, "apply", &folder, RELEASES_KEPT], [&program, "check", &folder, RELEASES_KEPT]);
    group.step(
        "releases",
        format!("keep {RELEASES_KEPT} releases beside the current one"),
        command_on(&apply, &check, &[&format!("{folder}/releases")], 60_000),
    );
    items.extend(group.into_items());
    Ok(items)
}

/// What a replica has to pass before the next one may be touched.
#[derive(Debug)]
pub(crate) struct Gates<'a> {
    /// What others have to have reached before a replica may come with one of its secrets.
    pub(crate) accepted: Vec<(String, Milestone)>,
    pub(crate) health_timeout_ms: u64,
    /// A replica that ran this release before and does not answer any more is restarted; one that never answered is not.
    pub(crate) restart_hung: bool,
    /// Those that have to send requests to it; none while its colour is out of traffic.
    pub(crate) load_balancers: &'a [&'a Instance],
}

/// What has to accept a component's secrets before one of its replicas comes with a new one: the secret, by the name under
/// which the component reads it, and the milestone.
pub(crate) fn accepting(platform: &Platform, component: &Component) -> Vec<(String, Milestone)> {
    let of_service = |service: &Service| -> Vec<_> {
        let milestones: Vec<_> = match service {
            Service::Redis => redis::accepting(platform).collect(),
            Service::Store => store::accepting(platform).into_iter().collect(),
            Service::Postgres => postgres::pooler::accepting(platform).collect(),
        };
        let credentials = binary::credentials_of(component, *service);
        let for_each = |milestone: Milestone| credentials.iter().map(move |name| (name.clone(), milestone.clone()));
        milestones.into_iter().flat_map(for_each).collect()
    };
    component.uses.iter().flat_map(of_service).chain(edge::accepting(platform, component)).collect()
}

/// The release that `up` brings a replica to; otherwise why there is none.
pub(crate) fn recorded<'a>(facts: &'a Facts, instance: &Instance) -> Result<&'a ColourRelease, String> {
    use crate::ColourState::{Deploying, Failed, Ready};
    let Role::Component { component, colour } = &instance.role else {
        return Err("it is no replica of a component".to_owned());
    };
    let whom = colour.map_or_else(|| component.clone(), |colour| format!("{component} on {colour}"));
    match facts.releases.colours.get(colour) {
        Some(release) if release.state == Ready && release.artifacts.contains_key(component) => Ok(release),
        // A release from before the platform file had this component.
        Some(ColourRelease { commit, state: Ready, .. }) => {
            Err(format!("{commit} has nothing for {whom} yet: the next deploy brings a release with it"))
        }
        None => Err(format!("nothing has been released to {whom} yet: `bascule deploy COMMIT` does")),
        Some(ColourRelease { commit, state, .. }) => Err(match state {
            Deploying | Ready => format!("the deploy of {commit} to {whom} did not end: the next deploy makes it anew"),
            Failed => {
                format!("the deploy of {commit} to {whom} failed: it is left for a look, the next deploy makes it anew")
            }
        }),
    }
}
