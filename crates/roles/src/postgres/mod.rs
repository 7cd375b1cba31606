//! PostgreSQL: nodes that pg_auto_failover keeps, the monitor that decides which of them is the primary, and poolers.
//!
//! Who is the primary is no step's and no file's of the platform: the monitor decides it, and the program `postgres` asks it
//! before it makes, reloads or restarts anything. The settings that pg_auto_failover writes are left to it; those of the
//! platform are a file of its own that Postgres reads last. Nothing is reloaded or restarted while a node is on its way from
//! one state to another.
//!
//! A restart goes by two leases: under the first standbys have their turn, under the second whoever is left, which then hands
//! over before it stops. Poolers hold queries back meanwhile: see [`pooler`].

pub(crate) mod backup;
pub(crate) mod drill;
pub(crate) mod pooler;
pub(crate) mod restore;

use std::collections::BTreeMap;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{Command, Directory, LineItem, Probe, Resource, Unit, UnitState, Volume};
use bascule_spec::{Database, FailoverDetection, Instance, Platform, Postgres, Role};
use minijinja::context;
use serde::Serialize;

use crate::group::{Group, directory, file, running, script_path, secret_file, wait};
use crate::template::render;
use crate::{Facts, RoleError, certificates};

pub(crate) const PORT: u16 = 5432;
const HOME: &str = "/var/lib/postgresql";
const ETC: &str = "/etc/postgresql/bascule";
const CREDENTIALS: &str = "/etc/postgresql/bascule/credentials";
const SETTINGS: &str = "/etc/postgresql/bascule/settings.json";
const CONFIG: &str = "/etc/postgresql/bascule/postgres.conf";
const HBA: &str = "/etc/postgresql/bascule/hba.conf";
const IDENT: &str = "/etc/postgresql/bascule/ident.conf";
const CERTIFICATE: &str = "/etc/postgresql/bascule/tls.pem";
const UNIT: &str = "bascule-postgres.service";
const UNIT_FILE: &str = "/etc/systemd/system/bascule-postgres.service";
const EXPORTER_UNIT: &str = "prometheus-postgres-exporter.service";
const EXPORTER_DROP_IN: &str = "/etc/systemd/system/prometheus-postgres-exporter.service.d/bascule.conf";
/// What the monitor keeps is a few rows, and the log of their changes.
const MONITOR_VOLUME: &str = "4GiB";
const MIB: u64 = 1024 * 1024;
/// What pg_auto_failover calls the formation that it makes by itself.
const FIRST_FORMATION: &str = "default";
/// What is reckoned with where the file says nothing of memory.
const MEMORY_MIB: u64 = 1024;

/// Standbys restart one at a time, then whoever was the primary.
pub(crate) const LEASES: [&str; 2] = [STANDBY_LEASE, PRIMARY_LEASE];
const STANDBY_LEASE: &str = "roll postgres standbys";
const PRIMARY_LEASE: &str = "roll postgres primary";

const ACCEPTS_NODES: &str = "pg-monitor: accepts nodes";

/// A node is of the formation, and accepts whom the platform names, by the passwords that the environment has now.
pub(crate) fn accepts(node: &Instance) -> String {
    format!("{}: accepts users", node.name)
}

pub(crate) fn volume(postgres: &Postgres, instance: &Instance) -> Volume {
    let size = if instance.role == Role::PostgresMonitor { MONITOR_VOLUME } else { &postgres.volume };
    Volume { name: format!("{}-data", instance.name), path: HOME.to_owned(), size: size.to_owned() }
}

/// A formation begins with nothing once, and then by a restore only: a name that is wrong must not give empty databases.
///
/// # Errors
/// No node of the formation that the file names exists, but others do, or it cannot be the first one.
pub(crate) fn is_where_it_was(platform: &Platform, facts: &Facts) -> Result<(), RoleError> {
    let Some(postgres) = &platform.postgres else { return Ok(()) };
    let begins = !platform.postgres_nodes().any(|node| facts.databases.contains(&node.name));
    if begins && (postgres.formation.is_some() || !facts.databases.is_empty()) {
        return Err(RoleError::OtherFormation {
            asked: postgres.formation.clone(),
            nodes: facts.databases.iter().cloned().collect::<Vec<_>>().join(", "),
        });
    }
    Ok(())
}

