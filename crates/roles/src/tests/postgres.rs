//! PostgreSQL: who gets to it and as whom, and in which order it is made and restarted.

use bascule_plan::{LineItem, Plan, Resource};
use bascule_spec::{FailoverDetection, Topology};

use super::files::text;
use super::platforms::{nothing_yet, platform, running, with_services};
use crate::{Existing, Facts, postgres_rejoin, postgres_switchover, up};

fn plan() -> Plan {
    let platform = with_services(platform(Topology::MultiInstance, 2, &[2, 1, 1]));
    up(&platform, &running(&platform)).unwrap()
}

fn items<'a>(plan: &'a Plan, instance: &str) -> &'a [LineItem] {
    &plan.lines.iter().find(|line| line.instance == instance).unwrap().items
}

fn place(items: &[LineItem], wanted: &LineItem) -> usize {
    let is_it = |item: &LineItem| match wanted.awaited() {
        Some(milestone) => item.awaited() == Some(milestone),
        None => item == wanted,
    };
    items.iter().position(is_it).unwrap_or_else(|| panic!("{wanted:?}"))
}

fn step(items: &[LineItem], id: &str) -> usize {
    items
        .iter()
        .position(|item| matches!(item, LineItem::Step(step) if step.id == id))
        .unwrap_or_else(|| panic!("{id}"))
}

#[test]
fn a_node_trusts_nobody_but_the_monitor_that_looks_at_it_and_everybody_else_proves_who_they_are() {
    let plan = plan();
    for instance in ["pg-1", "pg-2", "pg-monitor"] {
        let hba = text(&plan, instance, "/etc/postgresql/bascule/hba.conf");
        let rules: Vec<&str> = hba.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let monitor = plan.lines.iter().find(|line| line.instance == "pg-monitor").unwrap();
        let monitor = monitor.machine.as_ref().unwrap().address;
        let trusted: Vec<&str> = rules.iter().copied().filter(|rule| rule.ends_with("trust")).collect();
        let looks = format!("hostssl postgres pgautofailover_monitor {monitor}/32 trust");
        let expected: &[&str] = if instance == "pg-monitor" { &[] } else { &[&looks] };
        assert_eq!(trusted, expected);
        for rule in &rules {
            assert!(rule.starts_with("local ") || rule.starts_with("hostssl "), "{rule}");
        }
    }
    insta::assert_snapshot!("who_may_come_to_a_node", text(&plan, "pg-1", "/etc/postgresql/bascule/hba.conf"));
    insta::assert_snapshot!("settings_of_a_node", text(&plan, "pg-1", "/etc/postgresql/bascule/postgres.conf"));
    insta::assert_snapshot!(
        "settings_of_the_monitor",
        text(&plan, "pg-monitor", "/etc/postgresql/bascule/postgres.conf")
    );
    insta::assert_snapshot!("settings_of_a_pooler", text(&plan, "pooler-1", "/etc/pgbouncer/bascule.ini"));
}

#[test]
fn poolers_have_as_many_connections_as_nodes_give() {
    let plan = plan();
    let config = text(&plan, "pg-1", "/etc/postgresql/bascule/postgres.conf");
    assert!(config.contains("max_connections = 200\n"), "two poolers with 50 and 10, and others: {config}");
    let pooler = text(&plan, "pooler-1", "/etc/pgbouncer/bascule.ini");
    for line in
        ["default_pool_size = 50", "reserve_pool_size = 10", "max_db_connections = 60", "max_client_conn = 1000"]
    {
        assert!(pooler.lines().any(|found| found == line), "{line}");
    }
}

/// Milliseconds, by the name of the setting.
fn setting(config: &str, name: &str) -> u64 {
    let line = config.lines().find_map(|line| line.strip_prefix(&format!("pgautofailover.{name} = ")));
    line.unwrap_or_else(|| panic!("{name}: {config}")).parse().unwrap()
}

