//! One line with a step of every kind, killed before every single change it makes, with and without the loss of power.

use bascule_plan::agent::Outcome;
use bascule_plan::{OnTimeout, Packages, Probe, Resource, Sysctl, UnitState, User, Wait};
use proptest::prelude::*;

use super::*;
use crate::fake::Package;
use crate::system::{Finished, HttpAnswer, Meta};

const UNIT_FILE: &str = "/etc/systemd/system/app.service";

/// A line, and the blob that its archive needs.
struct Release {
    resources: Vec<Resource>,
    blob: (bascule_plan::Archive, Vec<u8>),
}

fn release(version: &str) -> Release {
    let program = format!("program {version}");
    let blob =
        archive(&format!("/opt/app/{version}"), version, &tarball(&[("bin/app*", &program), ("share/a/b", "text")]));
    let user = User {
        name: "app".to_owned(),
        system: true,
        home: "/srv/app".to_owned(),
        shell: "/usr/sbin/nologin".to_owned(),
        groups: vec![],
    };
    let probe = Probe::Http { url: "http://127.0.0.1:8080/".to_owned(), contains: None };
    let wait = Wait {
        probe,
        timeout_ms: 5_000,
        interval_ms: 100,
        unit: Some("app.service".to_owned()),
        on_timeout: OnTimeout::Fail,
    };
    let unit_text = format!("[Service]\nDescription={version}\n[Install]\nWantedBy=multi-user.target\n");
    let resources = vec![
        Resource::Packages(Packages { names: words(&["nginx", "curl"]) }),
        Resource::User(user),
        directory("/srv/app/data", "app", 0o750),
        Resource::Sysctl(Sysctl { key: "net.core.somaxconn".to_owned(), value: "65535".to_owned() }),
        validated("/etc/nginx/app.conf", &format!("serve {version}\n"), &["nginx-check", "{}"]),
        unit("nginx.service", UnitState::Running, &[], &["/etc/nginx/app.conf"]),
        secret_file("/etc/app/token", "app"),
        Resource::Archive(blob.0.clone()),
        symlink("/opt/app/current", version),
        file(UNIT_FILE, &unit_text),
        command(&["migrate", version], &["is-migrated", version]),
        unit("app.service", UnitState::Running, &[UNIT_FILE, "/etc/app/token", "/opt/app/current"], &[]),
        Resource::Wait(wait),
    ];
    Release { resources, blob }
}

fn machine() -> Machine {
    let machine = Machine::default();
    machine.provide(
        "nginx",
        Package { units: words(&["nginx.service"]), users: words(&["www-data"]), ..Package::default() },
    );
    machine.put_sysctl("net.core.somaxconn", "4096");
    machine.unit_reads("nginx.service", &[], &["/etc/nginx/app.conf"]);
    machine.unit_reads("app.service", &["/etc/app/token", "/opt/app/current/bin/app"], &[]);
    machine.on_command("nginx-check", |machine, argv| {
        let whole = machine.content(&argv[1]).is_some_and(|text| text.ends_with('\n'));
        Finished::exited(i32::from(!whole), "")
    });
    machine.on_command("migrate", |machine, argv| {
        machine.put_file("/srv/schema", &argv[1]);
        Finished::exited(0, "")
    });
    machine.on_command("is-migrated", |machine, argv| {
        Finished::exited(i32::from(machine.content("/srv/schema").as_ref() != Some(&argv[1])), "")
    });
    machine.on_http(|machine, _| {
        let status = if machine.runs_current("app.service") { 200 } else { 503 };
        Ok(HttpAnswer { status, body: String::new() })
    });
    machine
}

/// As the engine does it: asks first, brings the blob that is needed, and applies.
fn bring_and_apply(machine: &Machine, release: &Release) -> (Vec<Said>, crate::fake::Run) {
    let predicted = check(machine, &release.resources);
    let needs_blob =
        predicted.iter().any(|said| said.outcome == Outcome::WouldChange && said.reason.contains("archive"));
    if needs_blob {
        machine.put_file(&release.blob.0.blob.staged_path(), &release.blob.1);
    }
    (predicted, machine.agent(&request(Mode::Apply, &release.resources)))
}

/// Everything that can be seen of a machine.
fn state(machine: &Machine) -> Vec<(String, Option<Meta>, Option<String>)> {
    let see = |path: String| (path.clone(), machine.metadata_of(&path), machine.content(&path));
    machine.paths_below("/").into_iter().map(see).collect()
}

