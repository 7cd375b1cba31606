use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::host::{ADDRESS, GATEWAY};
use crate::lab::{A, archive, events, program, said};

const PLATFORM: &str = r#"
name = "site"

[network]
bridge = "site"
subnet = "10.99.0.0/24"

[release]
artifacts = "artifacts"

[load_balancer]
topology = "multi-instance"
connections_max = 1000

[component.web]
kind = "static"
replicas = 1
default = true
"#;

const OVERLAY: &str = r#"
[incus]
project = "site"
address = "ADDRESS"
server_certificate_file = "h.incus.pem"
client_certificate_file = "h.client.pem"

[ssh]
allow_from = ["GATEWAY"]
authorized_keys_file = "../operator.pub"

[ops]
addresses = ["10.99.0.20"]

[hosts.h1]
address = "ADDRESS"
pool_source = "/var/lib/incus/storage-pools/default"
"#;

/// The platform that shall live there, as a machine of an operator has it: one page behind one load balancer.
pub(super) struct Site {
    pub(super) folder: PathBuf,
    /// Another one's home: only the age key is in it. Absent for the first, who works as whoever runs the tests.
    pub(super) home: Option<TempDir>,
}

impl Site {
    pub(super) fn new() -> Self {
        let site = Self { folder: folder(), home: None };
        // What a run before has pinned, made and drawn was for another machine.
        let _ = fs::remove_dir_all(site.path("env"));
        fs::create_dir_all(site.path("env")).unwrap();
        fs::create_dir_all(site.path("artifacts").join(A)).unwrap();
        fs::write(site.path("platform.toml"), PLATFORM).unwrap();
        let overlay = OVERLAY.replace("ADDRESS", ADDRESS).replace("GATEWAY", GATEWAY);
        fs::write(site.path("env/h.toml"), overlay).unwrap();
        let mut init = site.command(&["init"]);
        assert!(init.arg(&site.folder).output().unwrap().status.success());
        let version = format!("{{\"commit\":\"{A}\"}}");
        let files = [
            ("index.html", "<!doctype html><title>A page from afar</title>", "0644"),
            ("version.json", &version, "0644"),
        ];
        archive(&site.path("artifacts").join(A).join("web.tar.gz"), &files);
        site
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same on another machine: what git holds of it, and an age key.
    pub(super) fn cloned(&self) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clone = Self { folder: home.path().join("clone"), home: None };
        fs::create_dir_all(clone.path("env")).unwrap();
        let committed = ["known_hosts", "incus.pem", "client.pem", "ca.pem", "ops.pem", "secrets.age", "toml"];
        let committed = committed.map(|kind| format!("env/h.{kind}"));
        let committed = committed.iter().map(String::as_str);
        for file in committed.chain(["platform.toml", "recipients.toml", "operator.pub"]) {
            fs::copy(self.path(file), clone.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        fs::copy(self.path("age.key"), home.path().join("age.key")).unwrap();
        Self { home: Some(home), ..clone }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--platform").arg(self.path("platform.toml")).args(["--env", "h"]).args(arguments);
        command.stdin(Stdio::null());
        match &self.home {
            None => {
                command.env("BASCULE_AGE_KEY_FILE", self.path("age.key")).env("BASCULE_SSH_IDENTITY", operator_key())
            }
            Some(home) => {
                let home = home.path();
                for of_the_first in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "BASCULE_SSH_IDENTITY", "SSH_AUTH_SOCK"] {
                    command.env_remove(of_the_first);
                }
                command.env("BASCULE_AGE_KEY_FILE", home.join("age.key")).env("HOME", home)
            }
        };
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(super) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    pub(super) fn summary(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        events(&output).pop().unwrap_or_else(|| panic!("{}", said(&output)))
    }

    /// Runs a verb and kills it, as `kill -9` does, right after a step began. True if it was killed.
    pub(super) fn kill_at_step(&self, arguments: &[&str], step: &str) -> bool {
        let arguments = [arguments, &["--output", "json"]].concat();
        let mut child = self.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = lines.map_while(Result::ok).any(|line| {
            let event: Value = serde_json::from_str(&line).unwrap();
            event["type"] == "step_began" && event["step"] == step
        });
        // Apt is under way by now, and goes on by itself.
        std::thread::sleep(Duration::from_secs(1));
        let _ = child.kill();
        child.wait().unwrap();
        found
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab-hosts")
}

pub(super) fn operator_key() -> PathBuf {
    let key = folder().join("operator");
    if !key.exists() {
        fs::create_dir_all(folder()).unwrap();
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
    }
    key
}
