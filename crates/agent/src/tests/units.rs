use bascule_plan::UnitState::{Masked, Running, Stopped};
use bascule_plan::agent::Outcome;

use super::*;

const APP: &str = "app.service";
const UNIT_FILE: &str = "/etc/systemd/system/app.service";

/// A unit that reads one file at its start and one also at a reload.
fn with_app(machine: &Machine) {
    machine.put_file(UNIT_FILE, "[Service]\n[Install]\nWantedBy=multi-user.target\n");
    machine.put_file("/etc/app.conf", "1");
    machine.put_file("/etc/app.map", "1");
    machine.unit_reads(APP, &["/etc/app.conf"], &["/etc/app.map"]);
}

fn running() -> Resource {
    unit(APP, Running, &[UNIT_FILE, "/etc/app.conf"], &["/etc/app.map"])
}

#[test]
fn a_unit_is_enabled_and_started() {
    let machine = Machine::default();
    with_app(&machine);
    let said = converges(&machine, running());
    assert_eq!(said.reason, "is not enabled, is inactive (dead)");
    assert!(machine.runs_current(APP));
    machine.power_loss(1);
    assert!(machine.runs_current(APP), "also after a boot");
}

#[test]
fn a_unit_restarts_once_when_an_input_changed_and_reloads_when_that_is_enough() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    machine.put_file("/etc/app.map", "2");
    converges(&machine, running());
    assert_eq!((machine.starts(APP), machine.reloads(APP)), (1, 1));
    machine.put_file("/etc/app.conf", "2");
    machine.put_file("/etc/app.map", "3");
    converges(&machine, running());
    assert_eq!((machine.starts(APP), machine.reloads(APP)), (2, 1));
    assert!(machine.runs_current(APP));
}

#[test]
fn a_new_unit_file_is_read_again_before_the_restart() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    machine.put_file(UNIT_FILE, "[Service]\nNice=1\n[Install]\nWantedBy=multi-user.target\n");
    converges(&machine, running());
    assert!(machine.runs_current(APP));
    assert_eq!(machine.starts(APP), 2);
}

#[test]
fn a_check_foresees_the_restart_that_a_file_above_causes() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    let said = check(&machine, &[file("/etc/app.conf", "2"), running()]);
    assert_eq!(outcomes(&said), [Outcome::WouldChange, Outcome::WouldChange]);
    assert_eq!(said[1].reason, "/etc/app.conf changes above: restart");
    let said = check(&machine, &[file("/etc/unrelated", "2"), running()]);
    assert_eq!(outcomes(&said), [Outcome::WouldChange, Outcome::Unchanged]);
}

#[test]
fn a_mode_that_changes_above_restarts_nothing() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    let closed = Resource::File(File { mode: 0o600, ..text_file("/etc/app.conf", "1") });
    let resources = [closed, running()];
    assert_eq!(outcomes(&check(&machine, &resources)), [Outcome::WouldChange, Outcome::Unchanged]);
    assert_eq!(outcomes(&apply(&machine, &resources)), [Outcome::Changed, Outcome::Unchanged]);
}

#[test]
fn an_edit_by_hand_that_a_reload_took_up_is_undone_in_the_running_unit_too() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    machine.put_file("/etc/app.map", "by hand");
    machine.systemctl(crate::UnitVerb::Reload, APP, &mut |_| ()).unwrap();
    // The file has the content of the last good start again, the running unit has not.
    let resources = [file("/etc/app.map", "1"), running()];
    assert_eq!(outcomes(&check(&machine, &resources)), [Outcome::WouldChange, Outcome::WouldChange]);
    assert_eq!(outcomes(&apply(&machine, &resources)), [Outcome::Changed, Outcome::Changed]);
    assert!(machine.runs_current(APP));
}

#[test]
fn a_restart_or_reload_that_was_killed_is_not_forgotten_when_the_input_comes_back() {
    for input in ["/etc/app.conf", "/etc/app.map"] {
        for n in 0.. {
            let machine = Machine::default();
            with_app(&machine);
            apply(&machine, &[running()]);
            machine.put_file(input, "2");
            machine.kill_after(n);
            if !machine.agent(&request(Mode::Apply, &[running()])).killed {
                break;
            }
            machine.put_file(input, "1");
            apply(&machine, &[running()]);
            assert!(machine.runs_current(APP), "{input}, killed before change {n}");
        }
    }
}

#[test]
fn a_file_that_was_refused_owes_no_restart() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    machine.on_command("refuse", |_, _| crate::system::Finished::exited(1, ""));
    assert_eq!(outcomes(&apply(&machine, &[validated("/etc/app.conf", "2", &["refuse"])])), [Outcome::Failed]);
    assert_eq!(outcomes(&apply(&machine, &[running()])), [Outcome::Unchanged]);
    assert_eq!(machine.starts(APP), 1);
}

#[test]
fn a_restart_is_owed_even_when_the_run_that_wrote_the_file_was_killed() {
    let resources = [file("/etc/app.conf", "2"), running()];
    for n in 0.. {
        let machine = Machine::default();
        with_app(&machine);
        apply(&machine, &[running()]);
        machine.kill_after(n);
        if !machine.agent(&request(Mode::Apply, &resources)).killed {
            break;
        }
        let restarted_before_kill = machine.starts(APP) == 2;
        apply(&machine, &resources);
        assert!(machine.runs_current(APP), "killed before change {n}");
        if !restarted_before_kill {
            assert_eq!(machine.starts(APP), 2, "killed before change {n}: exactly one restart");
        }
        apply(&machine, &resources);
        assert!(machine.starts(APP) <= 3, "killed before change {n}: and none later");
    }
}

