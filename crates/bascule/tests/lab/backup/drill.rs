//! Drills: they pass twice in a row, fail on what is damaged, and leave nothing behind.

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::site::Site;
use crate::lab::{events, incus, said};
use crate::postgres::formation;

/// With pieces of the log that end every few seconds, or each drill would wait up to a minute for the one with its row.
fn drilled(site: &Site, arguments: &[&str]) -> Output {
    let is_over = AtomicBool::new(false);
    let primary = site.primary();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = "runuser -u postgres -- psql -qAtc 'SELECT pg_switch_wal()'";
            while !is_over.load(Ordering::Relaxed) {
                site.lab.shell(&primary, end);
                std::thread::sleep(Duration::from_secs(4));
            }
        });
        let output = drilled_at_leisure(site, arguments);
        is_over.store(true, Ordering::Relaxed);
        output
    })
}

fn drilled_at_leisure(site: &Site, arguments: &[&str]) -> Output {
    site.lab.run(&[&["drill", "restore", "--output", "json"], arguments].concat())
}

fn of(output: &Output, kind: &str) -> Vec<Value> {
    events(output).into_iter().filter(|event| event["type"] == kind).collect()
}

/// What is there beside the platform's own.
fn left(site: &Site) -> Vec<String> {
    let project = site.lab.project();
    let of = ["--project", &project, "--format", "csv", "--columns", "n"];
    let instances = incus(&[&["list"], &of[..]].concat());
    let volumes = incus(&[&["storage", "volume", "list", "default"], &of[..]].concat());
    let all = instances.lines().chain(volumes.lines()).map(str::to_owned);
    all.filter(|name| name.starts_with("pg-drill")).collect()
}

#[track_caller]
fn passes(site: &Site, output: Output) -> Value {
    assert!(output.status.success(), "{}", said(&output));
    for check in of(&output, "drill_check") {
        assert_eq!(check["passed"], true, "{check}");
    }
    let mut drill = of(&output, "drill");
    assert_eq!(left(site), [""; 0]);
    drill.remove(0)
}

/// The name of the first check that failed.
#[track_caller]
fn fails(site: &Site) -> String {
    let output = drilled(site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let failed = of(&output, "drill_check").into_iter().find(|check| check["passed"] == false);
    failed.unwrap_or_else(|| panic!("{}", said(&output)))["name"].as_str().unwrap().to_owned()
}

#[test]
fn two_drills_in_a_row_pass_and_tell_what_would_have_been_lost() {
    let site = Site::up();
    let before = site.listed("backup");
    // What a drill waits for is older than it, unless the log was hastened.
    for (least_ms, output) in [(1, drilled_at_leisure(&site, &[])), (0, drilled(&site, &[]))] {
        let drill = passes(&site, output);
        println!("backup: {drill}");
        let rpo_ms = drill["rpo_ms"].as_u64().unwrap();
        assert!((least_ms..180_000).contains(&rpo_ms), "{drill}");
    }
    assert_eq!(site.listed("backup"), before, "a drill writes nothing to the repository");
    assert_eq!(site.lab.summary(&["up"])["changed"], 0, "nothing of the platform knows of it");
    let told = site.lab.shell("pg-1", "cat /var/lib/prometheus/node-exporter/drill.prom");
    assert!(told.contains("bascule_drill_success 1"), "{told}");
}

#[test]
#[ignore = "long: left out by --short"]
fn a_drill_on_a_damaged_backup_fails_and_pages_until_one_passes() {
    let site = Site::up();
    site.lab.ok(&["backup", "now", "--type", "full"]);
    let name = site.listed("backup").pop().unwrap()["label"].as_str().unwrap().to_owned();
    site.damage(&format!("damage backup/main/{name}/bundle/"));
    let failed = fails(&site);
    site.damage("mend");
    assert_eq!(failed, "restore");
    let alerts = formation::status(&site.lab)["alerts"].to_string();
    assert!(alerts.contains("the last drill did not restore all of"), "{alerts}");
    // The log ends before the row that was written right before the drill.
    let segment = site.switch();
    site.wait_until_archived(&segment);
    site.damage(&format!("damage archive/main {segment}"));
    let failed = fails(&site);
    site.damage("mend");
    assert!(["canary", "recovery"].contains(&failed.as_str()), "{failed}");
    // Rows that are not there.
    site.in_shop("DELETE FROM orders WHERE id > 500");
    assert_eq!(fails(&site), "rows of shop.orders");
    site.in_shop("INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(501, 5000) n");
    passes(&site, drilled(&site, &[]));
    site.wait_until_whole();
}

#[test]
#[ignore = "long: left out by --short"]
fn a_drill_that_is_kept_is_there_for_a_look_and_one_that_was_killed_leaves_nothing_to_the_next() {
    let site = Site::up();
    let output = drilled(&site, &["--keep"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(left(&site).contains(&"pg-drill-data".to_owned()), "{:?}", left(&site));
    let listens = site.lab.shell("pg-drill", "ss -Hltn 'sport = 5432'");
    assert_eq!(listens, "", "nobody may come to what was restored");
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
    let killed = site
        .lab
        .kill_at(&["drill", "restore"], |_, event| event["type"] == "progress" && event["instance"] == "pg-drill");
    assert!(killed, "it ended before");
    passes(&site, drilled(&site, &[]));
}

#[test]
fn a_drill_without_a_repository_says_that_it_could_not_be_tried() {
    let site = Site::up();
    let balancer = site.lab.known_address("lb-1");
    // Whatever address it will have, and no other.
    site.cut_off_all_that_dhcp_serves(&balancer);
    let output = drilled(&site, &[]);
    site.heal();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(left(&site), [""; 0]);
}
