//! What somebody has to see to of backups.

use std::collections::BTreeMap;

use bascule_plan::event::Severity;
use bascule_release::Drills;
use indicatif::HumanBytes;
use serde::Deserialize;

/// A full one is made every week, and takes a day at most.
const FULL_MAX_S: f64 = 8.0 * DAY_S;
/// One of any kind is made every day.
const ANY_MAX_S: f64 = 26.0 * 3600.0;
/// The first one is made within half an hour; this is for one of a large database.
const FIRST_MAX_S: f64 = 6.0 * 3600.0;
const DAY_S: f64 = 86_400.0;
/// The log is on its way every minute, and an attempt that failed is repeated within another.
const WAITING_MAX_S: f64 = 300.0;
/// So full is the queue when it becomes urgent: what does not fit is dropped.
const QUEUE_NEARLY_FULL: f64 = 0.5;

/// What the program `backup` tells on the primary.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Backups {
    archiver: Archiver,
    /// Why the repository does not answer.
    unreachable: Option<String>,
    /// Pieces of the log since the newest backup that nobody has.
    lost: Vec<String>,
    /// How old the newest one of each kind is, in seconds.
    backups: BTreeMap<String, f64>,
    /// Since when there might be some, in seconds.
    pub(super) since_s: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Archiver {
    /// The last attempt to send a piece of the log failed.
    failing: bool,
    /// How long the oldest piece has been waiting.
    waiting_s: f64,
    waiting_bytes: u64,
    waiting_max_bytes: u64,
}

/// Of drills, which are done every week where the platform has an ops instance; `weekly` says whether it has. That none has passed
/// yet is told as soon as there have been backups for long enough.
pub(super) fn drill_alerts(
    drills: &Drills,
    weekly: bool,
    now_ms: i64,
    backed_up_s: Option<f64>,
) -> Vec<(Severity, String)> {
    let mut alerts = Vec::new();
    if let Some(last) = drills.last.as_ref().filter(|last| !last.passed) {
        let message = format!(
            "the last drill did not restore all of {}, {} ago: bascule drill restore --keep, and look at what is wrong",
            last.backup,
            duration((now_ms - last.ended_ms) as f64 / 1_000.0)
        );
        alerts.push((Severity::Page, message));
    }
    let age_s = drills.passed_ms.map(|passed_ms| (now_ms - passed_ms) as f64 / 1_000.0).or(backed_up_s);
    if let Some(age_s) = age_s.filter(|age_s| weekly && *age_s > FULL_MAX_S) {
        let message = format!("no drill has passed for {}: bascule drill restore", duration(age_s));
        alerts.push((Severity::Warning, message));
    }
    alerts
}

/// In the order in which they were found.
pub(super) fn alerts(seen: &Backups) -> Vec<(Severity, String)> {
    let mut alerts = Vec::new();
    let mut alert = |severity, message| alerts.push((severity, message));
    let Archiver { failing, waiting_s, waiting_bytes, waiting_max_bytes } = seen.archiver;
    let queue = waiting_bytes as f64 / waiting_max_bytes.max(1) as f64;
    let (waits, most) = (HumanBytes(waiting_bytes), HumanBytes(waiting_max_bytes));
    if queue >= QUEUE_NEARLY_FULL {
        let message =
            format!("{waits} of the log wait for the repository of backups; what is more than {most} is dropped");
        alert(Severity::Page, message);
    } else if waiting_s > WAITING_MAX_S || failing {
        let message = format!(
            "the log has not got to the repository of backups for {}: {waits} wait, of {most} that may",
            duration(waiting_s)
        );
        alert(if waiting_s > WAITING_MAX_S { Severity::Page } else { Severity::Warning }, message);
    }
    if let Some(why) = &seen.unreachable {
        alert(Severity::Warning, format!("the repository of backups does not answer: {why}"));
        return alerts;
    }
    if let Some(first) = seen.lost.first() {
        let message = format!(
            "the log in the repository has a gap of {} from {first} on, past which nothing can be restored until there is a new backup: \
             bascule backup now, or wait for a quarter of an hour",
            HumanBytes(seen.lost.len() as u64 * SEGMENT_BYTES)
        );
        alert(Severity::Page, message);
    }
    let newest = seen.backups.values().copied().reduce(f64::min);
    match (newest, seen.backups.get("full")) {
        (None, _) => {
            if let Some(since_s) = seen.since_s.filter(|since_s| *since_s > FIRST_MAX_S) {
                alert(
                    Severity::Page,
                    format!("there has been no backup for {}: bascule backup now", duration(since_s)),
                );
            }
        }
        (Some(age_s), full) => {
            if age_s > ANY_MAX_S {
                alert(Severity::Warning, format!("the newest backup is {} old: bascule backup now", duration(age_s)));
            }
            match full {
                Some(age_s) if *age_s > FULL_MAX_S => {
                    let message =
                        format!("the newest full backup is {} old: bascule backup now --type full", duration(*age_s));
                    alert(Severity::Warning, message);
                }
                Some(_) => {}
                None => alert(Severity::Warning, "there is no full backup: bascule backup now --type full".to_owned()),
            }
        }
    }
    alerts
}

