//! Redis, with a Sentinel beside each member.
//!
//! Who is the master is Sentinels' to decide, and theirs alone: no step says it, and no file of the platform. `redis-run` asks
//! them before it starts Redis, so a member that returns is a replica of whoever was promoted meanwhile, and one that has lost
//! its data can never be the master. Sentinel keeps what it knows in a file of its own on the member's volume; `sentinel-run`
//! only puts the platform's settings before it.
//!
//! The first master is found once: `redis-form` has a Sentinel watch what the others watch, and only when all answer that
//! they watch nothing, nobody can have data, and the first member becomes the master. What a Sentinel knows and the data are
//! on the same volume, and are lost together. As long as no Sentinel has ever seen a replica, that member may be the master
//! with nothing.
//!
//! A Redis that is stopped in order while it is the master first hands over (`redis-hand-over`), so that every restart, and
//! every shutdown, is a switchover in which no answered write is lost.

use std::collections::{BTreeMap, BTreeSet};

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{Command, Directory, LineItem, Probe, Resource, Volume};
use bascule_spec::{Instance, Platform, Redis, Service, WhenFull};
use minijinja::context;

use crate::group::{Group, directory, file, running, script_path, secret_file, wait};
use crate::template::render;
use crate::{Facts, RoleError, certificates, line};

pub(crate) const PORT: u16 = 6379;
pub(crate) const SENTINEL_PORT: u16 = 26379;
/// The name by which Sentinels know the group.
const MASTER: &str = "main";
const DATA: &str = "/var/lib/redis";
const CREDENTIALS: &str = "/etc/redis/credentials";
/// The certificate and the key, in one file.
const CERTIFICATE: &str = "/etc/redis/tls.pem";
const CONFIG: &str = "/etc/redis/bascule.conf";
const SENTINEL_CONFIG: &str = "/etc/redis/sentinel-bascule.conf";
const MAIN_CONFIG: &str = "/etc/redis/sentinel-main.conf";
const UNIT: &str = "redis-server.service";
const DROP_IN: &str = "/etc/systemd/system/redis-server.service.d/bascule.conf";
const SENTINEL_UNIT: &str = "redis-sentinel.service";
const SENTINEL_DROP_IN: &str = "/etc/systemd/system/redis-sentinel.service.d/bascule.conf";
const EXPORTER_UNIT: &str = "prometheus-redis-exporter.service";
const EXPORTER_DROP_IN: &str = "/etc/systemd/system/prometheus-redis-exporter.service.d/bascule.conf";

/// Members restart one at a time.
pub(crate) const LEASE: &str = "roll redis";
pub(crate) const SENTINEL_LEASE: &str = "roll redis sentinel";

/// A member's data, and what its Sentinel knows.
pub(crate) fn volume(redis: &Redis, member: &Instance) -> Volume {
    Volume { name: format!("{}-data", member.name), path: DATA.to_owned(), size: redis.volume.clone() }
}

/// A member accepts the passwords that the environment has now.
const ACCEPTS: &str = "accepts new passwords";

/// All members get here before any does these steps, which come later in the group.
fn meet(group: &mut Group, platform: &Platform, own: &Instance, what: &str, before: &[&str]) {
    let here = |member: &Instance| format!("{}: {what}", member.name);
    group.reach(here(own));
    for member in platform.redis_members() {
        group.wait_for_the_sake_of(before, here(member));
    }
}

/// What a component that uses Redis has to wait for before it comes with its password.
pub(crate) fn accepting(platform: &Platform) -> impl Iterator<Item = String> {
    platform.redis_members().map(|member| format!("{}: {ACCEPTS}", member.name))
}

