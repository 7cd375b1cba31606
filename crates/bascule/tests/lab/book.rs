//! What the book tells to type, typed: its pages that need an Incus, in their order, in one shell.

#[path = "../shared/book/mod.rs"]
mod shared;

use shared::{Shell, Stage, pages};

use crate::lab::program;

/// Names that are the test's own, so that a reader's shop on this machine is left alone; and what a machine that is a
/// container itself can give.
const OVERLAY: &str = "
[incus]
project = \"bascule-test-book\"

[network]
bridge = \"bslt-book\"

[load_balancer]
connections_max = 8000
";

#[test]
fn the_tutorial_and_the_guides_work_from_the_first_command_to_the_last() {
    let folder = tempfile::TempDir::new().unwrap();
    let stage = Stage { swaps: vec![("10.20.0.", "10.99.46.")], added: Some(("env/lab.toml", OVERLAY)) };
    let mut shell = Shell::start(folder.path(), &program(), stage);
    let pages = pages().into_iter().filter(|page| page.needs_lab());
    assert!(pages.map(|page| shell.follow(&page)).count() >= 3);
}
