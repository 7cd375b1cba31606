use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// One thing on an instance that can be checked and, where it differs, made so.
///
/// The list is closed: a new system is described with these kinds, never with a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Resource {
    Packages(Packages),
    User(User),
    Directory(Directory),
    File(File),
    Certificate(Box<Certificate>),
    Symlink(Symlink),
    Archive(Archive),
    Sysctl(Sysctl),
    Unit(Unit),
    Command(Command),
    Wait(Wait),
}

/// Debian packages that must be installed. Versions are the archive's: security updates are never held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    pub names: Vec<String>,
}

/// A user with a primary group of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    /// A system user (no login, no home is made) or a person.
    pub system: bool,
    pub home: String,
    pub shell: String,
    /// Supplementary groups the user must be in; others are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A directory; its parents must exist or are made with mode 0755, owned by root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    pub path: String,
    pub owner: String,
    pub group: String,
    /// Permission bits, e.g. `0o750`.
    pub mode: u32,
}

/// A whole file. It is written beside its place, validated, synced and renamed: a reader sees the old or the new
/// file, never a part of one, and a file that its own program refuses never gets into place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub content: Content,
    pub owner: String,
    pub group: String,
    pub mode: u32,
    /// A command that must exit 0 before the file is renamed into place; `{}` stands for the staged file's path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validate: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Text(String),
    Secret(Secret),
}

/// A secret as a plan knows it: the value travels beside the plan, on standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub name: String,
    /// Of the value that the plan was made with.
    pub fingerprint: Fingerprint,
}

/// A certificate and its private key in one PEM file, the certificate first: no reader ever sees the one without the other.
///
/// It is right while it was issued by the authority for exactly these names, addresses and uses, and more than a third of
/// its lifetime is left. Otherwise a new one with a new key takes its place; the key is made when it is needed and is
/// kept nowhere but in this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub path: String,
    pub owner: String,
    pub group: String,
    pub mode: u32,
    pub authority: Authority,
    /// DNS names it is good for; the first one is its subject, too.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub usage: Usage,
    pub lifetime_days: u32,
}

/// Who signs certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Its own certificate, PEM: what everybody checks the others against.
    pub certificate: String,
    /// The name of the secret that is its private key. Only the engine uses it; it never gets to an instance.
    pub key: String,
}

/// What a certificate's holder may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    Server,
    Client,
    /// Both: members of a cluster that call each other.
    Peer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symlink {
    pub path: String,
    pub target: String,
}

/// A `tar.gz` archive unpacked into a directory that is either whole or absent: it is unpacked beside and renamed.
/// Everything inside belongs to root and is read-only for everybody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    pub path: String,
    pub blob: Blob,
}

/// Bytes too large for a plan, named by their digest. The engine brings them to the instance when a check asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blob {
    /// SHA-256, 64 hex digits.
    pub sha256: String,
    pub bytes: u64,
    /// What a person calls it, e.g. `api of 3f2a91c`.
    pub name: String,
}

impl Blob {
    /// Where the engine puts the bytes on an instance before it applies the archive.
    pub fn staged_path(&self) -> String {
        format!("{}/{}", crate::agent::BLOB_DIR, self.sha256)
    }
}

/// A kernel setting, kept over reboots by a file in `/etc/sysctl.d`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    pub key: String,
    pub value: String,
}

/// A systemd unit and what state it must be in.
///
/// A running unit is restarted (or reloaded) when the digest of its inputs differs from the digest recorded at its
/// last good start, never because something changed in this run: a run that was killed between a file and its
/// service is finished by the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// With its suffix, e.g. `haproxy.service`.
    pub name: String,
    pub state: UnitState,
    /// Paths whose content is read when the unit starts: files, and symlinks (by their target). Unit file included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Paths a reload is enough for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reload_inputs: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// Enabled at boot and active now.
    Running,
    /// Disabled and inactive.
    Stopped,
    /// Disabled, inactive, and not startable by hand or dependency.
    Masked,
}

/// A command, with the check that tells whether it is needed. After it ran, the check must say it is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub argv: Vec<String>,
    /// Exits 0 when there is nothing to do. Must not change anything.
    pub unless: Vec<String>,
    /// Paths that the check looks at: when a step above changes one, what the check says now is no longer true then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// Environment added to a minimal one. Never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    pub timeout_ms: u64,
}

/// Waits until a probe answers as it should; on time-out the evidence is the last answer, the unit's status and its
/// last log lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub probe: Probe,
    pub timeout_ms: u64,
    pub interval_ms: u64,
    /// The unit whose status and log explain a time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What a time-out means.
    pub on_timeout: OnTimeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// A failure.
    Fail,
    /// The line goes on and says what was left, as after a drain.
    GoOn,
    /// The unit is up and does not answer: it hangs. It is restarted, once, and waited for again; then it is a failure.
    RestartUnit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// `GET url`: status 200, and the body holds `contains` where that is given. Of an `https` URL the server has to prove
    /// itself by [`crate::agent::AUTHORITY_FILE`].
    Http {
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contains: Option<String>,
    },
    /// A TCP connection can be opened to `host:port`.
    Tcp { address: String },
    /// The command exits 0; its last output line is the answer that is reported.
    Command { argv: Vec<String> },
}
