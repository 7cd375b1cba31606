//! The edge cache: nginx between the load balancers and the object store.
//!
//! The load balancers spread paths over the edges by a hash, so that each object is fetched and kept by one of them. An edge
//! asks the store as a user who may only read one bucket, and answers nobody whose URL is not signed: both are `edge.js`'s to
//! do. What it keeps is on a volume of its own, and outlives the store, nginx, and the instance.
//!
//! Keys are not systemd's credentials: those are handed over when a unit starts, and a key is replaced by a reload, in which
//! no request is lost. `edge-keys` writes them as nginx reads them, and keeps the signing key before this one for another
//! day. Whoever signs waits until all edges accept the new one; the edges wait until the store accepts theirs.

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{Directory, LineItem, Milestone, Probe, Resource, Volume};
use bascule_spec::{Component, Edge, Instance, Platform, Store};
use serde::Serialize;

use crate::group::{Group, command_on, directory, file, running, script_path, secret_file, validated, wait};
use crate::template::render;
use crate::{Facts, RoleError, certificates, line, load_balancer, store};

pub(crate) const PORT: u16 = 8443;
/// Answers 200 to load balancers while nginx runs. Named in `nginx.conf`, too.
pub(crate) const HEALTH: &str = "/__edge_alive";
/// nginx writes nowhere else. Named in its configuration and in the programs, too.
const CACHE: &str = "/var/cache/edge";
const CONFIG: &str = "/etc/nginx/nginx.conf";
const PROGRAM: &str = "/usr/local/lib/bascule/edge.js";
const CREDENTIALS: &str = "/etc/nginx/edge/credentials";
const CERTIFICATE: &str = "/etc/nginx/tls.pem";
const UNIT: &str = "nginx.service";
const DROP_IN: &str = "/etc/systemd/system/nginx.service.d/bascule.conf";
const EXPORTER_UNIT: &str = "prometheus-nginx-exporter.service";
const EXPORTER_DROP_IN: &str = "/etc/systemd/system/prometheus-nginx-exporter.service.d/bascule.conf";
const MEND_UNIT: &str = "edge-mend.service";
const MEND_UNIT_FILE: &str = "/etc/systemd/system/edge-mend.service";
/// What is cut into chunks, by the ends of names: segments, and the files that players jump about in.
const SEGMENTS: &str =
    "ts|m4s|mp4|m4a|m4v|cmfa|cmfv|cmft|aac|ac3|ec3|mp3|ogg|oga|ogv|opus|flac|wav|webm|weba|mkv|mov|vtt|webvtt";

/// Edges restart one at a time.
pub(crate) const LEASE: &str = "roll edge";

/// What an edge keeps.
pub(crate) fn volume(edge: &Edge, own: &Instance) -> Volume {
    Volume { name: format!("{}-cache", own.name), path: CACHE.to_owned(), size: edge.volume() }
}

/// What a component that signs URLs has to wait for before it comes with a new key, and which of its secrets that is.
pub(crate) fn accepting<'a>(
    platform: &'a Platform,
    component: &Component,
) -> impl Iterator<Item = (String, Milestone)> + 'a {
    let key = platform.edge.as_ref().map(|edge| &edge.signing_key).filter(|key| component.secrets.contains(*key));
    key.into_iter().flat_map(|key| platform.edges().map(|edge| (key.clone(), accepts(edge))))
}

fn accepts(edge: &Instance) -> String {
    format!("{}: accepts the signing key", edge.name)
}

pub(crate) fn steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let Some((edge, store)) = platform.edge.as_ref().zip(platform.store.as_ref()) else { return Ok(Vec::new()) };
    let groups = [
        install(),
        keys(platform, facts, own, edge, store)?,
        server(platform, facts, own, edge, store)?,
        mend(),
        metrics(),
    ];
    Ok(groups.into_iter().flat_map(Group::into_items).collect())
}

/// What forgets, on an edge, everything whose path at the front door begins so; nothing, where no route does.
pub fn purge(platform: &Platform, prefix: &str) -> Option<Vec<String>> {
    Some(vec![script_path("edge-purge"), platform.edge.as_ref()?.in_store(prefix)?])
}

fn install() -> Group {
    let mut group = Group::new("edge/install");
    group.packages("install nginx, and what runs a program in it", &["nginx", "libnginx-mod-http-js"]);
    group.scripts(&[
        ("edge-keys", include_str!("edge-keys.sh")),
        ("edge-purge", include_str!("edge-purge.pl")),
        ("edge-mend", include_str!("edge-mend.sh")),
    ]);
    let cache = Directory { path: CACHE.to_owned(), owner: "www-data".into(), group: "www-data".into(), mode: 0o750 };
    group.step("cache", "let nginx have its volume", Resource::Directory(cache));
    group
}

