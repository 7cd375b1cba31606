//! The real machine, as far as that is possible without being its root or having systemd.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;
use std::{fs, thread};

use bascule_plan::agent::Outcome;
use bascule_plan::{OnTimeout, Probe, Resource, Wait};
use nix::unistd::{Gid, Group, Uid, User};

use super::*;
use crate::Linux;
use crate::system::{Access, Ending, Exec, Finished, Kind};

/// A directory of this test's own, and who may own things there.
struct Place {
    dir: tempfile::TempDir,
    owner: String,
    group: String,
}

impl Place {
    fn new() -> Self {
        let owner =
            User::from_uid(Uid::current()).unwrap().map_or_else(|| Uid::current().to_string(), |user| user.name);
        let group =
            Group::from_gid(Gid::current()).unwrap().map_or_else(|| Gid::current().to_string(), |group| group.name);
        Self { dir: tempfile::tempdir().unwrap(), owner, group }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> File {
        let (owner, group) = (self.owner.clone(), self.group.clone());
        File { owner, group, mode, ..text_file(&self.path(name), text) }
    }

    fn names(&self) -> Vec<String> {
        Linux::default().list(self.dir.path().to_str().unwrap()).unwrap()
    }
}

fn apply_one(resource: &Resource) -> Said {
    // Not `run` in its apply mode: that takes the lock of the machine's own agent.
    let linux = Linux::default();
    let request = request(Mode::Apply, std::slice::from_ref(resource));
    let cx = crate::resource::Context::new(&linux, &request);
    let (outcome, reason, evidence) = match crate::resource::converge(resource).apply(&cx, &mut |_| ()) {
        Ok(crate::resource::Applied::Settled(reason)) => (Outcome::Changed, reason, Default::default()),
        Ok(crate::resource::Applied::CheckAgain(evidence)) => {
            let said = one(&linux, Mode::Check, resource);
            let outcome = if said.outcome == Outcome::Unchanged { Outcome::Changed } else { Outcome::Failed };
            (outcome, said.reason, evidence)
        }
        Err(failure) => (Outcome::Failed, failure.reason, failure.evidence),
    };
    Said { outcome, reason, evidence }
}

fn run(argv: &[&str], timeout_ms: u64) -> Finished {
    Linux::default().run(&Exec { argv: &words(argv), env: &BTreeMap::new(), timeout_ms }, &mut |_| ()).unwrap()
}

#[test]
fn a_file_is_put_in_place_with_its_mode_and_nothing_beside_it() {
    let place = Place::new();
    let resource = Resource::File(place.file("app.conf", "a\nb\n", 0o640));
    assert_eq!(one(&Linux::default(), Mode::Check, &resource).outcome, Outcome::WouldChange);
    assert_eq!(apply_one(&resource).outcome, Outcome::Changed);
    assert_eq!(fs::read_to_string(place.path("app.conf")).unwrap(), "a\nb\n");
    assert_eq!(fs::metadata(place.path("app.conf")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(place.names(), ["app.conf"]);
    assert_eq!(one(&Linux::default(), Mode::Check, &resource).outcome, Outcome::Unchanged);
}

#[test]
fn a_real_validator_sees_the_staged_file_and_may_refuse_it() {
    let place = Place::new();
    let refused = File { validate: words(&["grep", "-q", "good", "{}"]), ..place.file("app.conf", "bad\n", 0o644) };
    let said = apply_one(&Resource::File(refused));
    assert_eq!(said.outcome, Outcome::Failed, "{said:?}");
    assert!(place.names().is_empty());
    let taken = File { validate: words(&["grep", "-q", "good", "{}"]), ..place.file("app.conf", "good\n", 0o644) };
    assert_eq!(apply_one(&Resource::File(taken)).outcome, Outcome::Changed);
}

#[test]
fn a_symlink_to_elsewhere_is_replaced_not_followed() {
    let place = Place::new();
    fs::write(place.path("precious"), "precious").unwrap();
    std::os::unix::fs::symlink(place.path("precious"), place.path("app.conf")).unwrap();
    assert_eq!(apply_one(&Resource::File(place.file("app.conf", "new", 0o644))).outcome, Outcome::Changed);
    assert_eq!(fs::read_to_string(place.path("precious")).unwrap(), "precious");
    assert!(fs::symlink_metadata(place.path("app.conf")).unwrap().is_file());
}

#[test]
fn directories_and_symlinks_are_made() {
    let place = Place::new();
    let link = symlink(&place.path("current"), "releases/one");
    assert_eq!(apply_one(&link).outcome, Outcome::Changed);
    assert_eq!(fs::read_link(place.path("current")).unwrap().to_str(), Some("releases/one"));
    let made = Directory {
        path: place.path("releases"),
        owner: place.owner.clone(),
        group: place.group.clone(),
        mode: 0o1770,
    };
    assert_eq!(apply_one(&Resource::Directory(made)).outcome, Outcome::Changed);
    assert_eq!(fs::metadata(place.path("releases")).unwrap().permissions().mode() & 0o7777, 0o1770);
}

#[test]
fn an_archive_unpacks_to_plain_modes() {
    if !Uid::current().is_root() {
        return; // What an archive holds belongs to root.
    }
    let place = Place::new();
    let bytes = tarball(&[("bin/app*", "program"), ("share/page", "text")]);
    crate::unpack::unpack(&Linux::default(), flate2::read::GzDecoder::new(&bytes[..]), &place.path("")).unwrap();
    let linux = Linux::default();
    let program = linux.metadata(&place.path("bin/app")).unwrap().unwrap();
    assert_eq!((program.kind, program.access), (Kind::File, Access::root(0o755)));
    assert_eq!(linux.metadata(&place.path("bin")).unwrap().unwrap().access, Access::root(0o755));
    assert_eq!(linux.read(&place.path("share/page")).unwrap(), b"text");
}

#[test]
fn a_command_says_how_it_ended_and_what_it_said_last() {
    let finished = run(&["sh", "-c", "echo out; echo err >&2; exit 3"], 10_000);
    assert_eq!(finished, Finished::exited(3, "out\nerr\n"));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"], 10_000).ending, Ending::Signalled(9));
    let long = run(&["seq", "1", "100000"], 10_000).output;
    assert!(
        long.len() <= 4096 && long.ends_with("\n100000\n") && long.lines().all(|line| line.len() >= 5),
        "whole lines"
    );
}

#[test]
fn a_command_gets_a_clean_environment() {
    let env = BTreeMap::from([("GIVEN".to_owned(), "yes".to_owned())]);
    let argv = words(&["env"]);
    let finished = Linux::default().run(&Exec { argv: &argv, env: &env, timeout_ms: 10_000 }, &mut |_| ()).unwrap();
    let mut names: Vec<_> = finished.output.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GIVEN", "HOME", "LANG", "PATH"]);
}

#[test]
fn a_command_past_its_time_is_killed_with_all_its_children() {
    let place = Place::new();
    let pid_file = place.path("pid");
    let script = format!("sleep 600 & echo $! > {pid_file}; echo started; wait");
    let finished = run(&["sh", "-c", &script], 500);
    assert_eq!(finished, Finished { ending: Ending::TimedOut { timeout_ms: 500 }, output: "started\n".to_owned() });
    let pid = fs::read_to_string(pid_file).unwrap();
    let gone = || match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    assert!(
        (0..100).any(|_| gone() || {
            thread::sleep(Duration::from_millis(20));
            false
        }),
        "the child is dead"
    );
}

#[test]
fn a_daemon_left_behind_does_not_hold_the_agent() {
    let finished = run(&["sh", "-c", "sleep 5 & echo done"], 60_000);
    assert_eq!(finished, Finished::exited(0, "done\n"));
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let error = Linux::default()
        .run(&Exec { argv: &words(&["no-such-program"]), env: &BTreeMap::new(), timeout_ms: 1 }, &mut |_| ());
    assert_eq!(error.unwrap_err().to_string(), "cannot run no-such-program");
}

/// Answers each connection with the same bytes, for as long as the test runs.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn probes_tell_a_right_answer_from_every_wrong_one() {
    let probe = |probe: Probe| {
        let wait = Wait { probe, timeout_ms: 1_000, interval_ms: 50, unit: None, on_timeout: OnTimeout::Fail };
        let said = one(&Linux::default(), Mode::Check, &Resource::Wait(wait));
        (said.outcome == Outcome::Unchanged, said.reason)
    };
    let http = |address: &str, contains: Option<&str>| {
        probe(Probe::Http { url: format!("http://{address}/health"), contains: contains.map(str::to_owned) })
    };
    let ok = server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nready\n");
    assert!(http(&ok, Some("ready")).0);
    let (right, reason) = http(&ok, Some("3f2a91c"));
    assert!(!right && reason.contains("answers 200 without \"3f2a91c\": ready"), "{reason}");
    let moved =
        server("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (right, reason) = http(&moved, None);
    assert!(!right && reason.contains("answers 302"), "a redirect is not followed: {reason}");
    assert!(probe(Probe::Tcp { address: ok }).0);
    assert!(probe(Probe::Command { argv: words(&["true"]) }).0);
    let (right, reason) = probe(Probe::Command { argv: words(&["sh", "-c", "echo 4 sessions; exit 1"]) });
    assert!(!right && reason.contains("4 sessions"), "{reason}");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (right, reason) = probe(Probe::Tcp { address: closed.clone() });
    assert!(!right && reason.contains("refused"), "{reason}");
    assert!(!http(&closed, None).0);
}
