use std::collections::BTreeMap;
use std::time::Duration;

use bascule_plan::event::{Event, Failure, Severity, StoreNode, StoreStatus};
use serde::Deserialize;

use super::super::exec::answered;
use super::own;
use crate::failure::{Exit, Failed};
use crate::setup::Session;

/// Asks any member, and judges what it tells.
pub(super) async fn status(session: &Session) -> Result<Exit, Failed> {
    let parity = own(&session.platform)?.parity;
    let seen = match ask(session).await {
        Ok(seen) => seen,
        Err(why) => {
            session.run.failure(Failure {
                message: "no member of the store can tell how it is".to_owned(),
                causes: vec![why],
                hint: Some("bascule status shows what is down, and bascule up brings it back".to_owned()),
                ..Failure::default()
            });
            return Ok(Exit::Failed);
        }
    };
    let alerts = alerts(&seen, parity);
    for node in &seen.nodes {
        session.run.emit(Event::StoreNode(node.clone()));
    }
    session.run.emit(Event::Store(seen.store));
    let is_well = alerts.is_empty();
    for (severity, message) in alerts {
        session.run.emit(Event::Alert { severity, message });
    }
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

/// What the program `store` tells on a member.
#[derive(Debug, Deserialize)]
struct Seen {
    nodes: Vec<StoreNode>,
    #[serde(flatten)]
    store: StoreStatus,
    /// How many placement groups are in a state, e.g. `active+clean`.
    groups: BTreeMap<String, u64>,
    /// What Ceph itself finds wrong, by its own names.
    checks: BTreeMap<String, String>,
}

/// Of the first member that answers. Any of them knows what all know.
async fn ask(session: &Session) -> Result<Seen, String> {
    let mut last = "none of them runs".to_owned();
    for member in session.platform.store_members() {
        let argv = ["/usr/local/lib/bascule/store".to_owned(), "status".to_owned()];
        last = match answered(session, &member.name, &argv, Duration::from_secs(30)).await {
            Ok((exited, said)) if exited.code == 0 => match serde_json::from_slice(&said) {
                Ok(seen) => return Ok(seen),
                Err(error) => format!("{}: {error}", member.name),
            },
            Ok((exited, _)) => format!("{}: {}", member.name, exited.stderr_tail.trim()),
            Err(error) => format!("{}: {error}", member.name),
        };
    }
    Err(last)
}

const NEARLY_FULL: f64 = 0.8;
const FULL: f64 = 0.9;

/// What somebody has to see to, the most urgent first.
fn alerts(seen: &Seen, parity: usize) -> Vec<(Severity, String)> {
    let Seen { nodes, store, groups, checks } = seen;
    let named = |is: &dyn Fn(&&StoreNode) -> bool| -> Vec<&str> {
        nodes.iter().filter(is).map(|node| node.name.as_str()).collect()
    };
    let mut alerts = Vec::new();
    let mut alert = |severity, message| alerts.push((severity, message));

    let away = named(&|node| node.keeps_data == Some(false));
    let severity = if away.len() >= 2 || away.len() >= parity { Severity::Page } else { Severity::Warning };
    if !away.is_empty() {
        let keep = if away.len() == 1 { "keeps" } else { "keep" };
        alert(severity, format!("{} {keep} no data now: bascule up brings back what can be", away.join(", ")));
    }
    let silent = named(&|node| !node.votes);
    if !silent.is_empty() {
        let may_be_silent = (nodes.len() - 1) / 2;
        let lost = silent.len() >= may_be_silent;
        let severity = if lost { Severity::Page } else { Severity::Warning };
        let have = if silent.len() == 1 { "has" } else { "have" };
        alert(severity, format!("{} {have} no voice: the store stands still without a majority", silent.join(", ")));
    }
    if store.objects_unfound > 0 {
        let message = format!("{} objects cannot be read until nodes come back", store.objects_unfound);
        alert(Severity::Page, message);
    }
    // Said when it stays so for a minute: what was just lost takes some seconds to be done without.
    if let Some(message) = checks.get("PG_AVAILABILITY") {
        let message = format!("some objects can be neither read nor written: {message} (Ceph: PG_AVAILABILITY)");
        alert(Severity::Page, message);
    }
    for node in nodes.iter().filter(|node| node.bytes_total > 0) {
        let taken = node.bytes_used as f64 / node.bytes_total as f64;
        let severity = if taken >= FULL { Severity::Page } else { Severity::Warning };
        if taken >= NEARLY_FULL {
            let message = format!("{} is full to {:.0} %: make `volume` larger, or delete", node.name, taken * 100.0);
            alert(severity, message);
        }
        if node.parts_repaired > 0 {
            let message = format!(
                "{}: {} parts of objects were wrong on its disk, and were made anew: look at the disk",
                node.name, node.parts_repaired
            );
            alert(Severity::Warning, message);
        }
    }
    // What waits for its turn does so for something that is at work.
    let works = ["recovering", "backfilling", "activating"];
    let at_work = groups.keys().any(|state| works.iter().any(|word| state.contains(word)));
    if store.parts_missing > 0 && away.is_empty() && !at_work && store.recovering_bytes_per_s == 0 {
        let message = format!(
            "{} parts of objects are missing, and nothing makes them anew at the moment: if that stays so, recovery is stuck",
            store.parts_missing
        );
        alert(Severity::Warning, message);
    }
    // What Ceph finds beside all that, in its own words.
    let said = ["MON_DOWN", "OSD_DOWN", "OSD_HOST_DOWN", "PG_DEGRADED", "PG_AVAILABILITY", "OSD_TOO_MANY_REPAIRS"];
    // A monitor keeps the first entries of a new store's log waiting for ever, which means nothing.
    let is_of_monitors = |name: &str, message: &str| name == "SLOW_OPS" && !message.contains("osd.");
    for (name, message) in checks.iter().filter(|(name, _)| !said.contains(&name.as_str())) {
        if is_of_monitors(name, message) {
            continue;
        }
        alert(Severity::Warning, format!("{message} (Ceph: {name})"));
    }
    alerts.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, keeps_data: bool) -> StoreNode {
        StoreNode {
            name: name.to_owned(),
            votes: keeps_data,
            keeps_data: Some(keeps_data),
            bytes_total: 1_000,
            bytes_used: 100,
            parts_repaired: 0,
        }
    }

    fn seen(away: usize) -> Seen {
        let mut nodes: Vec<StoreNode> = (1..=4).map(|n| node(&format!("store-{n}"), n > away)).collect();
        let witness = StoreNode { keeps_data: None, bytes_total: 0, ..node("store-witness", true) };
        nodes.push(witness);
        Seen { nodes, store: StoreStatus::default(), groups: BTreeMap::new(), checks: BTreeMap::new() }
    }

    fn severities(seen: &Seen) -> Vec<Severity> {
        alerts(seen, 2).into_iter().map(|(severity, _)| severity).collect()
    }

    #[test]
    fn a_store_that_is_well_alerts_nobody() {
        assert_eq!(alerts(&seen(0), 2), []);
    }

    #[test]
    fn one_node_that_is_away_warns_and_two_are_urgent() {
        assert_eq!(severities(&seen(1)), [Severity::Warning, Severity::Warning]);
        assert_eq!(severities(&seen(2)), [Severity::Page, Severity::Page]);
        let [(_, data), (_, voices)] = &alerts(&seen(2), 2)[..] else { panic!() };
        assert!(data.starts_with("store-1, store-2 keep no data now"), "{data}");
        assert!(voices.starts_with("store-1, store-2 have no voice"), "{voices}");
    }

    #[test]
    fn a_disk_that_fills_warns_before_it_is_urgent() {
        let mut full = seen(0);
        full.nodes[1].bytes_used = 850;
        assert_eq!(severities(&full), [Severity::Warning]);
        full.nodes[2].bytes_used = 950;
        let [(severity, first), _] = &alerts(&full, 2)[..] else { panic!() };
        assert_eq!(*severity, Severity::Page);
        assert!(first.starts_with("store-3 is full to 95 %"), "{first}");
    }

    #[test]
    fn what_is_not_made_anew_is_told_and_what_is_alerts_nobody() {
        let mut stuck = seen(0);
        stuck.store.parts_missing = 7;
        assert_eq!(severities(&stuck), [Severity::Warning]);
        stuck.groups = [("active+undersized+degraded+recovery_wait".to_owned(), 3)].into();
        assert_eq!(severities(&stuck), [Severity::Warning], "all of them wait, and nobody works");
        stuck.groups.insert("active+undersized+degraded+recovering".to_owned(), 1);
        assert_eq!(alerts(&stuck, 2), []);
    }

    #[test]
    fn what_can_be_neither_read_nor_written_is_urgent_with_all_nodes_there() {
        let mut down = seen(0);
        let message = "Reduced data availability: 1 pg inactive, 1 pg incomplete".to_owned();
        down.checks = [("PG_AVAILABILITY".to_owned(), message)].into();
        let [(Severity::Page, said)] = &alerts(&down, 2)[..] else { panic!() };
        assert!(said.starts_with("some objects can be neither read nor written"), "{said}");
    }

    #[test]
    fn what_was_wrong_on_a_disk_and_what_ceph_says_are_told() {
        let mut told = seen(0);
        told.nodes[3].parts_repaired = 1;
        told.checks = [
            ("PG_DAMAGED".to_owned(), "Possible data damage: 1 pg inconsistent".to_owned()),
            ("SLOW_OPS".to_owned(), "1 slow ops, oldest one blocked for 181 sec, mon.store-3 has slow ops".to_owned()),
        ]
        .into();
        let said: Vec<String> = alerts(&told, 2).into_iter().map(|(_, message)| message).collect();
        assert!(said[0].starts_with("store-4: 1 parts of objects were wrong"), "{said:?}");
        assert_eq!(said[1], "Possible data damage: 1 pg inconsistent (Ceph: PG_DAMAGED)");
        assert_eq!(said.len(), 2, "{said:?}");
    }
}