const SEGMENT_BYTES: u64 = 16 << 20;

/// In one unit, as a person says it.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 2.0 * DAY_S => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / DAY_S),
    }
}

#[cfg(test)]
mod tests {
    use bascule_release::DrillRecord;

    use super::*;

    fn well() -> Backups {
        Backups {
            archiver: Archiver { failing: false, waiting_s: 0.0, waiting_bytes: 0, waiting_max_bytes: 1 << 30 },
            unreachable: None,
            lost: Vec::new(),
            backups: [("full".to_owned(), 3.0 * DAY_S), ("differential".to_owned(), 3600.0)].into(),
            since_s: Some(30.0 * DAY_S),
        }
    }

    #[track_caller]
    fn tells(seen: &Backups, expected: &[(Severity, &str)]) {
        let alerts = alerts(seen);
        assert_eq!(alerts.len(), expected.len(), "{alerts:#?}");
        for ((severity, message), (expected, beginning)) in alerts.iter().zip(expected) {
            assert!(severity == expected && message.starts_with(beginning), "{alerts:#?}");
        }
    }

    #[test]
    fn backups_in_time_and_a_log_that_gets_there_alert_nobody() {
        tells(&well(), &[]);
        let mut fresh = Backups { backups: BTreeMap::new(), since_s: Some(600.0), ..well() };
        tells(&fresh, &[]);
        fresh.since_s = None;
        tells(&fresh, &[]);
    }

    #[test]
    fn what_was_due_and_is_not_there_is_told() {
        let mut old = well();
        old.backups = [("full".to_owned(), 9.0 * DAY_S), ("differential".to_owned(), 3600.0)].into();
        tells(&old, &[(Severity::Warning, "the newest full backup is 9 days old")]);
        old.backups = [("full".to_owned(), 27.0 * 3600.0)].into();
        tells(&old, &[(Severity::Warning, "the newest backup is 27 h old")]);
        old.backups = BTreeMap::new();
        tells(&old, &[(Severity::Page, "there has been no backup for 30 days")]);
    }

    #[test]
    fn a_log_that_waits_warns_and_is_urgent_before_any_of_it_is_dropped() {
        let mut waits = well();
        waits.archiver.failing = true;
        waits.archiver.waiting_s = 70.0;
        tells(&waits, &[(Severity::Warning, "the log has not got to the repository of backups for 70 s")]);
        waits.archiver.waiting_s = 1_000.0;
        tells(&waits, &[(Severity::Page, "the log has not got to the repository of backups for 17 min")]);
        waits.archiver.waiting_bytes = 600 << 20;
        waits.unreachable = Some("timeout".to_owned());
        let expected = [
            (Severity::Page, "600.00 MiB of the log wait for the repository of backups"),
            (Severity::Warning, "the repository of backups does not answer: timeout"),
        ];
        tells(&waits, &expected);
    }

    #[test]
    fn a_drill_that_failed_is_urgent_and_one_that_has_not_passed_for_long_is_told() {
        const NOW_MS: i64 = 1_000_000_000_000;
        let hour_ms = 3_600_000;
        let last =
            |passed| DrillRecord { passed, ended_ms: NOW_MS - 3 * hour_ms, backup: "20260104-020312F".to_owned() };
        let drills = |last, passed_ms| Drills { last, passed_ms };
        let told = |drills: &Drills, weekly| drill_alerts(drills, weekly, NOW_MS, Some(9.0 * DAY_S));
        let [(Severity::Warning, message)] = &told(&Drills::default(), true)[..] else { panic!() };
        assert!(message.starts_with("no drill has passed for 9 days"), "{message}");
        assert_eq!(drill_alerts(&Drills::default(), true, NOW_MS, Some(DAY_S)), [], "there was no Sunday yet");
        assert_eq!(told(&drills(Some(last(true)), Some(NOW_MS - 3 * hour_ms)), true), []);
        let failed = told(&drills(Some(last(false)), Some(NOW_MS - 7 * 24 * hour_ms)), true);
        let [(Severity::Page, message)] = &failed[..] else { panic!("{failed:?}") };
        assert!(message.starts_with("the last drill did not restore all of 20260104-020312F, 3 h ago"), "{message}");
        let old = drills(Some(last(true)), Some(NOW_MS - 9 * 24 * hour_ms));
        let [(Severity::Warning, message)] = &told(&old, true)[..] else { panic!() };
        assert!(message.starts_with("no drill has passed for 9 days"), "{message}");
        assert_eq!(told(&old, false), [], "nobody does them by themselves");
    }

    #[test]
    fn a_gap_in_the_log_is_urgent() {
        let gap = Backups { lost: vec!["000000010000000000000007".to_owned(); 2], ..well() };
        tells(&gap, &[(Severity::Page, "the log in the repository has a gap of 32.00 MiB from 0000")]);
    }
}