/// Of a node, or of the monitor.
pub(crate) fn steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let Some(postgres) = &platform.postgres else { return Ok(Vec::new()) };
    let of = Member { platform, facts, postgres, own };
    let mut groups = vec![of.install()?];
    if of.is_monitor() {
        groups.push(of.monitor()?);
    } else {
        groups.extend([of.node()?, of.rolling(), exporter()]);
    }
    groups.push(metrics("postgres/state", "PostgreSQL", "postgres", Some("unstick"))?);
    let mut items: Vec<LineItem> = groups.into_iter().flat_map(Group::into_items).collect();
    if !of.is_monitor() {
        items.extend(backup::steps(platform, facts, own)?);
    }
    Ok(items)
}

/// Has another node be the primary, where this one is.
pub(crate) fn hand_over() -> Vec<LineItem> {
    let mut group = Group::new("postgres/switchover");
    group.step("hand-over", "have another node be the primary", postgres("hand-over", &[], 90_000));
    group.into_items()
}

/// Brings a node back whose state leads nowhere.
pub(crate) fn rejoin() -> Vec<LineItem> {
    let mut group = Group::new("postgres/rejoin");
    group.step("rejoin", "rewind it, or else build it anew", postgres("rejoin", &[], 6 * 3_600_000));
    group.into_items()
}

/// A node, or the monitor, of which there is a line.
struct Member<'a> {
    platform: &'a Platform,
    facts: &'a Facts,
    postgres: &'a Postgres,
    own: &'a Instance,
}