/// A run that is not killed does what its check said, and leaves the machine as if nothing had ever gone wrong.
fn finishes(machine: &Machine, release: &Release, whole: &Machine, at: &str) {
    let (predicted, run) = bring_and_apply(machine, release);
    let applied = ends(&run.reports);
    for ((predicted, applied), resource) in predicted.iter().zip(&applied).zip(&release.resources) {
        let as_said = match predicted.outcome {
            Outcome::Unchanged => applied.outcome == Outcome::Unchanged,
            // What waits for the changes above may then find that it need not wait.
            _ if matches!(resource, Resource::Wait(_)) => applied.outcome != Outcome::Failed,
            _ => applied.outcome == Outcome::Changed,
        };
        assert!(as_said, "{at}: said {predicted:?}, did {applied:?}");
    }
    assert_eq!(applied.len(), release.resources.len(), "{at}: {applied:?}");
    for (mine, whole) in state(machine).iter().zip(&state(whole)) {
        assert_eq!(mine, whole, "{at}");
    }
    assert_eq!(machine.paths_below("/"), whole.paths_below("/"), "{at}");
    assert!(machine.runs_current("app.service") && machine.runs_current("nginx.service"), "{at}");
    let (_, again) = bring_and_apply(machine, release);
    assert!(outcomes(&ends(&again.reports)).iter().all(|outcome| *outcome == Outcome::Unchanged), "{at}: {again:?}");
}

/// Kills the second of two releases before each of its changes; `then` is what else goes wrong after the kill.
fn killed_everywhere(before: Option<&Release>, release: &Release, then: impl Fn(&Machine, u64)) -> u64 {
    let prepared = || {
        let machine = machine();
        before.into_iter().for_each(|before| drop(bring_and_apply(&machine, before)));
        machine
    };
    let whole = prepared();
    bring_and_apply(&whole, release);
    for n in 0.. {
        let machine = prepared();
        check(&machine, &release.resources);
        machine.put_file(&release.blob.0.blob.staged_path(), &release.blob.1);
        machine.kill_after(n);
        if !machine.agent(&request(Mode::Apply, &release.resources)).killed {
            return n;
        }
        then(&machine, n);
        finishes(&machine, release, &whole, &format!("killed before change {n}"));
    }
    unreachable!()
}

#[test]
fn a_first_run_killed_anywhere_is_finished_by_the_next() {
    let changes = killed_everywhere(None, &release("one"), |_, _| ());
    assert!(changes > 50, "the line makes enough changes to be worth it: {changes}");
}

#[test]
fn an_update_killed_anywhere_is_finished_by_the_next() {
    killed_everywhere(Some(&release("one")), &release("two"), |_, _| ());
}

#[test]
fn a_run_killed_anywhere_and_then_without_power_is_finished_by_the_next() {
    for seed in 0..4 {
        killed_everywhere(None, &release("one"), |machine, n| machine.power_loss(seed * 1000 + n));
        killed_everywhere(Some(&release("one")), &release("two"), |machine, n| machine.power_loss(seed * 1000 + n));
    }
}

proptest! {
    #[test]
    fn any_sequence_of_kills_and_power_losses_is_finished_by_the_next_run(
        blows in proptest::collection::vec((0_u64..80, any::<bool>(), any::<u64>(), any::<bool>()), 0..5)
    ) {
        let (one, two) = (release("one"), release("two"));
        let machine = machine();
        bring_and_apply(&machine, &one);
        for (n, power, seed, newer) in &blows {
            let release = if *newer { &two } else { &one };
            check(&machine, &release.resources);
            machine.put_file(&release.blob.0.blob.staged_path(), &release.blob.1);
            machine.kill_after(*n);
            machine.agent(&request(Mode::Apply, &release.resources));
            if *power {
                machine.power_loss(*seed);
            }
        }
        let (_, run) = bring_and_apply(&machine, &two);
        let failed = ends(&run.reports).into_iter().find(|said| said.outcome == Outcome::Failed);
        prop_assert!(failed.is_none(), "{failed:?}");
        prop_assert!(machine.runs_current("app.service") && machine.runs_current("nginx.service"));
        prop_assert_eq!(machine.content("/opt/app/current/bin/app").unwrap(), "program two");
    }
}