/// The keys, each in place and in use before anybody else counts on it. A reload is enough, for which nobody has to wait.
fn keys(platform: &Platform, facts: &Facts, own: &Instance, edge: &Edge, store: &Store) -> Result<Group, RoleError> {
    let mut group = Group::new("edge/keys");
    group.step("folder", "make room for what nginx reads", directory("/etc/nginx/edge", 0o755));
    group.step("credentials", "make room for keys", directory(CREDENTIALS, 0o700));
    let key = |group: &mut Group, kind: &str, secret: &str| {
        let path = format!("{CREDENTIALS}/{kind}");
        group.step(kind, format!("put the secret {secret} in place"), secret_file(&path, facts.secret(secret)?));
        let program = script_path("edge-keys");
        let uses = command_on(&[&program, kind, "apply"], &[&program, kind, "check"], &[&path], 30_000);
        group.step(format!("{kind}-used"), format!("have nginx go by {secret}"), uses);
        Ok::<_, RoleError>(())
    };
    key(&mut group, "signing", &edge.signing_key)?;
    group.reach(accepts(own));
    if let Some(accepted) = store::accepting(platform) {
        group.wait_for_the_sake_of(&["store", "store-used"], accepted);
    }
    key(&mut group, "store", &store::key_of(store, Edge::NAME))?;
    Ok(group)
}

fn server(platform: &Platform, facts: &Facts, own: &Instance, edge: &Edge, store: &Store) -> Result<Group, RoleError> {
    let mut group = Group::new("edge/server");
    let certificate = certificates::of_server(platform, facts, own, CERTIFICATE, "www-data")?;
    group.step("certificate", "give it a certificate", certificate);
    group.step("program", "put the program in place that nginx runs", file(PROGRAM, 0o644, include_str!("edge.js")));
    let config = render("nginx.conf.j2", include_str!("nginx.conf.j2"), Context::new(platform, facts, edge, store)?)?;
    group.step("config", "configure nginx", validated(CONFIG, 0o644, config, &["nginx", "-t", "-q", "-c", "{}"]));
    group.step("unit", "let nginx do no more than it has to", file(DROP_IN, 0o644, include_str!("nginx.service")));
    group.take(LEASE);
    let reload_inputs = [CONFIG, PROGRAM, CERTIFICATE, AUTHORITY_FILE];
    group.step("service", "run nginx", running(UNIT, &[DROP_IN], &reload_inputs));
    let alive = Probe::Http { url: format!("https://127.0.0.1:{PORT}{HEALTH}"), contains: None };
    group.step("healthy", "wait until it is healthy", wait(alive, Some(UNIT), 15_000));
    group.reach(line::healthy(own));
    for load_balancer in platform.load_balancers() {
        group.wait_for(line::in_rotation(own, load_balancer));
    }
    group.release(LEASE);
    Ok(group)
}

fn mend() -> Group {
    let mut group = Group::new("edge/mend");
    let unit = file(MEND_UNIT_FILE, 0o644, include_str!("edge-mend.service"));
    group.step("unit", "have chunks of replaced objects forgotten", unit);
    let inputs = [MEND_UNIT_FILE, "/usr/local/lib/bascule/edge-mend"];
    group.step("service", "watch for replaced objects", running(MEND_UNIT, &inputs, &[]));
    group
}

/// An exporter for Prometheus, on loopback.
fn metrics() -> Group {
    let mut group = Group::new("edge/metrics");
    group.packages("install the exporter", &["prometheus-nginx-exporter"]);
    let unit = file(EXPORTER_DROP_IN, 0o644, include_str!("nginx-exporter.service"));
    group.step("unit", "have it ask this nginx", unit);
    group.step("service", "run the exporter", running(EXPORTER_UNIT, &[EXPORTER_DROP_IN], &[]));
    group
}

#[derive(Serialize)]
struct Context<'a> {
    port: u16,
    health: &'static str,
    cache_max_mib: u64,
    bucket: &'a str,
    routes: Vec<Route<'a>>,
    segments: &'static str,
    store: Upstream,
}

#[derive(Serialize)]
struct Route<'a> {
    prefix: &'a str,
    /// Its length: what comes after so many is the key.
    bytes: usize,
}

/// Where the store answers.
#[derive(Serialize)]
struct Upstream {
    scheme: String,
    /// As the header `Host` has it.
    host: String,
    address: String,
    /// As it calls itself in its certificate.
    name: String,
    region: String,
    /// The file with those that may vouch for it.
    authority: &'static str,
}

impl<'a> Context<'a> {
    fn new(platform: &Platform, facts: &Facts, edge: &'a Edge, store: &Store) -> Result<Self, RoleError> {
        Ok(Self {
            port: PORT,
            health: HEALTH,
            cache_max_mib: edge.cache_max_mib,
            bucket: &edge.bucket,
            routes: edge.routes.iter().map(|route| Route { prefix: route, bytes: route.len() }).collect(),
            segments: SEGMENTS,
            store: Upstream::new(platform, facts, store)?,
        })
    }
}

impl Upstream {
    fn new(platform: &Platform, facts: &Facts, store: &Store) -> Result<Self, RoleError> {
        let (endpoint, region) = store::endpoint_and_region(platform, facts, store)?;
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
        let usual = if scheme == "https" { 443 } else { 80 };
        let (name, address) = match host.split_once(':') {
            Some((name, _)) => (name, host.to_owned()),
            None => (host, format!("{host}:{usual}")),
        };
        let is_own = store.cluster().is_some();
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            address,
            // nginx compares names, and no addresses.
            name: if is_own { load_balancer::STORE_NAME.to_owned() } else { name.to_owned() },
            region,
            authority: if is_own { AUTHORITY_FILE } else { "/etc/ssl/certs/ca-certificates.crt" },
        })
    }
}
