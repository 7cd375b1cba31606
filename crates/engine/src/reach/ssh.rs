//! SSH by the system's own client, one connection for each host and run.
//!
//! The client and not a library: keys, agents, hardware tokens and jump hosts are then the operator's own, as at a prompt.
//! What matters for safety does not come from their configuration, though, but is said on its command line.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bascule_incus::Exited;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, mpsc};

use super::{Call, HostError, Pins, process};

/// Connecting, with a login, takes no longer; the client's own limit is for connecting alone.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// What the client exits with when the connection, not the command, failed.
const CONNECTION_FAILED: i32 = 255;

#[derive(Debug)]
pub(super) struct Ssh {
    host: String,
    address: String,
    pins: PathBuf,
    identity: Option<PathBuf>,
    /// Holds the socket by which calls share the connection; nobody else may look into it.
    folder: TempDir,
    /// The connection. It ends with this program, however that ends: its command on the host waits for the end of its input.
    master: OnceCell<Child>,
}

impl Ssh {
    pub(super) fn new(
        host: &str,
        address: String,
        pins: PathBuf,
        identity: Option<PathBuf>,
    ) -> Result<Self, HostError> {
        let folder = tempfile::Builder::new().prefix("bascule-ssh-").tempdir();
        let folder = folder.map_err(|source| HostError::Io { doing: "cannot make a private folder".into(), source })?;
        Ok(Self { host: host.to_owned(), address, pins, identity, folder, master: OnceCell::new() })
    }

    pub(super) async fn exec(&self, call: Call, stdout: mpsc::Sender<Bytes>) -> Result<Exited, HostError> {
        self.master.get_or_try_init(|| self.connect()).await?;
        let words = shlex::try_join(call.argv.iter().map(String::as_str)).map_err(|error| HostError::Io {
            doing: format!("a command for the host {} cannot be quoted", self.host),
            source: std::io::Error::other(error),
        })?;
        let mut command = self.client();
        command.args(["-o", "ControlMaster=no", "-T", "--", &self.address, &words]);
        let exited = process::run(&self.host, &mut command, call.stdin, call.timeout, stdout).await?;
        if exited.code == CONNECTION_FAILED { Err(self.failed(&exited.stderr_tail)) } else { Ok(exited) }
    }

    async fn connect(&self) -> Result<Child, HostError> {
        if !Pins::read(&self.pins)?.has(&self.host) {
            return Err(HostError::NotPinned { host: self.host.clone() });
        }
        let mut command = self.client();
        command.args(["-o", "ControlMaster=yes", "-T", "--", &self.address, "echo here; cat >/dev/null"]);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => HostError::NoProgram { program: "ssh" },
            _ => HostError::Io { doing: "cannot run ssh".to_owned(), source },
        })?;
        let (mut said, mut complaint) = ([0; 5], String::new());
        let logged_in = async {
            match &mut child.stdout {
                Some(stdout) => stdout.read_exact(&mut said).await.is_ok(),
                None => false,
            }
        };
        if tokio::time::timeout(LOGIN_TIMEOUT, logged_in).await.is_ok_and(|logged_in| logged_in) {
            return Ok(child);
        }
        // Its end is the end of what it complains of; where it hangs, there is nothing to read.
        let _ = child.start_kill();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), stderr.read_to_string(&mut complaint)).await;
        }
        Err(self.failed(&complaint))
    }

    /// The client with everything but what to run. Of each option the first one counts, so the operator's configuration
    /// cannot weaken these.
    fn client(&self) -> Command {
        let mut command = process::command("ssh");
        let pins = format!("UserKnownHostsFile=\"{}\"", self.pins.display());
        let alias = format!("HostKeyAlias={}", self.host);
        let path = format!("ControlPath=\"{}\"", self.folder.path().join("connection").display());
        let options = [
            pins.as_str(),
            &alias,
            &path,
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "HostKeyAlgorithms=ssh-ed25519",
            "UpdateHostKeys=no",
            "CheckHostIP=no",
            "BatchMode=yes",
            "ControlPersist=no",
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
            "ServerAliveInterval=10",
            "ServerAliveCountMax=3",
            "User=root",
        ];
        command.args(options.iter().flat_map(|option| ["-o", option]));
        if let Some(identity) = &self.identity {
            command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(identity);
        }
        command
    }

    /// Sorts what the client says when it has no connection.
    fn failed(&self, stderr: &str) -> HostError {
        let (host, address) = (self.host.clone(), self.address.clone());
        let says = |text: &str| stderr.contains(text);
        let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
        let message = last.unwrap_or("the SSH client said nothing").to_owned();
        if says("IDENTIFICATION HAS CHANGED") || says("Host key verification failed") || says("no hostkey alg") {
            HostError::OtherKey { host, address, pins: self.pins.clone() }
        } else if says("Permission denied") || says("Too many authentication failures") {
            HostError::Denied { host, address, message }
        } else {
            HostError::Unreachable { host, address, message }
        }
    }
}
