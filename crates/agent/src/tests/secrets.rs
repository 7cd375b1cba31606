use bascule_plan::agent::Outcome;
use bascule_plan::{File, Resource};

use super::*;
use crate::system::Finished;

const VALUE: &str = "hunter2-hunter2";

#[test]
fn a_secret_gets_into_its_file_closed_to_others() {
    let machine = Machine::default();
    converges(&machine, secret_file("/etc/token", "root"));
    assert_eq!(machine.content("/etc/token").unwrap(), VALUE);
    assert_eq!(machine.metadata_of("/etc/token").unwrap().access.mode, 0o400);
}

#[test]
fn a_secret_never_appears_in_a_report_even_when_everything_quotes_it() {
    let machine = Machine::default();
    machine.on_command("quote", |_, _| Finished::exited(1, format!("bad token '{VALUE}' in line 1\n")));
    let Resource::File(token) = secret_file("/etc/token", "root") else { unreachable!() };
    let validated = Resource::File(File { validate: words(&["quote", "{}"]), ..token });
    let wait = Resource::Wait(bascule_plan::Wait {
        probe: bascule_plan::Probe::Command { argv: words(&["quote"]) },
        timeout_ms: 10_000,
        interval_ms: 100,
        unit: None,
        on_timeout: bascule_plan::OnTimeout::Fail,
    });
    for resource in [validated, wait, command(&["quote"], &["quote"])] {
        for mode in [Mode::Check, Mode::Apply] {
            let run = machine.agent(&request(mode, std::slice::from_ref(&resource)));
            let said = serde_json::to_string(&run.reports).unwrap();
            assert!(!said.contains(VALUE), "{said}");
            if mode == Mode::Apply {
                assert_eq!(ends(&run.reports)[0].outcome, Outcome::Failed);
                assert!(said.contains("[secret token]"), "it is said that something was left out: {said}");
            }
        }
    }
}

#[test]
fn each_line_of_a_long_secret_is_hidden_too() {
    let machine = Machine::default();
    machine.on_command("quote", |_, _| Finished::exited(1, "cannot parse MIIEvQIBADANBgkq\n"));
    let mut request = request(Mode::Apply, &[command(&["quote"], &["quote"])]);
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----\n";
    request.secrets.insert("key".to_owned(), secret("key", key));
    let said = serde_json::to_string(&machine.agent(&request).reports).unwrap();
    assert!(!said.contains("MIIEvQIBADANBgkq"), "{said}");
}

#[test]
fn a_value_that_changed_is_told_by_its_fingerprints() {
    let machine = Machine::default();
    converges(&machine, secret_file("/etc/token", "root"));
    machine.put_file("/etc/token", "an older value");
    let key = bascule_plan::FingerprintKey::derive("test", "token");
    let (before, now) = (key.fingerprint(b"an older value"), key.fingerprint(VALUE.as_bytes()));
    let said = check(&machine, &[secret_file("/etc/token", "root")]).pop().unwrap();
    assert!(said.reason.contains(&format!("it is {before}, not {now}")), "{}", said.reason);
    let said = apply(&machine, &[secret_file("/etc/token", "root")]).pop().unwrap();
    assert_eq!(said.outcome, Outcome::Changed);
    assert_eq!(machine.content("/etc/token").unwrap(), VALUE);
}

#[test]
fn a_secret_that_was_not_given_is_named() {
    let machine = Machine::default();
    let mut request = request(Mode::Apply, &[secret_file("/etc/token", "root")]);
    request.secrets.clear();
    let said = ends(&machine.agent(&request).reports).pop().unwrap();
    assert_eq!((said.outcome, said.reason.as_str()), (Outcome::Failed, "the secret token was not given"));
}
