//! The program itself, run as a person or a pipeline runs it, in a folder of its own.

mod arguments;
mod certificates;
mod check;
mod edit;
mod exits;
mod hosts;
mod incus;
mod init;
mod secrets;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use bascule_secrets::{Identity, Place, Recipients, SecretsFile};
use serde_json::Value;
use tempfile::TempDir;

use crate::valid::valid;

/// No Incus listens there, so that whatever asks for one ends with 3.
const NOWHERE: &str = "/nonexistent/incus.socket";

/// A shop that is sound: one program with a secret, one web page. Its environment is `lab`.
const PLATFORM: &str = r#"
name = "shop"

[incus]
socket = "SOCKET"

[network]
subnet = "10.20.0.0/24"

[ssh]
allow_from = ["10.20.0.0/24"]
authorized_keys_file = "operators.pub"

[release]
artifacts = "artifacts"

[component.web]
kind = "static"
default = true

[component.api]
kind = "binary"
port = 8080
routes = ["/api/"]
health = "/health"
version = "/version"
secrets = ["operator_token"]
"#;

/// A folder with a platform file, and what belongs to it.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        Self::with_incus(NOWHERE)
    }

    fn with_incus(socket: &str) -> Self {
        let shop = Self { folder: TempDir::new().unwrap() };
        shop.write("platform.toml", &PLATFORM.replace("SOCKET", socket));
        shop.write("operators.pub", &public_key());
        shop.write("env/lab.toml", "");
        let ada = Identity::create(&shop.path("home/age.key")).unwrap();
        Recipients::create(&shop.path("recipients.toml"), "ada", &ada.recipients()[0]).unwrap();
        shop.secret("operator_token", "made for this test");
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a piece of the platform file, which has to be there.
    fn edit(&self, before: &str, after: &str) {
        let text = fs::read_to_string(self.path("platform.toml")).unwrap();
        assert!(text.contains(before), "the platform file has no `{before}`");
        self.write("platform.toml", &text.replace(before, after));
    }

    /// The secrets of `lab`, opened with ada's key.
    fn secrets(&self) -> SecretsFile {
        let place = Place::beside(&self.path("platform.toml"), "lab");
        SecretsFile::open(place, &self.path("home/age.key")).unwrap()
    }

    fn secret(&self, name: &str, value: &str) {
        let mut secrets = self.secrets();
        secrets.set(name, value).unwrap();
        secrets.save().unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// The tool in this folder, with nothing of this test's own environment.
    #[expect(clippy::disallowed_methods, reason = "the tool is what is tested")]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("BASCULE_AGE_KEY_FILE", self.path("home/age.key")).env("HOME", self.path("home"));
        command
    }
}

/// How a run of the tool ended.
#[derive(Debug)]
struct Ran {
    /// `None` when a signal ended it.
    exit: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The events of a run with `--output json`: every line is one, as the schema has it.
    fn events(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| valid(serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))))
            .collect()
    }

    /// Fails unless the run ended so, having said all of this, and nothing on standard error.
    #[track_caller]
    fn expect(&self, exit: i32, said: &[&str]) {
        assert_eq!(self.exit, Some(exit), "{self:#?}");
        for said in said {
            assert!(self.stdout.contains(said), "`{said}` was not said: {self:#?}");
        }
        assert_eq!(self.stderr, "");
    }

    /// The same for a verb whose standard output goes on to a program: what the tool itself says is beside it.
    #[track_caller]
    fn expect_beside(&self, exit: i32, said: &str) {
        assert_eq!((self.exit, self.stdout.as_str()), (Some(exit), ""), "{self:#?}");
        assert!(self.stderr.contains(said), "`{said}` was not said: {self:#?}");
    }
}

/// A key whose private half nobody has, as a line of a file.
pub(crate) fn public_key() -> String {
    let bytes = ssh_key::public::Ed25519PublicKey([7; 32]);
    ssh_key::PublicKey::new(bytes.into(), "ada").to_openssh().unwrap() + "\n"
}
