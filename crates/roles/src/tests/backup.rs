//! Backups of PostgreSQL: who gets to the store with which key, and what Postgres is told.

use std::collections::BTreeSet;

use bascule_plan::{Content, LineItem, MachineAction, Plan, Resource};
use bascule_spec::{Access, Backup, ExternalStore, Platform, StoreEngine, Topology};

use super::files::text;
use super::platforms::{platform, running, store, with_services};
use crate::{DRILL, EPHEMERAL, Facts, drill, up};

const CONFIG: &str = "/etc/pgbackrest/pgbackrest.conf";

fn backed_up() -> Platform {
    let mut platform = with_services(platform(Topology::MultiInstance, 2, &[2]));
    let access = [("api", Access::Write), (Backup::WRITER, Access::Write), (Backup::READER, Access::Read)];
    platform.store = Some(store(2, "backups", access.map(|(user, may)| (user.to_owned(), may))));
    let backup = Backup { bucket: "backups".to_owned(), keep_full: 4, keep_differential: 7 };
    platform.postgres.as_mut().unwrap().backup = Some(backup);
    platform
}

fn planned(platform: &Platform, facts: &Facts) -> Plan {
    let plan = up(platform, facts).unwrap();
    plan.check().unwrap();
    plan
}

fn items<'a>(plan: &'a Plan, instance: &str) -> &'a [LineItem] {
    &plan.lines.iter().find(|line| line.instance == instance).unwrap().items
}

fn place(items: &[LineItem], is_it: impl Fn(&LineItem) -> bool) -> usize {
    items.iter().position(is_it).unwrap()
}

fn step(id: &str) -> impl Fn(&LineItem) -> bool + '_ {
    move |item| matches!(item, LineItem::Step(step) if step.id == id)
}

fn awaits(what: &str) -> impl Fn(&LineItem) -> bool + '_ {
    move |item| item.awaited().is_some_and(|milestone| milestone == what)
}

#[test]
fn nodes_come_to_the_store_and_the_monitor_does_not() {
    let platform = backed_up();
    let plan = planned(&platform, &running(&platform));
    let address = |name: &str| {
        let line = plan.lines.iter().find(|line| line.instance == name).unwrap();
        line.machine.as_ref().unwrap().address.to_string()
    };
    let rules = text(&plan, "lb-1", "/etc/bascule/firewall.nft");
    let store = rules.lines().find(|line| line.contains("tcp dport 9000 accept")).unwrap();
    for (instance, comes) in [("pg-1", true), ("pg-2", true), ("pg-monitor", false), ("pooler-1", false)] {
        let sources: Vec<&str> = store.split(['{', '}']).nth(1).unwrap().split(',').map(str::trim).collect();
        assert_eq!(sources.contains(&address(instance).as_str()), comes, "{instance}: {store}");
    }
    let has = |instance: &str| items(&plan, instance).iter().any(step("postgres/backup/secrets"));
    assert!(has("pg-1") && has("pg-2") && !has("pg-monitor"));
}

#[test]
fn the_store_knows_a_key_before_nodes_come_with_it_and_forgets_the_old_one_when_all_have() {
    let platform = backed_up();
    let plan = planned(&platform, &running(&platform));
    for node in ["pg-1", "pg-2"] {
        let of_node = items(&plan, node);
        let knows = place(of_node, awaits("store: accepts new keys"));
        let goes_by_it = place(of_node, step("postgres/backup/secrets"));
        let tells = place(of_node, |item| *item == LineItem::Reach(format!("{node}: healthy")));
        assert!(knows < goes_by_it && goes_by_it < tells, "{node}");
        // Nothing that the database itself needs waits for the store.
        assert!(place(of_node, step("postgres/node/member")) < knows, "{node}");
        let store = items(&plan, "store-1");
        assert!(place(store, awaits(&format!("{node}: healthy"))) < place(store, step("store/users/only")), "{node}");
    }
}

#[test]
fn the_repository_of_backups() {
    let platform = backed_up();
    let plan = planned(&platform, &running(&platform));
    insta::assert_snapshot!("pgbackrest_of_a_node", text(&plan, "pg-1", CONFIG));
    assert_eq!(text(&plan, "pg-1", CONFIG), text(&plan, "pg-2", CONFIG), "whoever is the primary");
}

#[test]
fn the_log_is_archived_where_backups_are_asked_for_and_only_there() {
    let platform = backed_up();
    let config = |platform: &Platform| {
        text(&planned(platform, &running(platform)), "pg-1", "/etc/postgresql/bascule/postgres.conf")
    };
    let with = config(&platform);
    assert!(
        with.contains("archive_mode = on\n") && with.contains("/usr/local/lib/bascule/archive main 160 \"%p\""),
        "{with}"
    );
    let mut without = platform.clone();
    without.postgres.as_mut().unwrap().backup = None;
    let without = config(&without);
    assert!(without.contains("archive_mode = off\n") && !without.contains("archive_command"), "{without}");
}

