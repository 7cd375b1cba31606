//! PgBouncer, with a program beside it that has it use the primary and nobody else.
//!
//! All clients come through the load balancers to a pooler. The program `pooler` follows the monitor: when that takes the
//! primary's place away, the pooler leaves the node before it uses another one, so that a node which was frozen, or cut off, has
//! no client any more by the time when it wakes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{Command, LineItem, Probe, Resource};
use bascule_spec::{Instance, Platform, Postgres};
use minijinja::context;

use super::{accepts, metrics, migrator, monitor_address, nodes, passwords};
use crate::group::{Group, directory, file, running, script_path, secret_file, wait};
use crate::template::render;
use crate::{Facts, RoleError, certificates};

/// Where a pooler listens.
pub(crate) const PORT: u16 = 6432;
/// Where the program beside it tells whether it works. Named in that program, too.
pub(crate) const HEALTH_PORT: u16 = 6433;
/// Connections that a pooler has of each database, and those that it makes when clients have waited for three seconds.
pub(crate) const POOL: usize = 50;
pub(crate) const RESERVE: usize = 10;
const CLIENTS_MAX: u32 = 1_000;
/// A name that all of them have, for who compares no addresses.
const NAME: &str = "postgres.incus";

const CREDENTIALS: &str = "/etc/pgbouncer/credentials";
const SETTINGS: &str = "/etc/pgbouncer/bascule.json";
const CONFIG: &str = "/etc/pgbouncer/bascule.ini";
const CERTIFICATE: &str = "/etc/pgbouncer/tls.pem";
const USERS: &str = "/var/lib/pgbouncer/users.txt";
const UNIT: &str = "pgbouncer.service";
const DROP_IN: &str = "/etc/systemd/system/pgbouncer.service.d/bascule.conf";
const FOLLOWER: &str = "bascule-pooler.service";
const FOLLOWER_FILE: &str = "/etc/systemd/system/bascule-pooler.service";
const EXPORTER_UNIT: &str = "prometheus-pgbouncer-exporter.service";
const EXPORTER_DROP_IN: &str = "/etc/systemd/system/prometheus-pgbouncer-exporter.service.d/bascule.conf";

/// Poolers restart one at a time.
pub(crate) const LEASE: &str = "roll pooler";

/// A pooler accepts whom the platform names, by the passwords that the environment has now.
fn accepts_users(pooler: &Instance) -> String {
    format!("{}: accepts users", pooler.name)
}

/// What a component that uses PostgreSQL has to wait for before it comes with its password.
pub(crate) fn accepting(platform: &Platform) -> impl Iterator<Item = String> {
    platform.poolers().map(accepts_users)
}