#[test]
fn a_unit_that_a_package_started_before_its_configuration_came_is_restarted() {
    let machine = Machine::default();
    machine.provide("app", crate::fake::Package { units: words(&[APP]), ..Default::default() });
    machine.unit_reads(APP, &["/etc/app.conf"], &[]);
    let packages = Resource::Packages(bascule_plan::Packages { names: words(&["app"]) });
    let resources = [packages, file("/etc/app.conf", "1"), unit(APP, Running, &["/etc/app.conf"], &[])];
    assert_eq!(outcomes(&check(&machine, &resources)), [Outcome::WouldChange; 3]);
    let said = apply(&machine, &resources);
    assert_eq!(outcomes(&said), [Outcome::Changed; 3]);
    assert_eq!(said[2].reason, "it is not known what it was started with: restart");
    assert!(machine.runs_current(APP));
    assert_eq!(outcomes(&apply(&machine, &resources)), [Outcome::Unchanged; 3]);
}

#[test]
fn a_unit_without_inputs_that_runs_already_is_left_alone() {
    let machine = Machine::default();
    machine.provide("app", crate::fake::Package { units: words(&[APP]), ..Default::default() });
    apply(&machine, &[Resource::Packages(bascule_plan::Packages { names: words(&["app"]) })]);
    assert_eq!(outcomes(&apply(&machine, &[unit(APP, Running, &[], &[])])), [Outcome::Unchanged]);
    assert_eq!(machine.starts(APP), 1);
}

#[test]
fn a_unit_that_cannot_start_fails_with_its_status_and_log_and_is_tried_again() {
    let machine = Machine::default();
    with_app(&machine);
    machine.unit_fails(APP, true);
    let said = apply(&machine, &[running()]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.starts_with("systemctl start app.service exited with 1"), "{}", said.reason);
    assert!(said.evidence.unit_status.unwrap().contains("failed"));
    assert_eq!(said.evidence.log, ["cannot start: exit code 1"]);
    machine.unit_fails(APP, false);
    assert_eq!(outcomes(&apply(&machine, &[running()])), [Outcome::Changed]);
}

#[test]
fn a_unit_that_starts_and_dies_again_and_again_is_no_success() {
    let machine = Machine::default();
    with_app(&machine);
    machine.unit_crash_loops(APP, true);
    let said = apply(&machine, &[running()]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.contains("did not stay up"), "{}", said.reason);
    assert_eq!(outcomes(&check(&machine, &[running()])), [Outcome::WouldChange], "it is not taken for started");
}

#[test]
fn a_unit_that_was_started_too_often_already_is_started_all_the_same() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    machine.put_file("/etc/app.conf", "2");
    machine.unit_hits_start_limit(APP);
    assert_eq!(outcomes(&apply(&machine, &[running()])), [Outcome::Changed]);
    assert!(machine.runs_current(APP));
}

#[test]
fn a_unit_is_watched_after_its_start_unless_it_says_itself_when_it_is_ready() {
    for (kind, is_watched) in [("simple", true), ("notify", false)] {
        let machine = Machine::default();
        with_app(&machine);
        machine.put_file(UNIT_FILE, format!("[Service]\nType={kind}\n[Install]\nWantedBy=multi-user.target\n"));
        let before_ms = machine.now_ms();
        apply(&machine, &[running()]);
        assert_eq!(machine.now_ms() > before_ms, is_watched, "{kind}");
    }
}

#[test]
fn a_failed_restart_is_still_owed_to_the_next_run() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    machine.put_file("/etc/app.conf", "2");
    machine.unit_fails(APP, true);
    assert_eq!(outcomes(&apply(&machine, &[running()])), [Outcome::Failed]);
    machine.unit_fails(APP, false);
    assert_eq!(outcomes(&apply(&machine, &[running()])), [Outcome::Changed]);
    assert!(machine.runs_current(APP));
}

#[test]
fn a_unit_is_stopped_for_good_or_masked() {
    let machine = Machine::default();
    with_app(&machine);
    apply(&machine, &[running()]);
    let said = converges(&machine, unit(APP, Stopped, &[], &[]));
    assert_eq!(said.reason, "is enabled, is active");
    machine.power_loss(1);
    assert!(!machine.runs_current(APP));
    converges(&machine, unit(APP, Masked, &[], &[]));
    converges(&machine, running());
    assert!(machine.runs_current(APP));
}

#[test]
fn a_unit_nobody_has_is_named_unless_it_should_not_run() {
    let machine = Machine::default();
    let said = check(&machine, &[unit("ghost.service", Running, &[], &[])]).pop().unwrap();
    assert_eq!((said.outcome, said.reason.as_str()), (Outcome::Failed, "there is no unit ghost.service"));
    assert_eq!(outcomes(&check(&machine, &[unit("ghost.service", Stopped, &[], &[])])), [Outcome::Unchanged]);
    let resources = [file("/etc/unrelated", "1"), unit("ghost.service", Stopped, &[], &[])];
    assert_eq!(outcomes(&check(&machine, &resources)), [Outcome::WouldChange, Outcome::Unchanged]);
    let resources = [file("/etc/systemd/system/ghost.service", "1"), unit("ghost.service", Running, &[], &[])];
    assert_eq!(outcomes(&check(&machine, &resources)), [Outcome::WouldChange, Outcome::WouldChange]);
    converges(&machine, unit("ghost.service", Masked, &[], &[]));
}
