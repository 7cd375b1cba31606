//! What each instance lets in.

use bascule_spec::Topology;

use super::files::text;
use super::platforms::{nothing_yet, platform};
use crate::up;

const RULES: &str = "/etc/bascule/firewall.nft";

/// The rules that name a port or a protocol of the platform, without their indentation.
fn rules(load_balancers: usize, instance: &str) -> Vec<String> {
    let platform = platform(Topology::BlueGreen, load_balancers, &[2, 1, 1]);
    let plan = up(&platform, &nothing_yet(&platform)).unwrap();
    text(&plan, instance, RULES)
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("comment"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_replica_lets_in_operators_and_the_load_balancers() {
    assert_eq!(
        rules(2, "api-blue-1"),
        [
            "ip saddr { 10.20.0.0/24, 192.0.2.7/32 } tcp dport 22 accept comment \"operators\"",
            "ip saddr { 10.20.0.10, 10.20.0.11 } tcp dport 8080 accept comment \"the load balancers\"",
        ]
    );
}

#[test]
fn load_balancers_let_in_everybody_to_the_front_door_and_each_other_to_agree() {
    let operators = "ip saddr { 10.20.0.0/24, 192.0.2.7/32 } tcp dport 22 accept comment \"operators\"";
    let door = "tcp dport 80 accept comment \"the front door\"";
    assert_eq!(rules(1, "lb-1"), [operators, door], "one has nobody to agree with");
    let address = "ip saddr { 10.20.0.11 } ip protocol vrrp accept comment \"who has the address\"";
    let generation = "ip saddr { 10.20.0.11 } tcp dport 8405 accept comment \"whose generation is the newest\"";
    assert_eq!(rules(2, "lb-1"), [operators, door, address, generation]);
}

#[test]
fn an_instance_without_a_role_lets_in_operators_only() {
    assert_eq!(
        rules(2, "build-1"),
        ["ip saddr { 10.20.0.0/24, 192.0.2.7/32 } tcp dport 22 accept comment \"operators\""]
    );
}

#[test]
fn whatever_is_not_named_is_dropped_and_loading_replaces_the_table_in_one_transaction() {
    let platform = platform(Topology::MultiInstance, 1, &[1]);
    let plan = up(&platform, &nothing_yet(&platform)).unwrap();
    for line in &plan.lines {
        let text = text(&plan, &line.instance, RULES);
        assert!(text.contains("type filter hook input priority filter; policy drop;"), "{}", line.instance);
        let begins: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).take(3).collect();
        assert_eq!(begins, ["table inet bascule", "delete table inet bascule", "table inet bascule {"]);
    }
}