#[test]
fn what_waits_for_a_repository_that_is_away_is_less_than_the_volume_has_for_the_log() {
    for gib in [4, 20, 1024] {
        let mut platform = backed_up();
        platform.postgres.as_mut().unwrap().volume_bytes = gib << 30;
        let plan = planned(&platform, &running(&platform));
        let number = |file: &str, key: &str| -> u64 {
            let line = file.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}"));
            line.trim_end_matches("MB").parse().unwrap()
        };
        let config = text(&plan, "pg-1", "/etc/postgresql/bascule/postgres.conf");
        let (_, command) = config.split_once("/archive main ").unwrap();
        let queue_mib = 16 * command.split(' ').next().unwrap().parse::<u64>().unwrap();
        let slots_mib = number(&config, "max_slot_wal_keep_size = ");
        assert!(queue_mib > 0 && queue_mib <= slots_mib / 2, "{gib} GiB: {queue_mib} against {slots_mib} MiB");
    }
}

#[test]
fn a_store_of_somebody_elses_is_asked_by_its_name_and_public_authorities_vouch_for_it() {
    let mut platform = backed_up();
    let external = ExternalStore {
        endpoint: "https://s3.example.com".into(),
        region: "eu-central-1".into(),
        key: "store_key".into(),
    };
    platform.store.as_mut().unwrap().engine = StoreEngine::External(external);
    platform.instances.retain(|instance| !instance.name.starts_with("store-"));
    let plan = planned(&platform, &running(&platform));
    let config = text(&plan, "pg-1", CONFIG);
    for line in [
        "repo1-s3-endpoint=s3.example.com",
        "repo1-storage-port=443",
        "repo1-s3-region=eu-central-1",
        "repo1-storage-ca-file=/etc/ssl/certs/ca-certificates.crt",
    ] {
        assert!(config.lines().any(|found| found == line), "{line}: {config}");
    }
    assert!(items(&plan, "pg-1").iter().any(step("postgres/backup/key")));
    assert!(!items(&plan, "pg-1").iter().any(awaits("store: accepts new keys")));
}

#[test]
fn a_drill_is_on_an_instance_of_its_own_that_reads_and_waits_for_nobody() {
    let platform = backed_up();
    let facts = running(&platform);
    let plan = drill(&platform, &facts).unwrap();
    plan.check().unwrap();
    let [line] = &plan.lines[..] else { panic!() };
    assert_eq!(line.instance, DRILL);
    assert!(platform.instances.iter().all(|instance| instance.name != DRILL));
    assert!(line.items.iter().all(|item| matches!(item, LineItem::Step(_))));
    let machine = line.machine.as_ref().unwrap();
    assert_eq!(machine.action, MachineAction::Create);
    assert!(machine.config.contains_key(EPHEMERAL));
    assert!(platform.network.dynamic().contains(&machine.address));
    let secrets: Vec<&str> = line
        .steps()
        .filter_map(|step| match &step.resource {
            Resource::File(file) => match &file.content {
                Content::Secret(secret) => Some(secret.name.as_str()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(secrets, ["bascule/store/user/postgres-restore", "bascule/postgres/backup"]);
    assert_eq!(text(&plan, DRILL, CONFIG), text(&planned(&platform, &facts), "pg-1", CONFIG), "the same repository");
    let expected: serde_json::Value =
        serde_json::from_str(&text(&plan, DRILL, "/etc/pgbackrest/expected.json")).unwrap();
    assert_eq!(expected["databases"]["shop"]["orders"], 1_000);
    let rules = text(&plan, DRILL, "/etc/bascule/firewall.nft");
    assert!(!rules.contains("5432"), "{rules}");
}

#[test]
fn a_drill_is_made_of_the_image_of_a_node_and_makes_anew_what_is_left_of_another() {
    let platform = backed_up();
    let of = |plan: &Plan, name: &str| {
        let line = plan.lines.iter().find(|line| line.instance == name).unwrap();
        line.machine.as_ref().unwrap().image_packages.clone()
    };
    let mut facts = running(&platform);
    facts.instances.insert(DRILL.to_owned(), crate::Existing::Running);
    let packages: BTreeSet<String> = of(&drill(&platform, &facts).unwrap(), DRILL);
    assert_eq!(packages, of(&up(&platform, &super::platforms::nothing_yet(&platform)).unwrap(), "pg-1"));
}

#[test]
fn without_backups_there_is_nothing_to_try_and_nobody_else_gets_to_the_store() {
    let mut platform = backed_up();
    let admits = |platform: &Platform| {
        text(&planned(platform, &running(platform)), "lb-1", "/etc/bascule/firewall.nft")
            .contains("who restores a backup")
    };
    assert!(admits(&platform));
    platform.postgres.as_mut().unwrap().backup = None;
    assert!(!admits(&platform));
    assert!(matches!(drill(&platform, &running(&platform)), Err(crate::RoleError::NoBackups)));
}
