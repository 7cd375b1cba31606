//! A restore: a backup, and the log after it, brought to the first node of a formation of its own. Whatever serves is left alone.
//!
//! The node is made like any other, but its Postgres is a server that belongs to nobody, and that archives nothing, until the
//! platform file names the formation. Then `up` has it be that formation's first node, and gives it standbys.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_plan::{Command, LineItem, Resource};
use bascule_spec::{Backup, Instance, Platform, Postgres, Role};
use minijinja::context;

use super::backup::{Repository, stanza};
use super::{ETC, HOME, Member};
use crate::group::{Group, file, script_path};
use crate::template::render;
use crate::{Facts, RoleError};

pub(super) const SCRIPT: (&str, &str) = ("restore", include_str!("restore.py"));
const WANTED: &str = "/etc/postgresql/bascule/restore.json";
const CONFIG: &str = "/etc/postgresql/bascule/restored.conf";
const HBA: &str = "/etc/postgresql/bascule/restored-hba.conf";
const UNIT: &str = "bascule-restored.service";
const UNIT_FILE: &str = "/etc/systemd/system/bascule-restored.service";

/// Up to where the log is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To its end.
    Newest,
    /// To a moment, as PostgreSQL reads it, with its offset from UTC.
    Time(String),
    /// To a position in the log: `0/3000060`.
    Lsn(String),
    /// No further than this backup needs to be whole.
    Backup(String),
}

impl Target {
    /// As the programs `backup` and `restore` are told of it: its kind, and which.
    pub fn told(&self) -> [&str; 2] {
        match self {
            Self::Newest => ["default", ""],
            Self::Time(time) => ["time", time],
            Self::Lsn(lsn) => ["lsn", lsn],
            Self::Backup(label) => ["backup", label],
        }
    }
}

/// The platform as it would be with another formation, whose first node has an address already.
pub fn beside(platform: &Platform, formation: &str, address: Ipv4Addr) -> Platform {
    let mut platform = platform.clone();
    let prefix = Postgres::node_prefix(Some(formation));
    let nodes = platform.instances.iter_mut().filter(|instance| instance.role == Role::Postgres);
    for (node, number) in nodes.zip(1..) {
        node.name = format!("{prefix}-{number}");
        node.address = (number == 1).then_some(address);
    }
    if let Some(postgres) = &mut platform.postgres {
        postgres.formation = Some(formation.to_owned());
    }
    platform
}

/// Of the first node of a formation, in a platform that has it. `from` is the formation that was backed up.
pub(crate) fn steps(
    platform: &Platform,
    facts: &Facts,
    own: &Instance,
    from: Option<&str>,
    target: &Target,
) -> Result<Vec<LineItem>, RoleError> {
    let (Some(postgres), Some(repository)) = (&platform.postgres, Repository::of(platform)) else {
        return Err(RoleError::NoBackups);
    };
    let mut install = Member { platform, facts, postgres, own }.install()?;
    install.scripts(&[SCRIPT]);
    let mut group = Group::new("postgres/restore");
    repository.steps(&mut group, platform, facts, Backup::READER, from)?;
    steps_of_recovery(&mut group);
    let unit = context! { etc => ETC, pgdata => format!("{HOME}/data") };
    let unit = render("bascule-restored.service.j2", include_str!("bascule-restored.service.j2"), unit)?;
    group.step("unit", format!("write {UNIT}"), file(UNIT_FILE, 0o644, unit));
    let [kind, target] = target.told();
    let wanted = serde_json::json!({ "stanza": stanza(from), "kind": kind, "target": target });
    group.step("wanted", "say what is to be restored", file(WANTED, 0o644, format!("{wanted:#}\n")));
    group.step("restore", "restore it", restore());
    let mut items: Vec<LineItem> = [install, group].into_iter().flat_map(Group::into_items).collect();
    // Nobody is waited for: the store knows the key already, or the restore fails.
    items.retain(|item| matches!(item, LineItem::Step(_)));
    Ok(items)
}

/// How a server is set up that was restored, while the log is applied to it: it listens to nobody.
pub(super) fn steps_of_recovery(group: &mut Group) {
    group.step("recovery", "configure Postgres for its recovery", file(CONFIG, 0o644, include_str!("restored.conf")));
    group.step(
        "recovery-hba",
        "let in nobody but its own machine",
        file(HBA, 0o644, include_str!("restored-hba.conf")),
    );
}

fn restore() -> Resource {
    let argv = |mode: &str| vec![script_path("restore"), mode.to_owned()];
    let reads = vec![WANTED.to_owned()];
    let timeout_ms = 24 * 3_600_000;
    Resource::Command(Command { argv: argv("apply"), unless: argv("check"), reads, env: BTreeMap::new(), timeout_ms })
}
