//! Backups of PostgreSQL to a bucket of the store, by pgBackRest.
//!
//! All nodes are set up alike, and the program `backup` asks each time who is the primary: that one makes the place in the
//! repository, sends the log, and makes the backup that is due. So nothing has to be changed after a failover. What is due is
//! read from the repository, on every quarter of an hour: whatever was missed is made up for.
//!
//! Nodes come to the store as [`Backup::WRITER`]; an instance that restores comes as [`Backup::READER`], by the same steps.

use std::collections::BTreeMap;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{Command, LineItem, Resource};
use bascule_spec::{Backup, Instance, Platform, Postgres, Store};
use minijinja::context;

use super::{CREDENTIALS, HOME, postgres};
use crate::group::{Group, directory, file, running, script_path, secret_file};
use crate::template::render;
use crate::{Facts, RoleError, line, store};

pub(super) const SCRIPT: (&str, &str) = ("backup", include_str!("backup.py"));
const ARCHIVE: (&str, &str) = ("archive", include_str!("archive.sh"));
/// What a node needs.
pub(super) const SCRIPTS: [(&str, &str); 2] = [SCRIPT, ARCHIVE];
const ETC: &str = "/etc/pgbackrest";
const CONFIG: &str = "/etc/pgbackrest/pgbackrest.conf";
const REPOSITORY: &str = "/etc/pgbackrest/bascule.json";
/// Written by the program, of a key and the passphrase. Before it is there nothing is archived.
const SECRETS: &str = "/etc/pgbackrest/conf.d/secrets.conf";
/// A piece of the log, as PostgreSQL makes them where nothing else was said to `initdb`.
const SEGMENT_BYTES: u64 = 16 << 20;

/// What Postgres gives a piece of its log to. Before there is a way to the repository, and so any backup, it is of use to nobody.
pub(super) fn archive_command(postgres: &Postgres) -> String {
    let stanza = stanza(postgres.formation.as_deref());
    let segments_max = queue_max_bytes(postgres) / SEGMENT_BYTES;
    format!("test ! -e {SECRETS} || exec {} {stanza} {segments_max} \"%p\"", script_path(ARCHIVE.0))
}

/// What pgBackRest calls the backups of a formation. Each has its own: two histories in one place would overwrite each other.
pub fn stanza(formation: Option<&str>) -> &str {
    formation.unwrap_or("main")
}

/// The most of the log that waits for a repository that is away, in bytes. The half of what a standby may keep from going.
fn queue_max_bytes(postgres: &Postgres) -> u64 {
    postgres.volume_bytes / 8
}

/// Of a node.
pub(super) fn steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let mut group = Group::new("postgres/backup");
    let Some(repository) = Repository::of(platform) else {
        group.step("off", "keep nothing of backups that were made before", postgres("no-backups", &[], 60_000));
        return Ok(group.into_items());
    };
    let of = platform.postgres.as_ref().and_then(|postgres| postgres.formation.as_deref());
    repository.steps(&mut group, platform, facts, Backup::WRITER, of)?;
    group.reach(line::healthy(own));
    let place = backup("stanza", &[SECRETS, REPOSITORY], 300_000);
    group.step("stanza", "have a place in the repository", place);
    for (id, title, what, files) in [
        (
            "due",
            "make the backups that are due, on the primary",
            "bascule-backup",
            [include_str!("bascule-backup.service"), include_str!("bascule-backup.timer")],
        ),
        (
            "metrics",
            "tell node_exporter how backups are",
            "bascule-backup-metrics",
            [include_str!("bascule-backup-metrics.service"), include_str!("bascule-backup-metrics.timer")],
        ),
    ] {
        let path = |kind: &str| format!("/etc/systemd/system/{what}.{kind}");
        let (service, timer) = (path("service"), path("timer"));
        group.step(format!("{id}-unit"), format!("write {what}.service"), file(&service, 0o644, files[0]));
        group.step(format!("{id}-every"), format!("write {what}.timer"), file(&timer, 0o644, files[1]));
        group.step(id, title, running(format!("{what}.timer"), &[&timer], &[]));
    }
    Ok(group.into_items())
}

/// Where backups are.
pub(super) struct Repository<'a> {
    postgres: &'a Postgres,
    backup: &'a Backup,
    store: &'a Store,
}

impl<'a> Repository<'a> {
    pub(super) fn of(platform: &'a Platform) -> Option<Self> {
        Some(Self {
            postgres: platform.postgres.as_ref()?,
            backup: platform.backup()?,
            store: platform.store.as_ref()?,
        })
    }

    /// The way to the backups of a formation, for an instance that comes as one of the repository's users.
    pub(super) fn steps(
        &self,
        group: &mut Group,
        platform: &Platform,
        facts: &Facts,
        user: &str,
        formation: Option<&str>,
    ) -> Result<(), RoleError> {
        group.step("folder", "make room for settings of pgBackRest", directory(ETC, 0o755));
        group.step("secrets-folder", "make room for its secrets", directory(format!("{ETC}/conf.d"), 0o755));
        let (endpoint, region) = store::endpoint_and_region(platform, facts, self.store)?;
        let (host, port) = host_and_port(&endpoint);
        let is_own = self.store.cluster().is_some();
        let config = context! {
            bucket => &self.backup.bucket,
            stanza => stanza(formation),
            host,
            port,
            region,
            authority => if is_own { AUTHORITY_FILE } else { "/etc/ssl/certs/ca-certificates.crt" },
            keep_full => self.backup.keep_full,
            keep_differential => self.backup.keep_differential,
            pgdata => format!("{HOME}/data"),
        };
        let config = render("pgbackrest.conf.j2", include_str!("pgbackrest.conf.j2"), config)?;
        group.step("config", "configure pgBackRest", file(CONFIG, 0o644, config));
        let place = format!("{endpoint}/{}", self.backup.bucket);
        let known = serde_json::json!({ "place": place, "stanza": stanza(formation), "queue_max_bytes": queue_max_bytes(self.postgres) });
        group.step("repository", "say where backups are", file(REPOSITORY, 0o644, format!("{known:#}\n")));
        if let Some(accepted) = store::accepting(platform) {
            group.wait_for_the_sake_of(&["key", "secrets"], accepted);
        }
        let mut paths = Vec::new();
        for (id, secret) in [("key", store::key_of(self.store, user)), ("passphrase", Backup::PASSPHRASE.to_owned())] {
            let path = format!("{CREDENTIALS}/backup-{id}");
            group.step(id, format!("put the secret {secret} in place"), secret_file(&path, facts.secret(&secret)?));
            paths.push(path);
        }
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        group.step("secrets", "have pgBackRest go by them", backup("secrets", &paths, 60_000));
        Ok(())
    }
}

/// Of a URL without a path.
fn host_and_port(endpoint: &str) -> (&str, &str) {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    host.split_once(':').unwrap_or((host, "443"))
}

fn backup(verb: &str, reads: &[&str], timeout_ms: u64) -> Resource {
    let argv = |mode: &str| vec![script_path("backup"), verb.to_owned(), mode.to_owned()];
    let reads = reads.iter().map(|path| (*path).to_owned()).collect();
    Resource::Command(Command { argv: argv("apply"), unless: argv("check"), reads, env: BTreeMap::new(), timeout_ms })
}
