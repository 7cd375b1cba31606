use bascule_plan::agent::Outcome;
use bascule_plan::{Packages, Resource, User};

use super::*;
use crate::fake::Package;

fn packages(names: &[&str]) -> Resource {
    Resource::Packages(Packages { names: words(names) })
}

fn user(name: &str, groups: &[&str]) -> User {
    let (home, shell) = ("/srv/app".to_owned(), "/usr/sbin/nologin".to_owned());
    User { name: name.to_owned(), system: true, home, shell, groups: words(groups) }
}

#[test]
fn only_missing_packages_are_named_and_installed() {
    let machine = Machine::default();
    apply(&machine, &[packages(&["curl"])]);
    machine.provide(
        "nginx",
        Package { units: words(&["nginx.service"]), users: words(&["www-data"]), ..Package::default() },
    );
    let said = converges(&machine, packages(&["curl", "nginx"]));
    assert_eq!(said.reason, "1 of 2 not installed: nginx");
    assert!(machine.has_package("nginx") && machine.has_user("www-data"));
    assert_eq!(machine.starts("nginx.service"), 1, "as Debian does it");
}

#[test]
fn an_installation_that_was_interrupted_is_finished_first() {
    let machine = Machine::default();
    let resources = [packages(&["one", "two"])];
    // The update, the first half of `one`; then no more.
    machine.kill_after(2);
    assert!(machine.agent(&request(Mode::Apply, &resources)).killed);
    assert!(!machine.has_package("one"));
    assert_eq!(outcomes(&apply(&machine, &resources)), [Outcome::Changed]);
    assert!(machine.has_package("one") && machine.has_package("two"));
}

#[test]
fn another_apt_is_waited_for_and_the_wait_is_told() {
    let machine = Machine::default();
    machine.apt_busy_for_ms(60_000);
    let run = machine.agent(&request(Mode::Apply, &[packages(&["curl"])]));
    let waits = run.reports.iter().filter(|report| format!("{report:?}").contains("another apt")).count();
    assert!(waits >= 10, "{:?}", run.reports);
    assert_eq!(outcomes(&ends(&run.reports)), [Outcome::Changed]);

    machine.apt_busy_for_ms(10_000_000);
    let said = apply(&machine, &[packages(&["nginx"])]).pop().unwrap();
    assert_eq!(
        (said.outcome, said.reason.as_str()),
        (Outcome::Failed, "another apt or dpkg has been at work for 600 s")
    );
}

#[test]
fn a_user_is_made_and_later_put_right_without_losing_groups() {
    let machine = Machine::default();
    machine.provide("base", Package { users: words(&["ssl-cert", "adm"]), ..Package::default() });
    apply(&machine, &[packages(&["base"])]);
    converges(&machine, Resource::User(user("app", &["adm"])));
    let said =
        converges(&machine, Resource::User(User { shell: "/bin/bash".to_owned(), ..user("app", &["ssl-cert"]) }));
    assert_eq!(said.reason, "shell is /usr/sbin/nologin, not in group ssl-cert");
    assert_eq!(
        outcomes(&check(&machine, &[Resource::User(User { shell: "/bin/bash".to_owned(), ..user("app", &["adm"]) })])),
        [Outcome::Unchanged]
    );
}

#[test]
fn a_group_nobody_made_is_named() {
    let said = apply(&Machine::default(), &[Resource::User(user("app", &["ghosts"]))]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Failed);
    assert!(said.evidence.last_answer.unwrap().contains("ghosts"));
}