impl Member<'_> {
    fn is_monitor(&self) -> bool {
        self.own.role == Role::PostgresMonitor
    }

    fn install(&self) -> Result<Group, RoleError> {
        let mut group = Group::new("postgres/install");
        group.packages("install PostgreSQL and pg_auto_failover", &packages(self.postgres));
        group.scripts(&[("postgres", include_str!("postgres.py"))]);
        if self.postgres.backup.is_some() && !self.is_monitor() {
            group.scripts(&backup::SCRIPTS);
        }
        group.step("debian", "keep Debian's own cluster out of the way", masked("postgresql.service"));
        let data = |path: &str, mode| {
            let (owner, group) = ("postgres".to_owned(), "postgres".to_owned());
            Resource::Directory(Directory { path: path.to_owned(), owner, group, mode })
        };
        group.step("data", "let Postgres have its volume", data(HOME, 0o755));
        group.step("settings-folder", "make room for settings", directory(ETC, 0o755));
        group.step("credentials", "make room for passwords", directory(CREDENTIALS, 0o700));
        for (name, secret) in self.secrets() {
            let title = format!("put the secret {secret} in place");
            let path = format!("{CREDENTIALS}/{name}");
            group.step(format!("credential-{name}"), title, secret_file(path, self.facts.secret(&secret)?));
        }
        let certificate = certificates::of_server(self.platform, self.facts, self.own, CERTIFICATE, "postgres")?;
        group.step("certificate", "give it a certificate", certificate);
        group.step("settings", "tell it who the others are", file(SETTINGS, 0o644, self.settings()?));
        group.step("config", "configure Postgres", file(CONFIG, 0o644, self.config()?));
        group.step("hba", "say who may come, and by which proof", file(HBA, 0o644, self.hba()?));
        group.step("ident", "say whom the socket vouches for", file(IDENT, 0o644, include_str!("ident.conf")));
        let unit = context! {
            etc => ETC,
            monitor => self.is_monitor(),
            pgdata => format!("{HOME}/{}", if self.is_monitor() { "monitor" } else { "data" }),
            program => script_path("postgres"),
        };
        let unit = render("bascule-postgres.service.j2", include_str!("bascule-postgres.service.j2"), unit)?;
        group.step("unit", format!("write {UNIT}"), file(UNIT_FILE, 0o644, unit));
        let passwords = self.secrets().into_iter().map(|(name, _)| format!("{CREDENTIALS}/{name}"));
        let reads: Vec<String> = passwords.chain([SETTINGS.to_owned()]).collect();
        let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
        group.step("passfile", "have it come to others by their passwords", postgres("passfile", &reads, 60_000));
        Ok(group)
    }

    fn monitor(&self) -> Result<Group, RoleError> {
        let mut group = Group::new("postgres/monitor");
        group.step("make", "make the monitor", postgres("make", &[], 300_000));
        let unit = running(UNIT, &[UNIT_FILE], &[CONFIG, HBA, IDENT, CERTIFICATE]);
        group.step("service", "run the monitor", unit);
        group.step("answers", "wait until it answers", wait(answers(), Some(UNIT), 60_000));
        let passwords = [format!("{CREDENTIALS}/monitor"), format!("{CREDENTIALS}/pooler")];
        let reads: Vec<&str> = passwords.iter().map(String::as_str).collect();
        group.step("record", "let nodes and poolers in", postgres("record", &reads, 60_000));
        group.reach(ACCEPTS_NODES.to_owned());
        Ok(group)
    }

    fn node(&self) -> Result<Group, RoleError> {
        let mut group = Group::new("postgres/node");
        if self.platform.postgres_monitor().is_some_and(|monitor| self.facts.runs(monitor)) {
            group.wait_for_the_sake_of(&["known", "make", "service"], ACCEPTS_NODES.to_owned());
        } else {
            // Whether it knows a node only the monitor can tell; it may have lost its record.
            group.wait_for(ACCEPTS_NODES.to_owned());
        }
        // The primary is the first to be known again, whichever node it is.
        group.step("known", "have the monitor know it, where it has data", postgres("known", &[SETTINGS], 300_000));
        // The first one that comes to an empty formation is its primary; the others copy what that has by then.
        for before in self.platform.postgres_nodes().take_while(|node| node.name != self.own.name) {
            group.wait_for_the_sake_of(&["make"], accepts(before));
        }
        group.step("make", "make it a node of the formation", postgres("make", &[], 6 * 3_600_000));
        group.step("keeper", "say how long it goes on alone", postgres("keeper", &[SETTINGS], 60_000));
        let unit = running(UNIT, &[], &[CONFIG, HBA, IDENT, CERTIFICATE]);
        group.step("service", "run Postgres and its keeper", unit);
        group.step("answers", "wait until it answers", wait(answers(), Some(UNIT), 120_000));
        let passwords = self.secrets().into_iter().map(|(name, _)| format!("{CREDENTIALS}/{name}"));
        let reads: Vec<String> = passwords.chain([SETTINGS.to_owned()]).collect();
        let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
        group.step("roles", "make databases and roles, on the primary", postgres("roles", &reads, 180_000));
        group.reach(accepts(self.own));
        group.step("member", "wait until it is the primary or follows it", wait(looks("member"), Some(UNIT), 600_000));
        Ok(group)
    }

    fn rolling(&self) -> Group {
        let mut group = Group::new("postgres/restart");
        let passed = |node: &Instance| format!("{}: its turn as a standby is over", node.name);
        let restart = |verb: &str| postgres(verb, &[CONFIG, UNIT_FILE], 600_000);
        group.take(STANDBY_LEASE);
        group.step("standby", "restart it, where that is due and it is a standby", restart("restart-standby"));
        group.release(STANDBY_LEASE);
        group.reach(passed(self.own));
        for node in self.platform.postgres_nodes() {
            group.wait_for_the_sake_of(&["primary"], passed(node));
        }
        group.take(PRIMARY_LEASE);
        group.step("primary", "hand over and restart it, where that is still due", restart("restart-primary"));
        group.step("noted", "note what it runs with", postgres("noted", &[UNIT_FILE], 60_000));
        group.release(PRIMARY_LEASE);
        group
    }

    /// Files of passwords, and the secrets that they hold.
    fn secrets(&self) -> Vec<(String, String)> {
        let own = |name: &str, secret: &str| (name.to_owned(), secret.to_owned());
        let mut all = vec![own("monitor", Postgres::MONITOR_PASSWORD), own("pooler", Postgres::POOLER_PASSWORD)];
        if !self.is_monitor() {
            all.push(own("replication", Postgres::REPLICATION_PASSWORD));
            all.extend(passwords(self.postgres).into_iter().map(|password| (password.file, password.secret)));
        }
        all
    }

    fn settings(&self) -> Result<String, RoleError> {
        let settings = serde_json::json!({
            "own": self.own.name,
            "address": self.facts.address(self.own)?.to_string(),
            "kind": if self.is_monitor() { "monitor" } else { "node" },
            "formation": self.postgres.formation.as_deref().unwrap_or(FIRST_FORMATION),
            "monitor": monitor_address(self.platform, self.facts)?,
            "nodes": nodes(self.platform, self.facts)?,
            "network_partition_timeout_s": partition_timeout_s(self.postgres.detection),
            "databases": databases(self.postgres),
        });
        Ok(format!("{settings:#}\n"))
    }

    fn config(&self) -> Result<String, RoleError> {
        let given = self.own.memory.as_ref().and(self.postgres.memory_bytes).map(|bytes| bytes / MIB);
        let memory_mib = if self.is_monitor() { 256 } else { given.unwrap_or(MEMORY_MIB) };
        let connections_max = connections_max(self.platform, self.postgres);
        let volume_mib = self.postgres.volume_bytes / MIB;
        let context = context! {
            etc => ETC,
            authority => AUTHORITY_FILE,
            monitor => self.is_monitor(),
            detection => detection(self.postgres.detection),
            shared_buffers_mib => memory_mib / 4,
            cache_mib => memory_mib * 3 / 4,
            maintenance_mib => (memory_mib / 16).min(1024),
            // Half of the memory, if every connection sorted twice at once.
            work_kib => (memory_mib * 1024 / 4 / connections_max).max(1024),
            connections_max,
            archive_command => self.postgres.backup.as_ref().map(|_| backup::archive_command(self.postgres)),
            wal_keep_mib => volume_mib / 16,
            wal_slots_mib => volume_mib / 4,
            wal_max_mib => (volume_mib / 16).min(4096),
        };
        render("postgres.conf.j2", include_str!("postgres.conf.j2"), context)
    }

    fn hba(&self) -> Result<String, RoleError> {
        let addresses = |instances: Vec<&Instance>| -> Result<Vec<String>, RoleError> {
            instances.into_iter().map(|instance| Ok(self.facts.address(instance)?.to_string())).collect()
        };
        let context = Hba {
            monitor: self.is_monitor(),
            monitor_address: monitor_address(self.platform, self.facts)?,
            nodes: addresses(self.platform.postgres_nodes().collect())?,
            poolers: addresses(self.platform.poolers().collect())?,
            databases: &self.postgres.databases,
        };
        render("hba.conf.j2", include_str!("hba.conf.j2"), context)
    }
}

