//! The pages of the book that say what can be typed and what comes back, made from the types that decide it, so that
//! they cannot grow old.

mod events;
mod verbs;

use std::path::Path;
use std::{env, fs};

use crate::failure::EXIT_CODES;

#[test]
fn the_page_about_the_verbs_is_current() {
    current("verbs.md", &verbs::page());
}

#[test]
fn the_page_about_the_events_is_current() {
    current("events.md", &events::page());
}

#[test]
fn the_page_about_the_exit_codes_is_current() {
    let rows: String = EXIT_CODES.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n")).collect();
    current("exit-codes.md", &(EXITS.to_owned() + &rows));
}

const EXITS: &str = "\
# Exit codes

Every verb ends with one of these. `exec` and `logs` hand on the exit code of the command that they ran, and one of these
where it could not be run.

| code | meaning |
| --- | --- |
";

#[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
fn current(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference").join(name);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == page, "{name} is old: run `UPDATE_DOCS=1 cargo test -p bascule --bin bascule reference`");
}