/// `users` are the replicas that this plan brings to a release, and with it to their password.
pub(crate) fn steps(
    platform: &Platform,
    facts: &Facts,
    own: &Instance,
    users: &[&Instance],
) -> Result<Vec<LineItem>, RoleError> {
    let Some(redis) = &platform.redis else { return Ok(Vec::new()) };
    let of = Member::new(platform, facts, own)?;

    let mut install = Group::new("redis/install");
    install.packages("install Redis and Sentinel", &["redis-server", "redis-sentinel", "redis-tools"]);
    install.scripts(&[
        ("redis-ask", include_str!("redis-ask.sh")),
        ("redis-run", include_str!("redis-run.sh")),
        ("sentinel-run", include_str!("sentinel-run.sh")),
        ("redis-form", include_str!("redis-form.sh")),
        ("redis-health", include_str!("redis-health.sh")),
        ("redis-hand-over", include_str!("redis-hand-over.sh")),
        ("redis-users", include_str!("redis-users.sh")),
    ]);
    let data = Directory { path: DATA.to_owned(), owner: "redis".to_owned(), group: "redis".to_owned(), mode: 0o750 };
    install.step("data", "let Redis have its volume", Resource::Directory(data));

    let mut known = Group::new("redis/users");
    known.step("credentials", "make room for passwords", directory(CREDENTIALS, 0o700));
    for (user, secret) in secrets(platform) {
        let title = format!("put the password of {user} in place");
        known.step(&user, title, secret_file(format!("{CREDENTIALS}/{user}"), facts.secret(&secret)?));
    }

    let mut sentinel = Group::new("redis/sentinel");
    let certificate = certificates::of_server(platform, facts, own, CERTIFICATE, "redis")?;
    sentinel.step("certificate", "give it a certificate", certificate);
    let tls = context! { certificate => CERTIFICATE, authority => AUTHORITY_FILE };
    let config = render("sentinel.conf.j2", include_str!("sentinel.conf.j2"), tls)?;
    sentinel.step("config", "configure Sentinel", file(SENTINEL_CONFIG, 0o644, config));
    sentinel.step(
        "main",
        "tell it when a master is lost",
        file(MAIN_CONFIG, 0o644, include_str!("sentinel-main.conf")),
    );
    let unit = render("redis-sentinel.service.j2", include_str!("redis-sentinel.service.j2"), of.unit("sentinel-run"))?;
    sentinel.step("unit", "have it keep what it knows", file(SENTINEL_DROP_IN, 0o644, unit));
    sentinel.take(SENTINEL_LEASE);
    let inputs = [SENTINEL_DROP_IN, SENTINEL_CONFIG, MAIN_CONFIG, CERTIFICATE];
    sentinel.step("service", "run Sentinel", running(SENTINEL_UNIT, &inputs, &[]));
    let listens = Probe::Tcp { address: format!("{}:{SENTINEL_PORT}", of.own) };
    sentinel.step("listens", "wait until it listens", wait(listens, Some(SENTINEL_UNIT), 15_000));
    sentinel.release(SENTINEL_LEASE);
    meet(&mut sentinel, platform, own, "its Sentinel runs", &["others", "form"]);
    let form = |mode: &str| {
        let first = [script_path("redis-form"), mode.to_owned(), of.quorum.to_string(), of.own.clone()];
        [&first[..], &of.members].concat()
    };
    let told = Probe::Command { argv: form("ready") };
    sentinel.step("others", "wait for the other Sentinels", wait(told, Some(SENTINEL_UNIT), 120_000));
    sentinel.step("form", "agree on a master", command_of(form("apply"), form("check"), Vec::new(), 60_000));

    let mut server = Group::new("redis/server");
    meet(&mut server, platform, own, "its Sentinel watches the master", &["service"]);
    let config = context! {
        certificate => CERTIFICATE,
        authority => AUTHORITY_FILE,
        own => &of.own,
        replicas => of.members.len() - 1,
        data_max_bytes => redis.data_max_bytes,
        policy => match redis.when_full {
            WhenFull::Refuse => "noeviction",
            WhenFull::EvictExpiring => "volatile-lru",
            WhenFull::Evict => "allkeys-lru",
        },
    };
    let config = render("redis.conf.j2", include_str!("redis.conf.j2"), config)?;
    server.step("config", "configure Redis", file(CONFIG, 0o644, config));
    let unit = render("redis-server.service.j2", include_str!("redis-server.service.j2"), of.unit("redis-run"))?;
    server.step("unit", "have it ask the Sentinels what it is", file(DROP_IN, 0o644, unit));
    server.take(LEASE);
    server.step("service", "run Redis", running(UNIT, &[DROP_IN, CONFIG], &[CERTIFICATE]));
    let health = Probe::Command { argv: vec![script_path("redis-health"), of.own.clone()] };
    server.step("healthy", "wait until it has all data", wait(health, Some(UNIT), 300_000));
    server.release(LEASE);
    // It asks the master every ten seconds who its replicas are.
    let knows_all = Probe::Command { argv: form("known") };
    server.step("known", "wait until Sentinel knows all members", wait(knows_all, Some(SENTINEL_UNIT), 60_000));

    let mut passwords = Group::new("redis/passwords");
    let stage = |stage: &str| {
        let argv = |mode: &str| vec![script_path("redis-users"), stage.to_owned(), mode.to_owned(), of.own.clone()];
        let reads = of.credentials.iter().map(|user| format!("{CREDENTIALS}/{user}")).collect();
        command_of(argv("apply"), argv("check"), reads, 30_000)
    };
    passwords.step("add", "accept the passwords", stage("add"));
    meet(&mut passwords, platform, own, ACCEPTS, &["use"]);
    passwords.step("use", "call the others by their password", stage("use"));
    meet(&mut passwords, platform, own, "calls others by the new password", &["only"]);
    for replica in users {
        passwords.wait_for_the_sake_of(&["only"], line::healthy(replica));
    }
    passwords.step("only", "accept no other ones", stage("only"));

    let metrics = metrics(&of.own)?;
    Ok([install, known, sentinel, server, passwords, metrics].into_iter().flat_map(Group::into_items).collect())
}