/// Who may come.
#[derive(Serialize)]
struct Hba<'a> {
    monitor: bool,
    monitor_address: String,
    nodes: Vec<String>,
    poolers: Vec<String>,
    databases: &'a [Database],
}

/// What no exporter knows, told to node_exporter every 15 seconds, by a program of the platform's, which does something else before.
fn metrics(group: &'static str, what: &str, program: &str, before: Option<&str>) -> Result<Group, RoleError> {
    let mut group = Group::new(group);
    let unit = |kind: &str| format!("bascule-{program}-metrics.{kind}");
    let path = |kind: &str| format!("/etc/systemd/system/{}", unit(kind));
    let context = context! { what, before, program => script_path(program) };
    let service = render("metrics.service.j2", include_str!("metrics.service.j2"), context.clone())?;
    group.step("unit", format!("tell node_exporter how {what} is"), file(path("service"), 0o644, service));
    let timer = render("metrics.timer.j2", include_str!("metrics.timer.j2"), context)?;
    group.step("every", "say how often", file(path("timer"), 0o644, timer));
    let inputs = [path("timer"), path("service")];
    let inputs = [inputs[0].as_str(), inputs[1].as_str()];
    group.step("timer", "tell it every 15 seconds", running(unit("timer"), &inputs, &[]));
    Ok(group)
}

/// An exporter for Prometheus, on loopback.
fn exporter() -> Group {
    let mut group = Group::new("postgres/metrics");
    let unit = include_str!("postgres-exporter.service");
    group.step("unit", "have the exporter ask this Postgres", file(EXPORTER_DROP_IN, 0o644, unit));
    group.step("service", "run the exporter", running(EXPORTER_UNIT, &[EXPORTER_DROP_IN], &[]));
    group
}

/// The same on nodes and monitor, so that they share an image.
fn packages(postgres: &Postgres) -> Vec<&'static str> {
    let mut packages = vec![
        "pg-auto-failover-cli",
        "postgresql-17",
        "postgresql-17-auto-failover",
        "prometheus-postgres-exporter",
        "python3-psycopg2",
    ];
    if postgres.backup.is_some() {
        // Public authorities vouch for a store of somebody else's.
        packages.extend(["ca-certificates", "pgbackrest"]);
    }
    packages
}

fn masked(name: &str) -> Resource {
    let (inputs, reload_inputs) = (Vec::new(), Vec::new());
    Resource::Unit(Unit { name: name.to_owned(), state: UnitState::Masked, inputs, reload_inputs })
}

