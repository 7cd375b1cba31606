//! `bascule secrets edit`: what an editor sees, and what is left of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Ran, Shop};

/// A shop whose editor is a shell script: `$1` is the file.
fn shop(editor: &str) -> Shop {
    let shop = Shop::new();
    shop.write("editor", &format!("#!/bin/sh\nset -e\n{editor}"));
    fs::set_permissions(shop.path("editor"), fs::Permissions::from_mode(0o755)).unwrap();
    shop
}

fn edit(shop: &Shop) -> Ran {
    Ran::of(shop.command(&["secrets", "edit"]).envs(editor(shop)).output().unwrap())
}

fn editor(shop: &Shop) -> [(&'static str, String); 2] {
    [("EDITOR", shop.path("editor").to_str().unwrap().to_owned()), ("PATH", "/usr/bin:/bin".to_owned())]
}

#[test]
fn what_is_edited_counts_and_lies_in_memory_for_its_owner_only() {
    let shop = shop(
        "stat -c '%a %U' \"$1\" \"$(dirname \"$1\")\" > seen; stat -f -c %T \"$1\" >> seen
         echo \"$1\" > where; sed -i 's/made for this test/edited/' \"$1\"; echo 'mail = \"new\" # theirs' >> \"$1\"",
    );
    edit(&shop).expect(0, &["the secrets were changed", "bascule up"]);
    assert_eq!(shop.secrets().value("operator_token").unwrap(), "edited");
    assert_eq!(shop.secrets().value("mail").unwrap(), "new");
    let me = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    let seen = fs::read_to_string(shop.path("seen")).unwrap();
    assert_eq!(seen, format!("600 {me}\n700 {me}\ntmpfs\n"));
    assert!(!session(&shop).exists(), "the session's folder is still there");
}

#[test]
fn an_editor_that_writes_by_rename_and_leaves_a_backup_leaves_nothing() {
    let shop = shop(
        "echo \"$1\" > where; cp \"$1\" \"$1~\"; echo 'operator_token = \"renamed\"' > \"$1.new\"; mv \"$1.new\" \"$1\"",
    );
    edit(&shop).expect(0, &[]);
    assert_eq!(shop.secrets().value("operator_token").unwrap(), "renamed");
    assert!(!session(&shop).exists(), "the session's folder is still there");
}

#[test]
fn a_mistake_is_told_above_the_text_and_may_be_mended() {
    let shop = shop(
        "if [ -e again ]; then cp \"$1\" again; echo 'operator_token = \"mended\"' > \"$1\"
         else touch again; echo 'operator_token = 5' > \"$1\"; fi",
    );
    edit(&shop).expect(0, &["the secrets were changed"]);
    assert_eq!(shop.secrets().value("operator_token").unwrap(), "mended");
    let again = fs::read_to_string(shop.path("again")).unwrap();
    assert!(again.contains("#! line 1: the value of operator_token is no string"), "{again}");
    assert!(again.contains("operator_token = 5"), "what was typed is lost: {again}");
}

#[test]
fn a_mistake_that_is_left_in_changes_nothing() {
    let shop = shop("grep -q '= 5' \"$1\" || echo 'operator_token = 5' > \"$1\"");
    let before = fs::read(shop.path("env/lab.secrets.age")).unwrap();
    edit(&shop).expect(2, &["the mistake was left in (line 1: the value of operator_token is no string"]);
    assert_eq!(fs::read(shop.path("env/lab.secrets.age")).unwrap(), before);
}

#[test]
fn a_secret_that_a_component_uses_is_not_taken_out() {
    let shop = shop(": > \"$1\"");
    let before = fs::read(shop.path("env/lab.secrets.age")).unwrap();
    edit(&shop).expect(2, &["operator_token is gone, which api uses", "nothing was changed"]);
    assert_eq!(fs::read(shop.path("env/lab.secrets.age")).unwrap(), before);
}

#[test]
fn an_editor_that_makes_the_same_mistake_for_ever_is_left() {
    let shop = shop("echo 'no line of it' >> \"$1\"");
    edit(&shop).expect(2, &["the mistake was left in (line 3: "]);
}

#[test]
fn an_editor_that_fails_or_changes_nothing_leaves_the_file_as_it_was() {
    for (editor, exit, said) in [("exit 7", 2, "nothing was changed"), ("true", 0, "nothing was changed")] {
        let shop = shop(editor);
        let before = fs::read(shop.path("env/lab.secrets.age")).unwrap();
        edit(&shop).expect(exit, &[said]);
        assert_eq!(fs::read(shop.path("env/lab.secrets.age")).unwrap(), before);
    }
    let shop = shop("");
    fs::remove_file(shop.path("editor")).unwrap();
    edit(&shop).expect(2, &["cannot be run", "export EDITOR"]);
}

#[test]
fn a_file_that_somebody_else_wrote_meanwhile_is_not_overwritten() {
    let shop = shop("echo 'operator_token = \"mine\"' > \"$1\"; : > open; while [ -e open ]; do sleep 0.05; done");
    let child = shop.command(&["secrets", "edit"]).envs(editor(&shop)).stdout(Stdio::piped()).spawn().unwrap();
    wait_for(|| shop.path("open").exists());
    shop.secret("operator_token", "theirs");
    fs::remove_file(shop.path("open")).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("was written by somebody else meanwhile"));
    assert_eq!(shop.secrets().value("operator_token").unwrap(), "theirs");
}

#[test]
fn a_signal_that_ends_the_session_takes_the_text_with_it_and_ctrl_c_is_the_editors() {
    for (signal, ends) in [(Signal::SIGTERM, true), (Signal::SIGHUP, true), (Signal::SIGINT, false)] {
        let shop = shop("echo \"$1\" > where; : > open; while [ -e open ]; do sleep 0.05; done");
        let child = shop.command(&["secrets", "edit"]).envs(editor(&shop)).stdout(Stdio::piped()).spawn().unwrap();
        wait_for(|| shop.path("open").exists());
        assert!(session(&shop).exists());
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        if ends {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{signal}");
            assert!(!session(&shop).exists(), "{signal}: the session's folder is still there");
            fs::remove_file(shop.path("open")).unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(200));
            fs::remove_file(shop.path("open")).unwrap();
            assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0), "{signal} ended the session");
        }
    }
}

#[test]
fn what_a_killed_session_left_is_removed_by_the_next_one() {
    let shop = shop("[ ! -e where ] || exit 0; echo \"$1\" > where; : > open; while [ -e open ]; do sleep 0.05; done");
    let mut child = shop.command(&["secrets", "edit"]).envs(editor(&shop)).stdout(Stdio::null()).spawn().unwrap();
    wait_for(|| shop.path("open").exists());
    let left = session(&shop);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(shop.path("open")).unwrap();
    assert!(left.exists());
    edit(&shop).expect(0, &[]);
    assert!(!left.exists(), "{} is still there", left.display());
}

/// The folder of the session, as its editor wrote it down.
fn session(shop: &Shop) -> std::path::PathBuf {
    let file = fs::read_to_string(shop.path("where")).unwrap();
    std::path::Path::new(file.trim()).parent().unwrap().to_owned()
}

fn wait_for(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}
