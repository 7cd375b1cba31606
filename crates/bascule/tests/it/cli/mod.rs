//! The program itself, run as a person or a pipeline runs it, in a folder of its own.

mod arguments;
mod check;
mod incus;
mod secrets;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

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
secrets_file = "secrets.toml"

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
        shop.secrets("operator_token = \"made for this test\"\n", 0o600);
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

    fn secrets(&self, text: &str, mode: u32) {
        self.write("secrets.toml", text);
        fs::set_permissions(self.path("secrets.toml"), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The tool in this folder, with nothing of this test's own environment.
    #[expect(clippy::disallowed_methods, reason = "the tool is what is tested")]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
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
    /// The events of a run with `--output json`: every line is one.
    fn events(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
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
}

/// A key whose private half nobody has, as a line of a file.
pub(crate) fn public_key() -> String {
    let bytes = ssh_key::public::Ed25519PublicKey([7; 32]);
    ssh_key::PublicKey::new(bytes.into(), "ada").to_openssh().unwrap() + "\n"
}