/// Somebody who logs in with a password.
pub(crate) struct Password {
    /// The role.
    pub(crate) user: String,
    /// The file's name, where passwords are.
    pub(crate) file: String,
    pub(crate) secret: String,
}

/// Of all who come through the poolers to a database of the platform file.
pub(crate) fn passwords(postgres: &Postgres) -> Vec<Password> {
    let of_user = |user: &String| Password {
        user: user.clone(),
        file: format!("user-{user}"),
        secret: Postgres::password_of(user),
    };
    let of_migration = |database: &Database| Password {
        user: migrator(database),
        file: format!("migrate-{}", database.name),
        secret: Postgres::migration_password_of(&database.name),
    };
    let users = postgres.databases.iter().flat_map(|database| database.users.iter().map(of_user));
    users.chain(postgres.databases.iter().map(of_migration)).collect()
}

/// Who changes the shape of a database. The program `postgres` calls it the same.
pub(crate) fn migrator(database: &Database) -> String {
    format!("{}_migrate", database.name)
}

/// Nodes, by name.
fn nodes(platform: &Platform, facts: &Facts) -> Result<serde_json::Value, RoleError> {
    let address = |node: &Instance| Ok((node.name.clone(), facts.address(node)?.to_string().into()));
    let nodes = platform.postgres_nodes().map(address).collect::<Result<_, RoleError>>()?;
    Ok(serde_json::Value::Object(nodes))
}

fn databases(postgres: &Postgres) -> serde_json::Value {
    let database = |database: &Database| {
        (database.name.clone(), serde_json::json!({ "users": database.users, "extensions": database.extensions }))
    };
    serde_json::Value::Object(postgres.databases.iter().map(database).collect())
}

fn monitor_address(platform: &Platform, facts: &Facts) -> Result<String, RoleError> {
    let address = platform.postgres_monitor().map(|monitor| facts.address(monitor)).transpose()?;
    Ok(address.map(|address| address.to_string()).unwrap_or_default())
}

/// What poolers may have at most, and what is left for replication, the monitor's looks, exporters and operators. In steps of
/// 200: a standby must never have fewer than its primary, and so the number should seldom become smaller.
fn connections_max(platform: &Platform, postgres: &Postgres) -> u64 {
    const OTHERS: usize = 30;
    let of_poolers = platform.poolers().count() * (pooler::POOL + pooler::RESERVE) * postgres.databases.len();
    ((of_poolers + OTHERS) as u64).next_multiple_of(200)
}

/// A primary that sees neither the monitor nor a standby ends after so long: before a standby is promoted.
fn partition_timeout_s(detection: FailoverDetection) -> u32 {
    match detection {
        FailoverDetection::Fast => 2,
        FailoverDetection::Normal => 4,
        FailoverDetection::Safe => 20,
    }
}

/// Settings of the monitor, in milliseconds but for the number of tries.
fn detection(detection: FailoverDetection) -> [(&'static str, u32); 6] {
    let [period, timeout, retry_delay, unhealthy, demote] = match detection {
        FailoverDetection::Fast => [500, 500, 250, 2_000, 1_500],
        FailoverDetection::Normal => [1_000, 1_000, 500, 4_000, 4_000],
        // Its own defaults.
        FailoverDetection::Safe => [5_000, 5_000, 2_000, 20_000, 30_000],
    };
    [
        ("health_check_period", period),
        ("health_check_timeout", timeout),
        ("health_check_retry_delay", retry_delay),
        ("health_check_max_retries", 2),
        ("node_considered_unhealthy_timeout", unhealthy),
        ("primary_demote_timeout", demote),
    ]
}

fn postgres(verb: &str, reads: &[&str], timeout_ms: u64) -> Resource {
    let argv = |mode: &str| vec![script_path("postgres"), verb.to_owned(), mode.to_owned()];
    let reads = reads.iter().map(|path| (*path).to_owned()).collect();
    Resource::Command(Command { argv: argv("apply"), unless: argv("check"), reads, env: BTreeMap::new(), timeout_ms })
}

/// Whether Postgres accepts connections on its own machine: by a program of its own, which is quicker than one in Python.
fn answers() -> Probe {
    let argv = ["/usr/lib/postgresql/17/bin/pg_isready", "--quiet", "--host=/var/run/postgresql"];
    Probe::Command { argv: argv.map(str::to_owned).to_vec() }
}

fn looks(verb: &str) -> Probe {
    Probe::Command { argv: vec![script_path("postgres"), verb.to_owned()] }
}
