//! The exit codes, one by one: a script can rely on each.

use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Shop;
use super::incus::listen;

#[test]
fn what_is_done_exits_with_0() {
    Shop::new().run(&["check"]).expect(0, &[]);
}

#[test]
fn what_failed_exits_with_1() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    // A daemon that refuses every request, as one with a broken database does.
    let refusal = r#"{"type":"error","error":"database is locked","error_code":500}"#;
    let _asked = listen(UnixListener::bind(&socket).unwrap(), "500 Internal Server Error", refusal);
    let shop = Shop::with_incus(socket.to_str().unwrap());
    for verb in ["plan", "up", "status", "history", "rollback"] {
        shop.run(&[verb]).expect(1, &["database is locked"]);
    }
}

#[test]
fn wrong_input_and_a_wrong_environment_exit_with_2() {
    let shop = Shop::new();
    shop.run(&["check", "--env", "nowhere"]).expect(2, &[]);
    shop.run(&["deploy", "main"]).expect(2, &[]);
    assert_eq!(shop.run(&["deplyo"]).exit, Some(2));
    assert_eq!(shop.run(&["up", "--olny", "lb-1"]).exit, Some(2));
}

#[test]
fn a_missing_host_exits_with_3() {
    Shop::new().run(&["up"]).expect(3, &[]);
}

#[test]
fn an_interrupted_run_says_so_and_exits_with_130() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    // A daemon that takes a call and never answers it.
    let listener = UnixListener::bind(&socket).unwrap();
    let shop = Shop::with_incus(socket.to_str().unwrap());
    let child = shop.command(&["status", "--output", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let call = listener.accept().unwrap();
    // The call was made a moment after the signal is listened for; a machine under load may take its time.
    std::thread::sleep(Duration::from_millis(100));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(call);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("interrupted") && said.lines().last().unwrap().contains("summary"), "{said}");
}
