//! PostgreSQL: its instances, its databases, and to whom those are open.

use std::collections::{BTreeMap, BTreeSet};

use super::instances::{Group, members};
use super::services::bytes;
use super::{Context, backup, names};
use crate::platform::Role;
use crate::raw;
use crate::services::{Database, Postgres, Service};

const TABLE: [&str; 1] = ["postgres"];
/// An empty database, and a log of changes that a standby which is away for a moment still finds.
const VOLUME_MIN_GIB: u64 = 4;
/// What Postgres takes with all of its connections, when nobody asks for anything.
const MEMORY_MIN_MIB: u64 = 512;
const MIB: u64 = 1024 * 1024;
/// The longest name that Postgres takes has 63 characters; roles are called after a database.
const NAME_MAX: usize = 50;

pub(super) fn postgres(raw: &raw::Postgres, file: &raw::File, context: &mut Context<'_>) -> Postgres {
    port(raw, file, context);
    let volume = ["postgres", "volume"];
    if !context.is_suspect(&volume) && bytes(&raw.volume) < bytes(&format!("{VOLUME_MIN_GIB}GiB")) {
        let message = format!("a volume of {} is too small for a node of PostgreSQL", raw.volume);
        context.report(&volume, message, format!("set `volume = \"{VOLUME_MIN_GIB}GiB\"` or more"));
    }
    let memory = ["postgres", "memory"];
    let memory_bytes = raw.placement.memory.as_deref().filter(|_| !context.is_suspect(&memory)).map(bytes);
    if let Some(given) = memory_bytes.filter(|given| given / MIB < MEMORY_MIN_MIB) {
        let message = format!("{} MiB of memory is too little for a node of PostgreSQL", given / MIB);
        context.report(&memory, message, format!("set `memory = \"{MEMORY_MIN_MIB}MiB\"` or more"));
    }
    if file.load_balancer.instances >= 2 && file.load_balancer.address.is_none() {
        let message = "the pool is reached through the load balancers, which share no virtual address";
        let help = "set `address` in [load_balancer] to a free address of the subnet";
        context.report(&TABLE, message, help);
    }
    let named = context.keys(&["postgres", "database"]).into_iter();
    let named: Vec<(&str, &raw::Database)> =
        named.filter_map(|name| raw.database.get(name).map(|database| (name, database))).collect();
    let mut databases: Vec<Database> =
        named.iter().map(|(name, database)| self::database(name, database, file, context)).collect();
    one_database_each(&named, context);
    everybody_has_a_database(file, &databases, context);
    databases.sort_by(|a, b| a.name.cmp(&b.name));
    Postgres {
        volume: raw.volume.clone(),
        volume_bytes: bytes(&raw.volume),
        memory_bytes,
        formation: raw.formation.clone(),
        detection: raw.detection,
        port: raw.port,
        databases,
        backup: raw.backup.as_ref().and_then(|raw| backup::backup(raw, file, context)),
    }
}

/// Its instances: nodes, the monitor, poolers.
pub(super) fn groups(raw: &raw::Postgres) -> Vec<Group<'_>> {
    let group = |path: &[&'static str], placement, members: Vec<(String, Role)>, promised| Group {
        path: path.to_vec(),
        count_key: "instances",
        placement,
        members: vec![members],
        quorum: false,
        promised,
    };
    vec![
        group(
            &TABLE,
            &raw.placement,
            members(&Postgres::node_prefix(raw.formation.as_deref()), raw.instances, &Role::Postgres),
            true,
        ),
        group(
            &["postgres", "monitor"],
            &raw.monitor.placement,
            vec![("pg-monitor".to_owned(), Role::PostgresMonitor)],
            false,
        ),
        group(
            &["postgres", "pooler"],
            &raw.pooler.placement,
            members("pooler", raw.pooler.instances, &Role::Pooler),
            true,
        ),
    ]
}

fn port(raw: &raw::Postgres, file: &raw::File, context: &mut Context<'_>) {
    let path = ["postgres", "port"];
    names::port(raw.port, true, &path, context);
    let tls = file.load_balancer.tls.as_ref().map(|tls| tls.port);
    let store = file.store.as_ref().map(|store| store.port);
    if [Some(file.load_balancer.port), tls, store].contains(&Some(raw.port)) {
        let message = format!("port {} is another one's already, on the load balancers", raw.port);
        context.report(&path, message, "choose another port, e.g. 6432");
    }
}