pub(crate) fn steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let Some(postgres) = &platform.postgres else { return Ok(Vec::new()) };
    let mut install = Group::new("pooler/install");
    install.packages("install PgBouncer", &["pgbouncer", "prometheus-pgbouncer-exporter", "python3-psycopg2"]);
    install.scripts(&[("pooler", include_str!("pooler.py"))]);
    install.step("credentials", "make room for passwords", directory(CREDENTIALS, 0o700));
    let mut secrets: Vec<(String, String)> =
        passwords(postgres).into_iter().map(|password| (password.file, password.secret)).collect();
    secrets.push(("pooler".to_owned(), Postgres::POOLER_PASSWORD.to_owned()));
    for (name, secret) in &secrets {
        let title = format!("put the secret {secret} in place");
        install.step(
            format!("credential-{name}"),
            title,
            secret_file(format!("{CREDENTIALS}/{name}"), facts.secret(secret)?),
        );
    }
    let names = [certificates::name(own), own.name.clone(), NAME.to_owned()];
    let mut addresses = front_addresses(platform, facts)?;
    addresses.extend([facts.address(own)?, Ipv4Addr::LOCALHOST]);
    let certificate = certificates::issued(platform, CERTIFICATE, "postgres", names.to_vec(), addresses)?;
    install.step("certificate", "give it a certificate", certificate);
    install.step(
        "settings",
        "tell it who the nodes are",
        file(SETTINGS, 0o644, settings(platform, facts, postgres, own)?),
    );
    let config = context! {
        authority => AUTHORITY_FILE,
        certificate => CERTIFICATE,
        clients_max => CLIENTS_MAX,
        pool => POOL,
        reserve => RESERVE,
        databases => postgres.databases.iter().map(|database| database.name.clone()).collect::<Vec<_>>(),
    };
    let config = render("pgbouncer.ini.j2", include_str!("pgbouncer.ini.j2"), config)?;
    install.step("config", "configure PgBouncer", file(CONFIG, 0o644, config));
    let unit = context! { credentials => CREDENTIALS, program => script_path("pooler") };
    let drop_in = render("pgbouncer.service.j2", include_str!("pgbouncer.service.j2"), unit.clone())?;
    install.step("unit", "have it start with the primary that there is", file(DROP_IN, 0o644, drop_in));
    let follower = render("bascule-pooler.service.j2", include_str!("bascule-pooler.service.j2"), unit)?;
    install.step("follower-unit", format!("write {FOLLOWER}"), file(FOLLOWER_FILE, 0o644, follower));

    let mut service = Group::new("pooler/service");
    let reads = secrets.iter().map(|(name, _)| format!("{CREDENTIALS}/{name}")).chain([SETTINGS.to_owned()]).collect();
    let argv = |mode: &str| vec![script_path("pooler"), "users".to_owned(), mode.to_owned()];
    let users = Command { argv: argv("apply"), unless: argv("check"), reads, env: BTreeMap::new(), timeout_ms: 60_000 };
    service.step("users", "tell it how users prove who they are", Resource::Command(users));
    for node in platform.postgres_nodes() {
        service.wait_for_the_sake_of(&["service", "follower", "write"], accepts(node));
    }
    service.take(LEASE);
    let inputs = [DROP_IN, &format!("{CREDENTIALS}/pooler")];
    let reload_inputs = [CONFIG, USERS, CERTIFICATE];
    service.step("service", "run PgBouncer", running(UNIT, &inputs, &reload_inputs));
    let inputs = [FOLLOWER_FILE, SETTINGS, &script_path("pooler"), &format!("{CREDENTIALS}/pooler")];
    service.step("follower", "have it follow the primary", running(FOLLOWER, &inputs, &[]));
    let write = Probe::Command { argv: vec![script_path("pooler"), "ready".to_owned()] };
    service.step("write", "wait until a write through it is kept", wait(write, Some(FOLLOWER), 120_000));
    service.release(LEASE);
    service.reach(accepts_users(own));

    let mut exporter = Group::new("pooler/metrics");
    let unit = include_str!("pgbouncer-exporter.service");
    exporter.step("unit", "have the exporter ask this PgBouncer", file(EXPORTER_DROP_IN, 0o644, unit));
    exporter.step("service", "run the exporter", running(EXPORTER_UNIT, &[EXPORTER_DROP_IN], &[]));
    let writes = metrics("pooler/writes", "writing through the pooler", "pooler", None)?;
    Ok([install, service, exporter, writes].into_iter().flat_map(Group::into_items).collect())
}

fn settings(platform: &Platform, facts: &Facts, postgres: &Postgres, own: &Instance) -> Result<String, RoleError> {
    let users = passwords(postgres).into_iter().map(|password| (password.user, password.file.into())).collect();
    let settings = serde_json::json!({
        "own": own.name,
        "monitor": monitor_address(platform, facts)?,
        "nodes": nodes(platform, facts)?,
        "databases": postgres.databases.iter().map(|database| database.name.as_str()).collect::<Vec<_>>(),
        "users": serde_json::Value::Object(users),
    });
    Ok(format!("{settings:#}\n"))
}

/// Where clients come: at the load balancers, which hand on what is encrypted for a pooler.
fn front_addresses(platform: &Platform, facts: &Facts) -> Result<Vec<Ipv4Addr>, RoleError> {
    let own = platform.load_balancers().map(|load_balancer| facts.address(load_balancer));
    let own = own.collect::<Result<Vec<_>, _>>()?;
    Ok(platform.load_balancer.address.into_iter().chain(own).collect())
}

/// What a component that uses PostgreSQL is told, beside its password. The names are those that libpq reads by itself.
pub(crate) fn environment(
    platform: &Platform,
    facts: &Facts,
    user: &str,
) -> Result<Vec<(&'static str, String)>, RoleError> {
    let Some((postgres, database)) =
        platform.postgres.as_ref().and_then(|postgres| Some((postgres, postgres.database_of(user)?)))
    else {
        return Ok(Vec::new());
    };
    let host = front_addresses(platform, facts)?.first().copied().unwrap_or(Ipv4Addr::LOCALHOST);
    let url = |user: &str| {
        let (port, name) = (postgres.port, &database.name);
        format!("postgres://{user}@{host}:{port}/{name}?sslmode=verify-full&sslrootcert={AUTHORITY_FILE}")
    };
    let mut variables = vec![
        ("DATABASE_URL", url(user)),
        ("PGHOST", host.to_string()),
        ("PGPORT", postgres.port.to_string()),
        ("PGDATABASE", database.name.clone()),
        ("PGUSER", user.to_owned()),
        ("PGSSLMODE", "verify-full".to_owned()),
        ("PGSSLROOTCERT", AUTHORITY_FILE.to_owned()),
    ];
    if database.migrators.contains(user) {
        variables.push(("MIGRATION_DATABASE_URL", url(&migrator(database))));
    }
    Ok(variables)
}