#[test]
fn a_primary_that_sees_nobody_ends_before_another_one_can_be_promoted() {
    for detection in [FailoverDetection::Fast, FailoverDetection::Normal, FailoverDetection::Safe] {
        let mut platform = with_services(platform(Topology::MultiInstance, 2, &[2]));
        platform.postgres.as_mut().unwrap().detection = detection;
        let plan = up(&platform, &running(&platform)).unwrap();
        let config = text(&plan, "pg-monitor", "/etc/postgresql/bascule/postgres.conf");
        let settings: serde_json::Value =
            serde_json::from_str(&text(&plan, "pg-1", "/etc/postgresql/bascule/settings.json")).unwrap();
        let alone_ms = settings["network_partition_timeout_s"].as_u64().unwrap() * 1_000;
        // The least that passes until then: it is silent for so long, and has so long to stop.
        let promoted_ms =
            setting(&config, "node_considered_unhealthy_timeout") + setting(&config, "primary_demote_timeout");
        assert!(alone_ms < promoted_ms, "{detection:?}: {alone_ms} against {promoted_ms}");
    }
}

/// As `src/monitor` of 2.2 has them; the bench holds them against the monitor's own word.
#[test]
fn safe_is_what_pg_auto_failover_does_by_itself() {
    let mut platform = with_services(platform(Topology::MultiInstance, 2, &[2]));
    platform.postgres.as_mut().unwrap().detection = FailoverDetection::Safe;
    let plan = up(&platform, &running(&platform)).unwrap();
    let config = text(&plan, "pg-monitor", "/etc/postgresql/bascule/postgres.conf");
    let own = [
        ("health_check_period", 5_000),
        ("health_check_timeout", 5_000),
        ("health_check_max_retries", 2),
        ("health_check_retry_delay", 2_000),
        ("node_considered_unhealthy_timeout", 20_000),
        ("primary_demote_timeout", 30_000),
    ];
    for (name, value) in own {
        assert_eq!(setting(&config, name), value, "{name}");
    }
    assert_eq!(config.matches("pgautofailover.").count(), own.len());
    assert!(
        text(&plan, "pg-1", "/etc/postgresql/bascule/settings.json").contains("\"network_partition_timeout_s\": 20")
    );
}

#[test]
fn nodes_join_one_after_the_other_and_poolers_wait_for_all_of_them() {
    let platform = with_services(platform(Topology::MultiInstance, 2, &[2]));
    let plan = up(&platform, &nothing_yet(&platform)).unwrap();
    let await_ = |what: &str| LineItem::Await(what.to_owned());
    let reach = |what: &str| LineItem::Reach(what.to_owned());
    let monitor = items(&plan, "pg-monitor");
    assert!(step(monitor, "postgres/monitor/record") < place(monitor, &reach("pg-monitor: accepts nodes")));
    let first = items(&plan, "pg-1");
    assert!(place(first, &await_("pg-monitor: accepts nodes")) < step(first, "postgres/node/make"));
    assert!(step(first, "postgres/node/roles") < place(first, &reach("pg-1: accepts users")));
    let second = items(&plan, "pg-2");
    assert!(place(second, &await_("pg-1: accepts users")) < step(second, "postgres/node/make"));
    let pooler = items(&plan, "pooler-1");
    for node in ["pg-1", "pg-2"] {
        assert!(place(pooler, &await_(&format!("{node}: accepts users"))) < step(pooler, "pooler/service/service"));
    }
    plan.check().unwrap();
}

/// Or each of two nodes would wait for the other, when the monitor comes back without its record.
#[test]
fn nodes_are_known_again_before_one_waits_for_the_other() {
    let platform = with_services(platform(Topology::MultiInstance, 2, &[2]));
    let mut facts = running(&platform);
    let waits = |facts: &Facts| {
        let plan = up(&platform, facts).unwrap();
        let second = items(&plan, "pg-2");
        let after = place(second, &LineItem::Await("pg-1: accepts users".to_owned()));
        assert!(step(second, "postgres/node/known") < after && after < step(second, "postgres/node/make"));
        let of_monitor =
            |item: &&LineItem| item.awaited().is_some_and(|milestone| milestone == "pg-monitor: accepts nodes");
        second.iter().find(of_monitor).unwrap().clone()
    };
    assert!(matches!(waits(&facts), LineItem::AwaitFor { .. }));
    // One that was away may have come back with nothing: only when it is there can a node tell whether it is known.
    facts.instances.insert("pg-monitor".to_owned(), Existing::Stopped);
    assert!(matches!(waits(&facts), LineItem::Await(_)));
}

