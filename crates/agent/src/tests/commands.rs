use bascule_plan::agent::Outcome;

use super::*;
use crate::system::Finished;

/// `migrate` makes a mark, `is-migrated` looks for it.
fn with_migration(machine: &Machine) {
    machine.on_command("migrate", |machine, _| {
        machine.put_file("/srv/migrated", "yes");
        Finished::exited(0, "1 migration\n")
    });
    machine.on_command("is-migrated", |machine, _| {
        let missing = machine.content("/srv/migrated").is_none();
        Finished::exited(i32::from(missing), if missing { "not migrated\n" } else { "" })
    });
}

#[test]
fn a_command_runs_until_its_check_is_content() {
    let machine = Machine::default();
    with_migration(&machine);
    let said = converges(&machine, command(&["migrate"], &["is-migrated"]));
    assert_eq!(said.reason, "its check says it is needed (not migrated)");
}

#[test]
fn a_command_that_fails_shows_the_end_of_its_output() {
    let machine = Machine::default();
    machine.on_command("needed", |_, _| Finished::exited(1, ""));
    machine.on_command("migrate", |_, _| Finished::exited(3, "connecting\nno route\n"));
    let said = apply(&machine, &[command(&["migrate", "now"], &["needed"])]).pop().unwrap();
    assert_eq!((said.outcome, said.reason.as_str()), (Outcome::Failed, "migrate now exited with 3"));
    assert_eq!(said.evidence.last_answer.as_deref(), Some("connecting\nno route"));
}

#[test]
fn a_command_that_changes_nothing_is_no_success() {
    let machine = Machine::default();
    machine.on_command("needed", |_, _| Finished::exited(1, "still needed\n"));
    let said = apply(&machine, &[command(&["migrate"], &["needed"])]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.contains("still needed"), "{}", said.reason);
}

#[test]
fn after_pending_changes_only_a_check_that_passes_is_believed() {
    let machine = Machine::default();
    with_migration(&machine);
    let resources = [file("/etc/app.conf", "a"), command(&["migrate"], &["is-migrated"])];
    let said = check(&machine, &resources);
    assert_eq!(outcomes(&said), [Outcome::WouldChange, Outcome::WouldChange]);
    assert!(said[1].reason.contains("before the changes above"), "{}", said[1].reason);
    machine.put_file("/srv/migrated", "yes");
    assert_eq!(outcomes(&check(&machine, &resources)), [Outcome::WouldChange, Outcome::Unchanged]);
}

#[test]
fn an_apply_stops_at_the_first_failure_and_a_check_does_not() {
    let machine = Machine::default();
    machine.put_dir("/etc/app.conf");
    let resources = [file("/etc/first", "a"), file("/etc/app.conf", "a"), file("/etc/last", "a")];
    let all = [Outcome::WouldChange, Outcome::Failed, Outcome::WouldChange];
    assert_eq!(outcomes(&check(&machine, &resources)), all);
    assert_eq!(outcomes(&apply(&machine, &resources)), [Outcome::Changed, Outcome::Failed]);
    assert_eq!(machine.content("/etc/last"), None);
}

#[test]
fn an_agent_waits_for_a_busy_one_and_says_so() {
    let machine = Machine::default();
    machine.busy_for_ms(20_000);
    let run = machine.agent(&request(Mode::Apply, &[file("/etc/a", "a")]));
    let told = run.reports.iter().filter(|report| matches!(report, Report::Progress { .. })).count();
    assert!(told >= 3, "says so every few seconds: {:?}", run.reports);
    assert_eq!(outcomes(&ends(&run.reports)), [Outcome::Changed]);

    machine.busy_for_ms(1_000_000);
    let said = apply(&machine, &[file("/etc/a", "b")]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.contains("another agent"), "{}", said.reason);
    assert_eq!(machine.content("/etc/a").unwrap(), "a");
}

#[test]
fn a_command_whose_check_looks_at_a_file_that_changes_above_would_run() {
    let machine = Machine::default();
    let reads = |paths: &[&str]| match command(&["apply"], &["check"]) {
        Resource::Command(command) => Resource::Command(bascule_plan::Command { reads: words(paths), ..command }),
        other => other,
    };
    let outcome = |paths: &[&str]| {
        let found = check(&machine, &[file("/etc/app.map", "active blue\n"), reads(paths)]);
        found[1].outcome
    };
    assert_eq!(outcome(&["/etc/app.map"]), Outcome::WouldChange);
    assert_eq!(outcome(&["/etc/other.map"]), Outcome::Unchanged);
}
