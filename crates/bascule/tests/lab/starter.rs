//! What `init` writes, as a newcomer follows its README.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::faults::{get_as, reqwest_get};
use crate::lab::{Lab, folder, said};

#[test]
fn the_starter_comes_up_by_itself_and_serves_its_site_and_its_program() {
    let starter = folder().join("starter");
    let _ = fs::remove_dir_all(&starter);
    let home = folder().join("home");
    make_ssh_key(&home);
    let (_guard, lab) = Lab::of(starter.clone(), "lab");
    let init = || {
        let output = lab.command(&["init", starter.to_str().unwrap()]).env("HOME", &home).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    init();
    use_the_tests_network(&starter);
    assert!(init().contains("nothing changed"));

    for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "Begin"]] {
        git(&starter, arguments);
    }
    let committed = git(&starter, &["ls-files"]);
    assert!(committed.contains("env/lab.secrets.age") && committed.contains("recipients.toml"), "{committed}");
    assert!(!committed.contains("age.key"), "the key is in the repository: {committed}");

    let commit = git(&starter, &["rev-parse", "HEAD"]);
    // What is not committed is not in what is built.
    fs::write(starter.join("site/index.html"), "<title>not committed</title>").unwrap();
    run(Command::new("./build").env("CARGO_TARGET_DIR", folder().join("starter-target")), &starter);
    assert!(git(&starter, &["status", "--porcelain", "artifacts"]).is_empty(), "what is built is not ignored");
    git(&starter, &["checkout", "--quiet", "site"]);

    lab.ok(&["up"]);
    lab.ok(&["deploy", &commit]);
    let door = lab.front_door();
    assert!(reqwest_get(&door).contains("<title>starter</title>"));
    assert!(reqwest_get(&format!("{door}/hello")).starts_with("Hello from hello-blue-1"));
    assert!(reqwest_get(&format!("{door}/hello/version")).contains(&commit));
    let admin = format!("{door}/hello/admin");
    let token = lab.ok(&["secrets", "show", "admin_token"]);
    assert_eq!(get_as(&admin, None).0, 401);
    assert_eq!(get_as(&admin, Some("guess")).0, 401);
    assert_eq!(get_as(&admin, Some(token.trim())), (200, format!("hello-blue-1 runs {commit}")));

    for verb in ["up", "plan"] {
        assert_eq!(lab.summary(&[verb])["changed"], 0, "{verb}");
    }
    lab.ok(&["down", "--yes-destroy", "lab"]);
}

/// The one thing that a newcomer may have to change: the addresses, and here also the names that tests have.
fn use_the_tests_network(starter: &Path) {
    let edit = |file: &str, before: &str, after: &str| {
        let text = fs::read_to_string(starter.join(file)).unwrap();
        assert!(text.contains(before), "{file} has no {before}");
        fs::write(starter.join(file), text.replace(before, after)).unwrap();
    };
    edit("platform.toml", "10.80.0.0/24", "10.99.35.0/24");
    edit("env/lab.toml", "bridge = \"starter-lab\"", "bridge = \"bslt-starter\"");
    let overlay = fs::read_to_string(starter.join("env/lab.toml")).unwrap();
    fs::write(starter.join("env/lab.toml"), overlay + "\n[incus]\nproject = \"bascule-test-starter\"\n").unwrap();
}

fn make_ssh_key(home: &Path) {
    let key = home.join(".ssh/id_ed25519");
    if !key.exists() {
        fs::create_dir_all(key.parent().unwrap()).unwrap();
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key), home);
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=ada", "-c", "user.email=ada@test.invalid"];
    run(Command::new("git").args(who).args(arguments), folder)
}

fn run(command: &mut Command, folder: &Path) -> String {
    let output = command.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
