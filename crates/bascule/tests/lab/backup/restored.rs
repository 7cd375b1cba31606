//! A restore is made beside what serves, and may take its place.

use std::time::Duration;

use serde_json::Value;

use super::site::Site;
use crate::lab::{events, said};

/// What a node of another formation answers.
fn asked(site: &Site, formation: &str, statement: &str) -> String {
    let output = site.lab.run(&["pg", "psql", "postgres", "--formation", formation, "--", "-qAtc", statement]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const KNOWN: &str = "SELECT string_agg(n::text, ' ' ORDER BY n) FROM known";

fn restored(site: &Site, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["restore"].iter().chain(arguments).chain(&["--output", "json"]).copied().collect();
    let output = site.lab.run(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    events(&output).into_iter().find(|event| event["type"] == "restored").unwrap()
}

#[test]
fn a_moment_between_two_rows_gives_exactly_the_first_and_what_was_restored_can_serve() {
    let site = Site::up();
    site.sql("CREATE TABLE known (n int)");
    site.sql("INSERT INTO known VALUES (1)");
    std::thread::sleep(Duration::from_secs(2));
    let moment = site.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    std::thread::sleep(Duration::from_secs(2));
    site.sql("INSERT INTO known VALUES (2)");
    let position = site.sql("SELECT pg_current_wal_lsn()");
    site.sql("INSERT INTO known VALUES (3)");
    let segment = site.switch();
    site.wait_until_archived(&segment);

    // What cannot be is said before anything is made.
    let too_early = site.lab.run(&["restore", "--to", "2026-01-01T00:00:00Z"]);
    assert_eq!(too_early.status.code(), Some(2), "{}", said(&too_early));
    assert!(said(&too_early).contains("nothing before that can be restored"), "{}", said(&too_early));
    let yet_to_come = site.sql("SELECT pg_current_wal_lsn() + 1000000000");
    let beyond = site.lab.run(&["restore", "--to-lsn", &yet_to_come]);
    assert_eq!(beyond.status.code(), Some(2), "{}", said(&beyond));
    let no_such = site.lab.run(&["restore", "--backup", "20260101-000000F"]);
    assert_eq!(no_such.status.code(), Some(2), "{}", said(&no_such));
    assert!(site.lab.run(&["pg", "psql", "--formation", "r1"]).status.code() == Some(2), "r1 is not there");

    // One that is ended midway is finished by the next of that name, and no other target takes its place.
    let begins = |event: &Value| event["type"] == "step_began" && event["step"] == "postgres/restore/restore";
    assert!(site.lab.kill_at(&["restore", "--to", &moment], |_, event| begins(event)));
    let first = restored(&site, &["--to", &moment, "--formation", "r1"]);
    let another = site.lab.run(&["restore", "--formation", "r1"]);
    assert_eq!(another.status.code(), Some(1), "{}", said(&another));
    assert!(said(&another).contains("something else was restored here"), "{}", said(&another));
    assert_eq!((&first["formation"], &first["node"]), (&"r1".into(), &"pg-r1-1".into()), "{first}");
    assert_eq!(asked(&site, "r1", KNOWN), "1");
    // It archives nothing, and follows nobody; it may be written to.
    asked(&site, "r1", "INSERT INTO known VALUES (10)");
    assert_eq!(asked(&site, "r1", "SHOW archive_mode"), "off");
    // A second one after the first, by a position; what serves noticed neither.
    restored(&site, &["--to-lsn", &position, "--formation", "second"]);
    assert_eq!(asked(&site, "second", KNOWN), "1 2");
    assert_eq!(site.sql(KNOWN), "1 2 3");
    site.wait_until_whole();
    let up = site.lab.ok(&["up"]);
    assert!(up.contains("pg-r1-1, pg-second-1"), "{up}");
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
    // A name that nobody made would be empty databases.
    site.change("[postgres]\nformation = \"other\"\n");
    assert_eq!(site.lab.run(&["up"]).status.code(), Some(2));
    site.change("");
    site.lab.ok(&["down", "pg-second-1", "--yes-destroy", "backup"]);

    // It serves: with a standby of its own, through the same poolers, and with backups.
    site.change("[postgres]\nformation = \"r1\"\n");
    assert_eq!(site.lab.summary(&["up"])["failed"], 0);
    site.wait_until_well();
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
    assert_eq!(site.sql(KNOWN), "1 10");
    site.lab.ok(&["backup", "now", "--type", "full"]);
    let listed = site.listed("backup");
    assert!(listed.iter().all(|backup| backup["kind"] == "full"), "another history: {listed:#?}");
    // A restore of the former one is still possible, and so is the way back.
    restored(&site, &["--from", "first"]);
    assert_eq!(asked(&site, "r2", KNOWN), "1 2 3");
    site.lab.ok(&["down", "pg-r2-1", "--yes-destroy", "backup"]);
    site.change("");
    assert_eq!(site.lab.summary(&["up"])["failed"], 0);
    site.wait_until_well();
    assert_eq!(site.sql(KNOWN), "1 2 3");
    site.lab.ok(&["down", "pg-r1-1", "pg-r1-2", "--yes-destroy", "backup"]);
    // The repository has what r1 wrote.
    let taken = site.lab.run(&["restore", "--formation", "r1"]);
    assert_eq!(taken.status.code(), Some(2), "{}", said(&taken));
    assert_eq!(site.lab.summary(&["up"])["changed"], 0);
}
