use std::collections::BTreeMap;
use std::time::Duration;

use bascule_plan::event::{Event, PoolerStatus, PostgresNode, Severity};
use futures_util::future::join_all;
use serde::Deserialize;

use super::super::exec::answered;
use super::backups::{self, Backups};
use crate::failure::{Exit, Failed};
use crate::setup::Session;

/// Asks the monitor, each node and each pooler, and judges what they tell.
pub(super) async fn status(session: &Session) -> Result<Exit, Failed> {
    let seen = look(session).await;
    for node in seen.nodes() {
        session.run.emit(Event::PostgresNode(node));
    }
    for pooler in &seen.poolers {
        session.run.emit(Event::Pooler(pooler.status.clone()));
    }
    let mut alerts = alerts(&seen);
    if session.platform.backup().is_some() {
        let drills = bascule_release::drills(session.run.incus(), &session.platform.incus.project).await?;
        let weekly = session.platform.ops_instance().is_some();
        let backed_up_s = seen.backups.as_ref().and_then(|told| told.as_ref().ok()?.since_s);
        alerts.extend(backups::drill_alerts(&drills, weekly, session.run.unix_ms(), backed_up_s));
        alerts.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    }
    let is_well = alerts.is_empty();
    for (severity, message) in alerts {
        session.run.emit(Event::Alert { severity, message });
    }
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

/// The node that may be written to, as it says itself; where there are two, the one on the newest timeline.
pub(crate) async fn primary(session: &Session) -> Option<String> {
    let names: Vec<String> = session.platform.postgres_nodes().map(|node| node.name.clone()).collect();
    let told = join_all(names.iter().map(|name| own(session, name))).await;
    let writable = names
        .into_iter()
        .zip(told)
        .filter_map(|(name, own)| own.ok().filter(|own| own.writable).map(|own| (own.timeline, name)));
    writable.max().map(|(_, name)| name)
}

/// All that was asked for.
#[derive(Debug)]
struct Seen {
    /// In the order of the platform.
    names: Vec<String>,
    monitor: Result<Told, String>,
    /// What nodes say of themselves, by name.
    own: BTreeMap<String, Result<Own, String>>,
    poolers: Vec<SeenPooler>,
    /// As the primary has it; nothing where there is none, or where the platform has no backups.
    backups: Option<Result<Backups, String>>,
}

/// What the monitor tells.
#[derive(Debug, Default, Deserialize)]
struct Told {
    nodes: Vec<Known>,
    poolers: Vec<KnownPooler>,
}

#[derive(Clone, Debug, Deserialize)]
struct Known {
    name: String,
    reported: String,
    goal: String,
    /// 1 for healthy, 0 for not, -1 for not known yet.
    health: i32,
}

#[derive(Debug, Deserialize)]
struct KnownPooler {
    name: String,
    node: Option<String>,
    seen_s: f64,
}

/// What a node tells of itself.
#[derive(Clone, Debug, Deserialize)]
struct Own {
    writable: bool,
    /// What a commit waits for; nothing, where it waits for nobody.
    waits_for: String,
    timeline: u32,
    replicas: Vec<Replica>,
    /// How far back each place in the log is still there, by name.
    slots: BTreeMap<String, Option<String>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Replica {
    name: String,
    behind_bytes: Option<u64>,
}

#[derive(Debug)]
struct SeenPooler {
    status: PoolerStatus,
    /// Why a write through it failed.
    why: String,
    /// It tells the monitor nothing any more.
    is_silent: bool,
}

async fn look(session: &Session) -> Seen {
    let platform = &session.platform;
    let names: Vec<String> = platform.postgres_nodes().map(|node| node.name.clone()).collect();
    let monitor = async {
        let name = platform.postgres_monitor().map(|monitor| monitor.name.as_str()).unwrap_or_default();
        json::<Told>(session, name, &["postgres", "status"]).await
    };
    let nodes = join_all(names.iter().map(|name| own(session, name)));
    let pooler_names: Vec<&str> = platform.poolers().map(|pooler| pooler.name.as_str()).collect();
    let writes = join_all(pooler_names.iter().map(|name| said(session, name, &["pooler", "write"], PATIENCE)));
    let (monitor, nodes, writes) = futures_util::join!(monitor, nodes, writes);
    let poolers = pooler_names.into_iter().zip(writes).map(|(name, write)| {
        let known = monitor.as_ref().ok().and_then(|told| told.poolers.iter().find(|pooler| pooler.name == name));
        SeenPooler {
            status: PoolerStatus {
                name: name.to_owned(),
                node: known.and_then(|known| known.node.clone()),
                writes: write.is_ok(),
            },
            why: write.err().unwrap_or_default(),
            is_silent: monitor.is_ok() && known.is_none_or(|known| known.seen_s > SILENT_S),
        }
    });
    let poolers = poolers.collect();
    let writable = names.iter().zip(&nodes).find(|(_, own)| own.as_ref().is_ok_and(|own| own.writable));
    let backups = match (platform.backup(), writable) {
        (Some(_), Some((primary, _))) => Some(backups(session, primary).await),
        _ => None,
    };
    Seen { own: names.iter().cloned().zip(nodes).collect(), names, monitor, poolers, backups }
}

async fn own(session: &Session, node: &str) -> Result<Own, String> {
    json(session, node, &["postgres", "sync"]).await
}

async fn json<T: for<'de> Deserialize<'de>>(session: &Session, instance: &str, argv: &[&str]) -> Result<T, String> {
    let told = said(session, instance, argv, PATIENCE).await?;
    serde_json::from_slice(&told).map_err(|error| error.to_string())
}

/// Of the primary, which asks the repository.
async fn backups(session: &Session, primary: &str) -> Result<Backups, String> {
    let told = said(session, primary, &["backup", "status"], PATIENCE_OF_REPOSITORY).await?;
    serde_json::from_slice(&told).map_err(|error| error.to_string())
}

/// What one of the platform's programs says on an instance, or why it failed.
pub(crate) async fn said(
    session: &Session,
    instance: &str,
    argv: &[&str],
    patience: Duration,
) -> Result<Vec<u8>, String> {
    let argv: Vec<String> = std::iter::once(format!("/usr/local/lib/bascule/{}", argv[0]))
        .chain(argv[1..].iter().map(|word| (*word).to_owned()))
        .collect();
    match answered(session, instance, &argv, patience).await {
        Ok((exited, told)) if exited.code == 0 => Ok(told),
        Ok((exited, told)) => {
            let why = String::from_utf8_lossy(&told).trim().to_owned();
            Err(if why.is_empty() { exited.stderr_tail.trim().to_owned() } else { why })
        }
        Err(error) => Err(error.to_string()),
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
/// By then the program has given up waiting for a repository that is away.
const PATIENCE_OF_REPOSITORY: Duration = Duration::from_secs(60);
/// A pooler tells the monitor twice a second which node it uses.
const SILENT_S: f64 = 10.0;

impl Seen {
    fn known(&self, name: &str) -> Option<&Known> {
        self.monitor.as_ref().ok()?.nodes.iter().find(|node| node.name == name)
    }

    fn writable(&self) -> Vec<(&str, &Own)> {
        let own = self.own.iter().filter_map(|(name, own)| own.as_ref().ok().map(|own| (name.as_str(), own)));
        own.filter(|(_, own)| own.writable).collect()
    }

    fn nodes(&self) -> Vec<PostgresNode> {
        let addresses = self.writable();
        let replicas: Vec<&Replica> = addresses.iter().flat_map(|(_, own)| &own.replicas).collect();
        let node = |name: &String| {
            let known = self.known(name);
            let own = self.own.get(name).and_then(|own| own.as_ref().ok());
            PostgresNode {
                name: name.clone(),
                state: known.map(|known| known.reported.clone()),
                goal: known.map(|known| known.goal.clone()),
                healthy: known.is_some_and(|known| known.health == 1),
                writable: own.map(|own| own.writable),
                timeline: own.map(|own| own.timeline),
                behind_bytes: replicas
                    .iter()
                    .find(|replica| replica.name == *name)
                    .and_then(|replica| replica.behind_bytes),
            }
        };
        self.names.iter().map(node).collect()
    }
}

/// What somebody has to see to, the most urgent first.
fn alerts(seen: &Seen) -> Vec<(Severity, String)> {
    let mut alerts = Vec::new();
    let mut alert = |severity, message| alerts.push((severity, message));
    if let Err(why) = &seen.monitor {
        let message =
            format!("the monitor does not answer, so that nobody would replace a lost primary: bascule up ({why})");
        alert(Severity::Page, message);
    }
    match seen.writable()[..] {
        [] => alert(Severity::Page, "no node may be written to: bascule up brings back what can be".to_owned()),
        [(name, own)] => {
            let others = seen.names.len() - 1;
            if own.waits_for.is_empty() && others > 0 {
                let message = format!(
                    "what is committed is on {name} alone, and would be lost with it: bascule up brings its standby back"
                );
                alert(Severity::Page, message);
            }
            for (slot, state) in &own.slots {
                if matches!(state.as_deref(), Some("lost" | "unreserved")) {
                    let message = format!(
                        "{slot} does not find its place in the log of {name} any more, and has to be built anew: bascule pg rejoin NODE"
                    );
                    alert(Severity::Warning, message);
                }
            }
        }
        ref several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "{} may all be written to; poolers use one of them. Stop the one that none uses: bascule pg rejoin NODE",
                names.join(" and ")
            );
            alert(Severity::Page, message);
        }
    }
    for name in &seen.names {
        let why = match (seen.known(name), &seen.own[name]) {
            (Some(known), _) if known.reported != known.goal => {
                Some(format!("{name} is {}, to become {}", known.reported, known.goal))
            }
            (Some(known), _) if known.health != 1 => Some(format!("the monitor does not find {name} healthy")),
            (Some(_), Ok(_)) => None,
            (Some(_), Err(why)) => Some(format!("{name} does not answer: {why}")),
            (None, _) if seen.monitor.is_ok() => Some(format!("the monitor does not know {name}: bascule up")),
            (None, Err(why)) => Some(format!("{name} does not answer: {why}")),
            (None, Ok(_)) => None,
        };
        if let Some(message) = why {
            alert(Severity::Warning, message);
        }
    }
    let all_fail = !seen.poolers.is_empty() && seen.poolers.iter().all(|pooler| !pooler.status.writes);
    for pooler in &seen.poolers {
        let name = &pooler.status.name;
        if !pooler.status.writes {
            let severity = if all_fail { Severity::Page } else { Severity::Warning };
            alert(severity, format!("a write through {name} is not kept: {}", pooler.why));
        } else if pooler.is_silent {
            alert(
                Severity::Warning,
                format!("{name} does not tell the monitor which node it uses: it would not follow a failover"),
            );
        }
    }
    match &seen.backups {
        Some(Ok(told)) => alerts.extend(backups::alerts(told)),
        Some(Err(why)) => alerts.push((Severity::Warning, format!("the primary cannot tell how backups are: {why}"))),
        None => {}
    }
    alerts.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(writable: bool, waits_for: &str) -> Own {
        Own {
            writable,
            waits_for: waits_for.to_owned(),
            timeline: 3,
            replicas: Vec::new(),
            slots: [("pgautofailover_standby_2".to_owned(), Some("reserved".to_owned()))].into(),
        }
    }

    fn known(name: &str, state: &str) -> Known {
        Known { name: name.to_owned(), reported: state.to_owned(), goal: state.to_owned(), health: 1 }
    }

    fn pooler(name: &str) -> SeenPooler {
        let status = PoolerStatus { name: name.to_owned(), node: Some("pg-1".to_owned()), writes: true };
        SeenPooler { status, why: String::new(), is_silent: false }
    }

    fn seen() -> Seen {
        let nodes = vec![known("pg-1", "primary"), known("pg-2", "secondary")];
        Seen {
            names: vec!["pg-1".to_owned(), "pg-2".to_owned()],
            monitor: Ok(Told { nodes, poolers: Vec::new() }),
            own: [
                ("pg-1".to_owned(), Ok(own(true, "ANY 1 (pgautofailover_standby_2)"))),
                ("pg-2".to_owned(), Ok(own(false, ""))),
            ]
            .into(),
            poolers: vec![pooler("pooler-1"), pooler("pooler-2")],
            backups: None,
        }
    }

    #[track_caller]
    fn tells(seen: &Seen, expected: &[(Severity, &str)]) {
        let alerts = alerts(seen);
        assert_eq!(alerts.len(), expected.len(), "{alerts:#?}");
        for ((severity, message), (expected, beginning)) in alerts.iter().zip(expected) {
            assert!(severity == expected && message.starts_with(beginning), "{alerts:#?}");
        }
    }

    #[test]
    fn a_formation_that_is_well_alerts_nobody() {
        tells(&seen(), &[]);
    }

    #[test]
    fn commits_that_are_on_one_node_only_are_urgent() {
        let mut alone = seen();
        alone.monitor = Ok(Told {
            nodes: vec![known("pg-1", "wait_primary"), Known { health: 0, ..known("pg-2", "catchingup") }],
            poolers: Vec::new(),
        });
        alone.own.insert("pg-1".to_owned(), Ok(own(true, "")));
        alone.own.insert("pg-2".to_owned(), Err("it is stopped".to_owned()));
        tells(
            &alone,
            &[
                (Severity::Page, "what is committed is on pg-1 alone"),
                (Severity::Warning, "the monitor does not find pg-2 healthy"),
            ],
        );
    }

    #[test]
    fn two_writable_nodes_are_urgent_and_so_is_none() {
        let mut two = seen();
        two.own.insert("pg-2".to_owned(), Ok(own(true, "")));
        tells(&two, &[(Severity::Page, "pg-1 and pg-2 may all be written to")]);
        let mut none = seen();
        none.own.insert("pg-1".to_owned(), Ok(own(false, "")));
        tells(&none, &[(Severity::Page, "no node may be written to")]);
    }

    #[test]
    fn without_the_monitor_nobody_would_be_promoted() {
        let mut blind = seen();
        blind.monitor = Err("it is stopped".to_owned());
        tells(&blind, &[(Severity::Page, "the monitor does not answer")]);
    }

    #[test]
    fn a_pooler_that_does_not_write_warns_and_the_last_one_is_urgent() {
        let mut failing = seen();
        failing.poolers[0].status.writes = false;
        failing.poolers[0].why = "timeout".to_owned();
        tells(&failing, &[(Severity::Warning, "a write through pooler-1 is not kept: timeout")]);
        failing.poolers[1].status.writes = false;
        tells(&failing, &[(Severity::Page, "a write through pooler-1"), (Severity::Page, "a write through pooler-2")]);
        let mut silent = seen();
        silent.poolers[1].is_silent = true;
        tells(&silent, &[(Severity::Warning, "pooler-2 does not tell the monitor")]);
    }

    #[test]
    fn a_standby_whose_place_in_the_log_is_gone_is_told() {
        let mut lost = seen();
        let mut primary = own(true, "ANY 1 (pgautofailover_standby_2)");
        primary.slots = [("pgautofailover_standby_2".to_owned(), Some("lost".to_owned()))].into();
        lost.own.insert("pg-1".to_owned(), Ok(primary));
        tells(&lost, &[(Severity::Warning, "pgautofailover_standby_2 does not find its place")]);
    }
}
