//! An instance of its own on which a backup is restored and looked at: it lives for as long as that takes.
//!
//! It is none of the platform's, so that no other verb knows it: its address is one of those that DHCP gives. It has what a
//! node has, so that it is made of the same image, but no unit that would run Postgres: the program `restore` does, which
//! listens to nobody, and comes to the repository as somebody who may only read.

use std::collections::BTreeMap;

use bascule_plan::{Directory, Line, LineItem, Resource, Volume};
use bascule_spec::{Backup, Instance, Platform, Postgres, Role};

use super::{CREDENTIALS, ETC, HOME, IDENT, backup, restore};
use crate::group::{Group, directory, file};
use crate::line::{self, Making};
use crate::{Facts, RoleError, common};

/// The instance of a drill.
pub const DRILL: &str = "pg-drill";
/// The key of an instance's configuration that says that it is gone with the run that made it, and its volumes with it.
pub const EPHEMERAL: &str = "user.bascule.ephemeral";
const EXPECTED: &str = "/etc/pgbackrest/expected.json";

/// Its line: made, and with a way to the repository.
pub(crate) fn line(platform: &Platform, facts: &Facts) -> Result<Line, RoleError> {
    let (Some(postgres), Some(repository)) = (&platform.postgres, backup::Repository::of(platform)) else {
        return Err(RoleError::NoBackups);
    };
    let own = instance(platform);
    let mut facts = facts.clone();
    facts.addresses.insert(own.name.clone(), *platform.network.dynamic().end());
    // What an earlier drill left is removed before it is made.
    facts.instances.remove(&own.name);
    let mut items = common::steps(platform, &facts, &own)?;
    items.extend(install(postgres).into_items());
    let mut group = Group::new("drill/repository");
    repository.steps(&mut group, platform, &facts, Backup::READER, postgres.formation.as_deref())?;
    group.step("expected", "say what has to be there", file(EXPECTED, 0o644, expected(postgres)));
    items.extend(group.into_items());
    // Nobody is waited for: the store knows the key already, or the drill fails.
    items.retain(|item| matches!(item, LineItem::Step(_)));
    let mut line = line::line(platform, &facts, &own, Making::Missing, items)?;
    if let Some(machine) = &mut line.machine {
        machine.volumes.push(Volume {
            name: format!("{DRILL}-data"),
            path: HOME.to_owned(),
            size: postgres.volume.clone(),
        });
        machine.config.insert(EPHEMERAL.to_owned(), "true".to_owned());
        machine.config.insert("user.bascule.role".to_owned(), "drill".to_owned());
        machine.reason = "a backup is restored on it".to_owned();
    }
    Ok(line)
}

/// As large as a node, and on the host of the last one.
fn instance(platform: &Platform) -> Instance {
    let like = platform.postgres_nodes().last();
    Instance {
        name: DRILL.to_owned(),
        role: Role::Plain { group: DRILL.to_owned(), uses: [].into() },
        host: like.and_then(|node| node.host.clone()),
        address: None,
        memory: like.and_then(|node| node.memory.clone()),
        cpus: like.and_then(|node| node.cpus),
    }
}

fn install(postgres: &Postgres) -> Group {
    let mut group = Group::new("drill/install");
    group.packages("install PostgreSQL and pgBackRest", &super::packages(postgres));
    group.scripts(&[("postgres", include_str!("postgres.py")), backup::SCRIPT, restore::SCRIPT]);
    group.step("debian", "keep Debian's own cluster out of the way", super::masked("postgresql.service"));
    let (owner, of) = ("postgres".to_owned(), "postgres".to_owned());
    let data = Resource::Directory(Directory { path: HOME.to_owned(), owner, group: of, mode: 0o755 });
    group.step("data", "let Postgres have its volume", data);
    group.step("settings-folder", "make room for settings", directory(ETC, 0o755));
    group.step("credentials", "make room for passwords", directory(CREDENTIALS, 0o700));
    restore::steps_of_recovery(&mut group);
    group.step("ident", "say whom the socket vouches for", file(IDENT, 0o644, include_str!("ident.conf")));
    group
}

/// How many rows a table has at least, by database.
fn expected(postgres: &Postgres) -> String {
    let databases: BTreeMap<&str, _> =
        postgres.databases.iter().map(|database| (database.name.as_str(), &database.expect)).collect();
    let expected = serde_json::json!({ "databases": databases });
    format!("{expected:#}\n")
}
