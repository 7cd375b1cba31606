use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use bascule_incus::Exited;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::ssh::Ssh;
use super::{Call, Reach, process, shell};
use crate::AgentError;

/// The machines that Incus runs on, or shall run on, by name.
#[derive(Debug)]
pub struct Hosts(BTreeMap<String, Way>);

/// How one of them is reached.
#[derive(Debug, Clone)]
pub enum Transport {
    /// By the system's SSH client, as root: keys, agents, jump hosts and hardware tokens are the operator's own.
    Ssh {
        address: String,
        /// The file with the pinned keys; it names hosts, not addresses.
        pins: PathBuf,
        /// The private key to use; without it, what the operator's SSH client would use by itself.
        identity: Option<PathBuf>,
    },
    /// It is the machine this runs on.
    Local,
}

#[derive(Debug)]
enum Way {
    Ssh(Box<Ssh>),
    Local,
}

/// Why a host could not be reached. Nothing was done on it.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("the key of the host {host} is not pinned, so nobody could say that it is the right machine")]
    NotPinned { host: String },
    #[error("the host {host} at {address} shows another key than the one in {}", pins.display())]
    OtherKey { host: String, address: String, pins: PathBuf },
    #[error("the host {host} at {address} does not let root in: {message}")]
    Denied { host: String, address: String, message: String },
    #[error("the host {host} at {address} cannot be reached: {message}")]
    Unreachable { host: String, address: String, message: String },
    #[error("{program} is not installed on this machine")]
    NoProgram { program: &'static str },
    #[error("the call on the host {host} was not over after {after_s} s")]
    Timeout { host: String, after_s: u64 },
    #[error("{doing}")]
    Io { doing: String, source: std::io::Error },
    #[error("there is no host {host}")]
    Unknown { host: String },
    #[error("{}, line {line}: not a pinned key", path.display())]
    Pins { path: PathBuf, line: usize },
}

impl HostError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotPinned { host } => {
                format!("`bascule host pin {host}` shows the key, and pins it once you compared it")
            }
            Self::OtherKey { host, .. } => format!(
                "if the machine was installed anew, `bascule host pin {host}` shows its new key; if not, somebody is in between"
            ),
            Self::Denied { .. } => {
                "root must have one of your keys in /root/.ssh/authorized_keys; --identity names the \
                                    private half, where your SSH client does not know it"
                    .to_owned()
            }
            Self::Unreachable { address, .. } => {
                format!("does its SSH server listen, and does its firewall admit you? try `ssh root@{address}`")
            }
            Self::NoProgram { .. } => "apt-get install openssh-client".to_owned(),
            Self::Timeout { .. } => "run this again: what was begun is finished".to_owned(),
            Self::Pins { .. } => {
                "every line is `HOST ssh-ed25519 KEY`; remove what is not, and pin the host again".to_owned()
            }
            Self::Io { .. } | Self::Unknown { .. } => return None,
        };
        Some(hint)
    }
}

impl Hosts {
    pub fn new(hosts: impl IntoIterator<Item = (String, Transport)>) -> Result<Self, HostError> {
        let way = |(name, transport): (String, Transport)| {
            let way = match transport {
                Transport::Ssh { address, pins, identity } => {
                    Way::Ssh(Box::new(Ssh::new(&name, address, pins, identity)?))
                }
                Transport::Local => Way::Local,
            };
            Ok((name, way))
        };
        Ok(Self(hosts.into_iter().map(way).collect::<Result<_, _>>()?))
    }
}

#[async_trait]
impl Reach for Hosts {
    async fn exec(&self, host: &str, call: Call, stdout: mpsc::Sender<Bytes>) -> Result<Exited, AgentError> {
        let way = self.0.get(host).ok_or_else(|| HostError::Unknown { host: host.to_owned() })?;
        Ok(match way {
            Way::Ssh(ssh) => ssh.exec(call, stdout).await?,
            Way::Local => {
                let mut argv = call.argv.into_iter();
                let program = argv.next().unwrap_or_default();
                process::run(host, process::command(&program).args(argv), call.stdin, call.timeout, stdout).await?
            }
        })
    }

    async fn make_directory(&self, host: &str, path: &str, mode: u32) -> Result<(), AgentError> {
        let script = "mkdir -p \"${1%/*}\"; [ -d \"$1\" ] || mkdir -m \"$0\" \"$1\"";
        shell(self, host, script, &[&format!("{mode:o}"), path], Bytes::new()).await.map(drop)
    }

    async fn put_file(&self, host: &str, path: &str, content: Bytes, mode: u32) -> Result<(), AgentError> {
        let script = "umask 077; cat >\"$1\"; chmod \"$0\" \"$1\"";
        shell(self, host, script, &[&format!("{mode:o}"), path], content).await.map(drop)
    }
}