fn database(name: &str, raw: &raw::Database, file: &raw::File, context: &mut Context<'_>) -> Database {
    let table = ["postgres", "database", name];
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_good =
        name.len() <= NAME_MAX && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inner);
    let is_taken = ["postgres", "template0", "template1", "pgbouncer", "pg_auto_failover"].contains(&name);
    if !is_good || is_taken {
        let message = format!("`{name}` is not a name that a database may have here");
        let help = format!("use lower-case letters, digits and `_`, a letter first, {NAME_MAX} at most");
        context.report_key(&table, message, help);
    }
    for (index, user) in raw.users.iter().enumerate() {
        let index = index.to_string();
        let path = ["postgres", "database", name, "users", index.as_str()];
        match uses_postgres(file, user) {
            Some(true) => {}
            Some(false) => {
                let help = format!("add `uses = [\"postgres\"]` to it, or remove `\"{user}\"`");
                context.report(&path, format!("`{user}` does not use PostgreSQL"), help);
            }
            None => {
                let message = format!("`{user}` is no component and no group of the platform");
                context.report(&path, message, "name a [component.NAME] or a [group.NAME]");
            }
        }
    }
    for (index, migrator) in raw.migrators.iter().enumerate() {
        if !raw.users.contains(migrator) {
            let index = index.to_string();
            let message = format!("`{migrator}` changes the shape of `{name}`, but is not among its users");
            let path = ["postgres", "database", name, "migrators", index.as_str()];
            context.report(&path, message, format!("add `\"{migrator}\"` to `users`, or remove it here"));
        }
    }
    for table in raw.expect.keys() {
        let path = ["postgres", "database", name, "expect", table.as_str()];
        let parts: Vec<&str> = table.split('.').collect();
        if parts.len() > 2 || parts.iter().any(|part| part.is_empty()) {
            let message = format!("`{table}` is not the name of a table");
            context.report_key(&path, message, "write `table`, or `schema.table` in quotes");
        }
        if file.postgres.as_ref().is_some_and(|postgres| postgres.backup.is_none()) {
            let message = format!("nobody counts the rows of `{table}`: there are no backups to be restored");
            context.report_key(&path, message, "add [postgres.backup], or remove `expect`");
        }
    }
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
    Database {
        name: name.to_owned(),
        users: set(&raw.users),
        migrators: set(&raw.migrators),
        extensions: set(&raw.extensions),
        expect: raw.expect.clone(),
    }
}

/// Whether somebody of this name uses PostgreSQL; nothing, where there is nobody.
fn uses_postgres(file: &raw::File, user: &str) -> Option<bool> {
    let component = file.component.get(user).map(|component| &component.uses);
    let uses = component.or_else(|| file.group.get(user).map(|group| &group.uses))?;
    Some(uses.contains(&Service::Postgres))
}

/// The database whose shape a component changes.
pub(super) fn migrated_by(file: &raw::File, component: &str) -> Option<String> {
    let mut databases = file.postgres.iter().flat_map(|postgres| &postgres.database);
    let (name, _) = databases.find(|(_, database)| database.migrators.iter().any(|migrator| migrator == component))?;
    Some(name.clone())
}

/// It is told of one place.
fn one_database_each(named: &[(&str, &raw::Database)], context: &mut Context<'_>) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, database) in named {
        for (index, user) in database.users.iter().enumerate() {
            if let Some(other) = owners.insert(user, name).filter(|other| other != name) {
                let index = index.to_string();
                let message = format!("`{user}` has the database `{other}` already");
                let help = "leave it in one of the two: what belongs together is one database, with schemas";
                context.report(&["postgres", "database", name, "users", &index], message, help);
            }
        }
    }
}

/// Who uses PostgreSQL has a database there.
fn everybody_has_a_database(file: &raw::File, databases: &[Database], context: &mut Context<'_>) {
    let components = file.component.iter().map(|(name, component)| ("component", name, &component.uses));
    let groups = file.group.iter().map(|(name, group)| ("group", name, &group.uses));
    for (table, name, uses) in components.chain(groups) {
        let Some(index) = uses.iter().position(|service| *service == Service::Postgres) else { continue };
        if !databases.iter().any(|database| database.users.contains(name)) {
            let index = index.to_string();
            let message = format!("no database is open to `{name}`");
            let help = "add it to the `users` of a [postgres.database.NAME], or remove `\"postgres\"`";
            context.report(&[table, name, "uses", &index], message, help);
        }
    }
}