/// An exporter for Prometheus, on loopback.
fn metrics(own: &str) -> Result<Group, RoleError> {
    let mut group = Group::new("redis/metrics");
    group.packages("install the exporter", &["prometheus-redis-exporter"]);
    group.scripts(&[("redis-exporter-password", include_str!("redis-exporter-password.sh"))]);
    let context = context! { own, authority => AUTHORITY_FILE, password => script_path("redis-exporter-password") };
    let unit = render("redis-exporter.service.j2", include_str!("redis-exporter.service.j2"), context)?;
    group.step("unit", "have it ask this Redis", file(EXPORTER_DROP_IN, 0o644, unit));
    let inputs = [EXPORTER_DROP_IN, &format!("{CREDENTIALS}/member")];
    group.step("service", "run the exporter", running(EXPORTER_UNIT, &inputs, &[]));
    Ok(group)
}

/// Has another member be the master, where this one is.
pub(crate) fn hand_over(facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let mut group = Group::new("redis/switchover");
    let own = facts.address(own)?.to_string();
    let argv = |mode: &'static str| [script_path("redis-hand-over"), mode.to_owned(), own.clone()].to_vec();
    group.step(
        "hand-over",
        "have another member be the master",
        command_of(argv("apply"), argv("check"), Vec::new(), 40_000),
    );
    Ok(group.into_items())
}

/// What a component that uses Redis is told, beside its password: it asks Sentinels for the master, as the user of its name.
pub(crate) fn environment(
    platform: &Platform,
    facts: &Facts,
    user: &str,
) -> Result<Vec<(&'static str, String)>, RoleError> {
    let sentinels: Vec<String> =
        addresses(platform, facts)?.iter().map(|address| format!("{address}:{SENTINEL_PORT}")).collect();
    Ok(vec![
        ("REDIS_SENTINELS", sentinels.join(",")),
        ("REDIS_MASTER", MASTER.to_owned()),
        ("REDIS_USER", user.to_owned()),
        ("REDIS_CA", AUTHORITY_FILE.to_owned()),
    ])
}

/// Of all members, in the order of the platform.
fn addresses(platform: &Platform, facts: &Facts) -> Result<Vec<String>, RoleError> {
    platform.redis_members().map(|member| Ok(facts.address(member)?.to_string())).collect()
}

/// Users, and the secrets that are their passwords.
fn secrets(platform: &Platform) -> Vec<(String, String)> {
    let users = platform.users_of(Service::Redis).into_iter();
    let users = users.map(|user| (user.to_owned(), Redis::password_of(user)));
    [("member".to_owned(), Redis::MEMBER_PASSWORD.to_owned())].into_iter().chain(users).collect()
}

fn command_of(argv: Vec<String>, unless: Vec<String>, reads: Vec<String>, timeout_ms: u64) -> Resource {
    Resource::Command(Command { argv, unless, reads, env: BTreeMap::new(), timeout_ms })
}

/// What a member knows of its group.
struct Member {
    own: String,
    /// The addresses of all, in the order of the platform.
    members: Vec<String>,
    /// A majority.
    quorum: usize,
    credentials: BTreeSet<String>,
}

impl Member {
    fn new(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Self, RoleError> {
        let members = addresses(platform, facts)?;
        Ok(Self {
            own: facts.address(own)?.to_string(),
            quorum: members.len() / 2 + 1,
            members,
            credentials: secrets(platform).into_iter().map(|(user, _)| user).collect(),
        })
    }

    fn unit(&self, run: &str) -> minijinja::Value {
        context! {
            run => script_path(run),
            ask => script_path("redis-ask"),
            hand_over => script_path("redis-hand-over"),
            quorum => self.quorum,
            own => &self.own,
            members => self.members.join(" "),
            credentials => minijinja::Value::from_iter(self.credentials.iter().map(String::as_str)),
            certificate => CERTIFICATE,
        }
    }
}
