//! Services that software uses: who gets to them, and how a secret of theirs is replaced.

use std::collections::BTreeSet;

use bascule_plan::{LineItem, Plan};
use bascule_spec::Topology;

use super::files::text;
use super::platforms::{platform, running, with_services};
use crate::{Facts, up};

fn plan() -> Plan {
    let platform = with_services(platform(Topology::MultiInstance, 2, &[2, 1, 1]));
    up(&platform, &running(&platform)).unwrap()
}

/// Who gets to a port of an instance: the last numbers of their addresses.
fn admitted(plan: &Plan, instance: &str, port: &str) -> Vec<u8> {
    let rules = text(plan, instance, "/etc/bascule/firewall.nft");
    let mine = rules.lines().filter(|line| line.contains(&format!("tcp dport {port} accept")));
    let sources = mine.flat_map(|line| line.split(['{', '}']).nth(1).unwrap().split(", ").map(str::trim));
    sources.map(|address| address.rsplit_once('.').unwrap().1.parse().unwrap()).collect()
}

/// By the last number of its address.
fn number(plan: &Plan, instance: &str) -> u8 {
    let line = plan.lines.iter().find(|line| line.instance == instance).unwrap();
    line.machine.as_ref().unwrap().address.octets()[3]
}

fn numbers(plan: &Plan, instances: &[&str]) -> Vec<u8> {
    instances.iter().map(|instance| number(plan, instance)).collect()
}

#[test]
fn redis_lets_in_its_own_members_and_who_uses_it() {
    let plan = plan();
    let (others, users) = (["redis-2", "redis-3"], ["api-1", "api-2"]);
    for port in ["6379", "26379"] {
        assert_eq!(admitted(&plan, "redis-1", port), numbers(&plan, &[others, users].concat()), "{port}");
    }
}

#[test]
fn postgres_is_reached_through_the_load_balancers_and_poolers_by_who_uses_it() {
    let plan = plan();
    for load_balancer in ["lb-1", "lb-2"] {
        assert_eq!(admitted(&plan, load_balancer, "6432"), numbers(&plan, &["api-1", "api-2"]));
    }
    for port in ["6432", "6433"] {
        assert_eq!(admitted(&plan, "pooler-1", port), numbers(&plan, &["lb-1", "lb-2"]), "{port}");
    }
    assert_eq!(admitted(&plan, "pg-1", "5432"), numbers(&plan, &["pg-2", "pg-monitor", "pooler-1", "pooler-2"]));
    assert_eq!(admitted(&plan, "pg-monitor", "5432"), numbers(&plan, &["pg-1", "pg-2", "pooler-1", "pooler-2"]));
}

#[test]
fn the_store_is_reached_through_the_load_balancers_by_who_uses_it_and_otherwise_by_its_own_members() {
    let plan = plan();
    for load_balancer in ["lb-1", "lb-2"] {
        assert_eq!(admitted(&plan, load_balancer, "9000"), numbers(&plan, &["api-1", "api-2", "build-1"]));
    }
    assert_eq!(admitted(&plan, "store-1", "8443"), numbers(&plan, &["lb-1", "lb-2"]));
    for port in ["3300", "6800-7568"] {
        let others = ["store-2", "store-3", "store-4", "store-witness"];
        assert_eq!(admitted(&plan, "store-1", port), numbers(&plan, &others), "{port}");
        assert_eq!(
            admitted(&plan, "store-witness", port),
            numbers(&plan, &["store-1", "store-2", "store-3", "store-4"])
        );
    }
    assert_eq!(admitted(&plan, "store-witness", "8443"), Vec::<u8>::new(), "it has no gateway");
}

#[test]
fn a_key_is_accepted_before_a_replica_comes_with_it_and_the_old_one_until_all_have() {
    let plan = plan();
    let items = |instance: &str| &plan.lines.iter().find(|line| line.instance == instance).unwrap().items;
    let step = |items: &[LineItem], id: &str| {
        items.iter().position(|item| matches!(item, LineItem::Step(step) if step.id == id)).unwrap()
    };
    let first = items("store-1");
    let accepts = first.iter().position(|item| *item == LineItem::Reach("store: accepts new keys".into())).unwrap();
    assert!(step(first, "store/users/add") < accepts && step(first, "store/users/buckets") < accepts);
    let awaited: BTreeSet<&str> = first[accepts..step(first, "store/users/only")]
        .iter()
        .filter_map(|item| item.awaited().map(String::as_str))
        .collect();
    assert_eq!(awaited, ["api-1: healthy", "api-2: healthy"].into());
    for replica in ["api-1", "api-2"] {
        let items = items(replica);
        let awaits = LineItem::AwaitFor {
            milestone: "store: accepts new keys".into(),
            steps: vec!["component/service/credential-store".into()],
        };
        let awaits = items.iter().position(|item| *item == awaits).unwrap();
        assert!(awaits < step(items, "component/service/credential-store"));
    }
}

#[test]
fn a_store_of_another_shape_is_refused_before_there_is_a_plan() {
    let platform = with_services(platform(Topology::MultiInstance, 2, &[2, 1, 1]));
    let made = |shape: &str| Facts { stores: [("store-1".into(), shape.into())].into(), ..running(&platform) };
    let config = &plan().lines.into_iter().find(|line| line.instance == "store-1").unwrap().machine.unwrap().config;
    assert!(up(&platform, &made(&config[crate::STORE_SHAPE])).is_ok());
    let refused = up(&platform, &made("5 nodes of which 2 may be lost")).unwrap_err().to_string();
    assert_eq!(
        refused,
        "the store was made of 5 nodes of which 2 may be lost, as store-1 says, and cannot become one of 4 nodes of \
         which 2 may be lost"
    );
}
