//! A formation of PostgreSQL, in whichever environment it is: how it is, and what comes between its instances.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lab::{BETWEEN_LOOKS, Lab, events, said, with_input};

/// How long anything may take here before a test gives up: no promise, and no figure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// `pg status`: who is the primary, and what somebody has to see to.
pub(crate) fn status(lab: &Lab) -> Value {
    let output = lab.run(&["pg", "status", "--output", "json"]);
    let told = events(&output);
    let of = |kind: &str| told.iter().filter(move |event| event["type"] == kind).cloned().collect::<Vec<Value>>();
    let nodes = of("postgres_node");
    let primary = nodes.iter().find(|node| node["writable"] == true && node["state"] == node["goal"]);
    json!({
        "well": output.status.success(),
        "primary": primary.map(|node| node["name"].clone()),
        "writable": nodes.iter().filter(|node| node["writable"] == true).count(),
        "alerts": of("alert"),
        "nodes": nodes,
        "poolers": of("pooler"),
    })
}

/// Waits until nobody has to see to anything, and gives the primary and the standby.
pub(crate) fn wait_until_whole(lab: &Lab) -> (String, String) {
    let began = Instant::now();
    loop {
        let told = status(lab);
        if told["well"] == true
            && let Some(primary) = told["primary"].as_str()
        {
            let standby = if primary == "pg-1" { "pg-2" } else { "pg-1" };
            return (primary.to_owned(), standby.to_owned());
        }
        assert!(began.elapsed() < PATIENCE, "{told:#}");
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// All is well again, and `up` has nothing to change: it leaves alone who is the primary.
pub(crate) fn is_whole_again(lab: &Lab) -> (String, String) {
    let found = wait_until_whole(lab);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
    found
}

/// Nothing goes between two instances any more.
pub(crate) fn cut(lab: &Lab, one: &str, other: &str) {
    cut_addresses(lab, &lab.known_address(one), &lab.known_address(other));
}

/// Of each an address, or a range.
pub(crate) fn cut_addresses(lab: &Lab, one: &str, other: &str) {
    let table = table(lab);
    let rules = format!(
        "add table bridge {table}\nadd chain bridge {table} cuts {{ type filter hook forward priority 0; policy accept; }}\n\
        add rule bridge {table} cuts ip saddr {one} ip daddr {other} drop\nadd rule bridge {table} cuts ip saddr {other} ip daddr {one} drop\n"
    );
    let output = with_input(Command::new("nft").args(["-f", "-"]), rules.as_bytes());
    assert!(output.status.success(), "{}", said(&output));
}

/// Everything goes again; where nothing was cut, that is well, too.
pub(crate) fn heal(lab: &Lab) {
    let _ =
        with_input(Command::new("nft").args(["-f", "-"]), format!("delete table bridge {}\n", table(lab)).as_bytes());
}

fn table(lab: &Lab) -> String {
    format!("bslt_{}", lab.environment)
}
