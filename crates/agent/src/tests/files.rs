use bascule_plan::agent::Outcome;
use bascule_plan::{Resource, Sysctl};

use super::*;
use crate::system::{Access, Finished, Kind};

#[test]
fn a_file_is_made_with_its_directories_owner_and_mode() {
    let machine = Machine::default();
    converges(&machine, file("/etc/app/conf.d/app.conf", "a\nb\n"));
    assert_eq!(machine.content("/etc/app/conf.d/app.conf").unwrap(), "a\nb\n");
    assert_eq!(machine.metadata_of("/etc/app/conf.d/app.conf").unwrap().access, Access::root(0o644));
    assert_eq!(machine.metadata_of("/etc/app").unwrap().access, Access::root(0o755));
    assert_eq!(machine.paths_below("/etc/app/conf.d"), ["/etc/app/conf.d/app.conf"], "nothing is left beside it");
}

#[test]
fn the_reason_counts_the_lines_that_differ_and_quotes_none() {
    let machine = Machine::default();
    machine.put_file("/etc/app.conf", "one\ntwo\nthree\n");
    let said = converges(&machine, file("/etc/app.conf", "one\n2\nthree\nfour\n"));
    assert_eq!(said.reason, "content differs (2 of 4 lines)");
}

#[test]
fn a_mode_alone_is_put_right() {
    let machine = Machine::default();
    machine.put_file("/etc/app.conf", "a\n");
    let closed = Resource::File(bascule_plan::File { mode: 0o600, ..text_file("/etc/app.conf", "a\n") });
    let said = converges(&machine, closed);
    assert_eq!(said.reason, "is root:root 0644, not root:root 0600");
}

#[test]
fn a_file_its_validator_refuses_never_gets_into_place_and_leaves_nothing() {
    let machine = Machine::default();
    machine.put_file("/etc/app.conf", "good\n");
    machine.on_command("app-check", |machine, argv| {
        let staged = machine.content(&argv[1]).unwrap();
        if staged.contains("bad") { Finished::exited(1, "line 1: what is bad?\n") } else { Finished::exited(0, "") }
    });
    let said = apply(&machine, &[validated("/etc/app.conf", "bad\n", &["app-check", "{}"])]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.reason.contains("app-check refused the new file"), "{}", said.reason);
    assert_eq!(said.evidence.last_answer.as_deref(), Some("line 1: what is bad?"));
    assert_eq!(machine.content("/etc/app.conf").unwrap(), "good\n");
    assert_eq!(machine.paths_below("/etc").iter().filter(|path| path.contains("bascule")).count(), 0);
    converges(&machine, validated("/etc/app.conf", "better\n", &["app-check", "{}"]));
}

#[test]
fn a_symlink_where_a_file_should_be_is_replaced_and_its_target_left_alone() {
    let machine = Machine::default();
    machine.put_file("/etc/passwd", "precious\n");
    machine.put_symlink("/etc/passwd", "/etc/app.conf");
    converges(&machine, file("/etc/app.conf", "a\n"));
    assert_eq!(machine.metadata_of("/etc/app.conf").unwrap().kind, Kind::File);
    assert_eq!(machine.content("/etc/passwd").unwrap(), "precious\n");
}

#[test]
fn what_is_something_else_than_planned_is_left_alone() {
    let machine = Machine::default();
    machine.put_dir("/srv/data");
    machine.put_file("/srv/file", "a");
    machine.put_device("/srv/device");
    let wrong = [
        file("/srv/data", "a"),
        file("/srv/device", "a"),
        symlink("/srv/data", "elsewhere"),
        directory("/srv/file", "root", 0o755),
        Resource::Archive(archive("/srv/file", "an archive", b"").0),
    ];
    for resource in wrong {
        let resources = [resource];
        assert_eq!(outcomes(&check(&machine, &resources)), [Outcome::Failed]);
        let said = apply(&machine, &resources).pop().unwrap();
        assert_eq!(said.outcome, Outcome::Failed);
        assert!(said.reason.contains("left alone"), "{}", said.reason);
    }
}

#[test]
fn a_symlink_is_switched_in_place() {
    let machine = Machine::default();
    converges(&machine, symlink("/opt/app/current", "one"));
    let said = converges(&machine, symlink("/opt/app/current", "two"));
    assert_eq!(said.reason, "points to one, not two");
    assert_eq!(machine.metadata_of("/opt/app/current").unwrap().kind, Kind::Symlink { target: "two".to_owned() });
}

#[test]
fn an_owner_nobody_knows_is_named() {
    let said = apply(&Machine::default(), &[directory("/srv/app", "ghost", 0o750)]).pop().unwrap();
    assert_eq!((said.outcome, said.reason.as_str()), (Outcome::Failed, "there is no user ghost"));
}

#[test]
fn a_kernel_setting_is_set_now_and_after_a_reboot() {
    let machine = Machine::default();
    machine.put_sysctl("net.ipv4.ip_local_port_range", "32768\t60999");
    let setting = |value: &str| {
        Resource::Sysctl(Sysctl { key: "net.ipv4.ip_local_port_range".to_owned(), value: value.to_owned() })
    };
    converges(&machine, setting("1024 65000"));
    machine.power_loss(1);
    assert_eq!(machine.sysctl_now("net.ipv4.ip_local_port_range").unwrap(), "1024 65000");
    assert_eq!(outcomes(&check(&machine, &[setting("1024\t65000")])), [Outcome::Unchanged], "blanks do not matter");
}

#[test]
fn a_kernel_setting_that_does_not_exist_fails_already_in_the_check() {
    let setting = Resource::Sysctl(Sysctl { key: "vm.nonsense".to_owned(), value: "1".to_owned() });
    let said = check(&Machine::default(), &[setting]).pop().unwrap();
    assert_eq!((said.outcome, said.reason.as_str()), (Outcome::Failed, "this kernel has no setting vm.nonsense"));
}