#[test]
fn a_component_comes_with_its_password_after_poolers_accept_it() {
    let plan = plan();
    for replica in ["api-1", "api-2"] {
        let items = items(&plan, replica);
        for pooler in ["pooler-1", "pooler-2"] {
            let accepts = LineItem::Await(format!("{pooler}: accepts users"));
            assert!(place(items, &accepts) < step(items, "component/service/run"));
        }
        let services = text(&plan, replica, "/etc/api/services");
        let expected = "DATABASE_URL=\"postgres://api@10.20.0.9:6432/shop?sslmode=verify-full&sslrootcert=/etc/bascule/authority.pem\"";
        assert!(services.contains(expected), "{services}");
        assert!(services.contains("MIGRATION_DATABASE_URL=\"postgres://shop_migrate@"), "{services}");
    }
}

#[test]
fn standbys_restart_before_whoever_is_the_primary_and_one_at_a_time() {
    let plan = plan();
    for node in ["pg-1", "pg-2"] {
        let items = items(&plan, node);
        let (standby, primary) = ("roll postgres standbys".to_owned(), "roll postgres primary".to_owned());
        let turns = [
            place(items, &LineItem::Take(standby.clone())),
            step(items, "postgres/restart/standby"),
            place(items, &LineItem::Release(standby)),
            place(items, &LineItem::Await("pg-1: its turn as a standby is over".to_owned())),
            place(items, &LineItem::Await("pg-2: its turn as a standby is over".to_owned())),
            place(items, &LineItem::Take(primary.clone())),
            step(items, "postgres/restart/primary"),
            place(items, &LineItem::Release(primary)),
        ];
        assert!(turns.is_sorted(), "{turns:?}");
        // What a unit restarts for by itself would not ask whose turn it is.
        let LineItem::Step(service) = &items[step(items, "postgres/node/service")] else { panic!() };
        let Resource::Unit(unit) = &service.resource else { panic!() };
        assert_eq!(unit.inputs, Vec::<String>::new());
    }
}

#[test]
fn a_switchover_asks_every_node_and_a_rejoin_one() {
    let platform = with_services(platform(Topology::MultiInstance, 2, &[2]));
    let facts = running(&platform);
    let of = |plan: &Plan| plan.lines.iter().map(|line| line.instance.clone()).collect::<Vec<_>>();
    assert_eq!(of(&postgres_switchover(&platform, &facts).unwrap()), ["pg-1", "pg-2"]);
    assert_eq!(of(&postgres_rejoin(&platform, &facts, "pg-2").unwrap()), ["pg-2"]);
}

#[test]
fn a_formation_that_nobody_made_is_refused_rather_than_begun_with_nothing() {
    let platform = with_services(platform(Topology::MultiInstance, 2, &[2, 1, 1]));
    let refused = |formation: Option<&str>, there: &[&str]| {
        let mut platform = platform.clone();
        platform.postgres.as_mut().unwrap().formation = formation.map(str::to_owned);
        let mut facts = running(&platform);
        facts.databases = there.iter().copied().map(str::to_owned).collect();
        up(&platform, &facts).err().map(|error| error.to_string())
    };
    // The instances of this platform are pg-1 and pg-2, whatever the formation is called.
    assert_eq!(refused(None, &[]), None);
    assert_eq!(refused(None, &["pg-2", "pg-r1-1"]), None);
    assert_eq!(refused(Some("r1"), &["pg-2"]), None);
    let first = "the first formation of PostgreSQL has no node, and was never restored; there is pg-r1-1";
    assert_eq!(refused(None, &["pg-r1-1"]).as_deref(), Some(first));
    let second = "the formation `r1` of PostgreSQL has no node, and was never restored; there is none";
    assert_eq!(refused(Some("r1"), &[]).as_deref(), Some(second));
}
