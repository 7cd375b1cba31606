//! How verbs meet Incus: that is missing, and one that only looks like it and writes down what it is asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use super::{NOWHERE, Shop};

#[test]
fn a_missing_incus_is_told_with_its_socket_and_a_hint() {
    let shop = Shop::new();
    for verb in ["plan", "up", "status", "history", "down", "rollback"] {
        let ran = shop.run(&[verb]);
        ran.expect(3, &[&format!("cannot reach Incus at {NOWHERE}"), "try: is Incus installed"]);
    }
}

#[test]
fn a_missing_incus_is_a_failure_and_a_summary_for_programs() {
    let ran = Shop::new().run(&["up", "--output", "json"]);
    ran.expect(3, &[]);
    let events = ran.events();
    assert_eq!((&events[0]["type"], &events[0]["verb"]), (&"started".into(), &"up".into()));
    let [.., failure, summary] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!(failure["type"], "failure");
    assert!(failure["hint"].as_str().is_some_and(|hint| hint.contains("socket")), "{failure}");
    assert_eq!((&summary["type"], &summary["failed"]), (&"summary".into(), &1.into()));
}

#[test]
fn the_doctor_tells_what_is_missing_and_goes_on() {
    let shop = Shop::new();
    shop.run(&["doctor"]).expect(3, &["✓  platform file", "✗  Incus", NOWHERE, "try: ", "to mend: "]);
    let ran = shop.run(&["doctor", "--output", "json"]);
    ran.expect(3, &[]);
    let missing = ran.events().into_iter().filter(|event| event["verdict"] == "missing");
    let missing: Vec<_> = missing.filter(|event| event["check"] == "Incus").collect();
    assert!(missing[0]["remedy"].as_str().unwrap().contains("incus-base"), "{missing:#?}");
    shop.edit("port = 8080", "port = 22");
    shop.run(&["doctor"]).expect(3, &["✗  platform file", "it has a mistake", "try: bascule check"]);
}

#[test]
fn a_commit_that_is_no_whole_one_is_refused_before_incus_is_asked() {
    let shop = Shop::new();
    for commit in ["abc1234", "main", "", "ABCDEF0123456789ABCDEF0123456789ABCDEF01"] {
        shop.run(&["deploy", commit]).expect(2, &[&format!("`{commit}` is not a commit"), "git rev-parse HEAD"]);
    }
}

#[test]
fn a_commit_that_was_never_built_is_refused_before_incus_is_asked() {
    let commit = "a".repeat(40);
    let artifact = format!("artifacts/{commit}/");
    Shop::new().run(&["deploy", &commit]).expect(2, &["there is no artifact of", &artifact, "build the release first"]);
}

#[test]
fn nothing_is_destroyed_before_the_environment_was_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    let asked = listen(UnixListener::bind(&socket).unwrap(), "200 OK", EMPTY_LIST);
    let shop = Shop::with_incus(socket.to_str().unwrap());
    for named in [&[][..], &["--yes-destroy", "prod"], &["--yes-destroy", ""]] {
        let ran = shop.run(&[&["down"], named].concat());
        let hint = "bascule down --env lab --yes-destroy lab";
        ran.expect(2, &["this destroys the environment `lab` of shop for good", hint]);
    }
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|request| request.starts_with("GET ")), "{asked:#?}");
}

const EMPTY_LIST: &str = r#"{"type":"sync","status":"Success","status_code":200,"metadata":[]}"#;

/// Answers every request so; gives the first line of each.
pub(super) fn listen(listener: UnixListener, status: &'static str, body: &'static str) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lines = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A caller that goes away in the middle is not this test's concern.
            let _ = stream.and_then(|stream| answer(&stream, &lines, status, body));
        }
    });
    asked
}

fn answer(mut stream: &UnixStream, asked: &Mutex<Vec<String>>, status: &str, body: &str) -> std::io::Result<()> {
    let mut head = BufReader::new(stream).lines();
    asked.lock().unwrap().push(head.next().unwrap_or_else(|| Ok(String::new()))?);
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}
