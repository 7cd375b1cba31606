//! What is said to and heard from Incus, reduced to what an orchestrator reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Configuration keys and their values, as Incus spells both.
pub type Config = BTreeMap<String, String>;
/// Keys to set (`Some`) and to remove (`None`).
pub type Changes = BTreeMap<String, Option<String>>;
pub type Device = BTreeMap<String, String>;
pub type Devices = BTreeMap<String, Device>;

/// A container as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub name: String,
    pub status: Status,
    /// Its own keys, `image.*` and `volatile.*` included; those of its profiles are not.
    pub config: Config,
    /// Its own devices; those of its profiles are not.
    pub devices: Devices,
    pub profiles: Vec<String>,
    /// The image it was created or last rebuilt from.
    pub image_fingerprint: Option<String>,
    /// Its global addresses, in the order of interfaces. Empty unless it runs and has got them.
    pub addresses: Vec<IpAddr>,
    /// RFC 3339, as Incus gives it.
    pub created_at: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Running,
    Stopped,
    Frozen,
    Error,
    /// On its way from one to another.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    pub name: String,
    /// Alias or full fingerprint.
    pub image: String,
    pub config: Config,
    /// Must hold a root disk (`type=disk path=/ pool=…`) unless a profile does.
    pub devices: Devices,
    /// Applied in this order; empty means none, not even `default`.
    pub profiles: Vec<String>,
    pub start: bool,
}

/// What to change of an instance; everything else stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstancePatch {
    pub config: Changes,
    /// Devices to replace as a whole (`Some`) and to remove (`None`).
    pub devices: BTreeMap<String, Option<Device>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Asks the instance's init to shut down; an error if it has not after so long.
    Graceful { timeout: Duration },
    /// Ends every process at once, as a loss of power would.
    Force,
}

/// A command to run in an instance, as root unless it says otherwise by itself.
#[derive(Debug)]
pub struct Exec {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// The working directory; `/root` if not given.
    pub cwd: Option<String>,
    pub stdin: Stdin,
    /// The command is killed after so long.
    pub timeout: Duration,
}

impl Exec {
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>, timeout: Duration) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            cwd: None,
            stdin: Stdin::Bytes(Bytes::new()),
            timeout,
        }
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }
}

/// Standard input; it ends with the bytes or the stream.
pub enum Stdin {
    Bytes(Bytes),
    Stream(mpsc::Receiver<Bytes>),
}

impl fmt::Debug for Stdin {
    /// Never shows content: standard input carries secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

/// How much of the end of standard error is kept.
pub const STDERR_TAIL_BYTES: usize = 16 * 1024;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited {
    /// 0 to 255; by a shell's convention 128 + the number of a signal: 137 also when the instance was stopped by force.
    pub code: i32,
    /// The last [`STDERR_TAIL_BYTES`] of standard error, not UTF-8 replaced. Empty on a terminal.
    pub stderr_tail: String,
}

impl Exited {
    /// Incus's and every shell's code for a command that is not there.
    pub const NOT_FOUND: i32 = 127;
    /// Incus's and every shell's code for a file that cannot be run.
    pub const NOT_EXECUTABLE: i32 = 126;

    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// The command was not found in the instance (or it said so of another one by the same code, as a shell does).
    pub fn command_not_found(&self) -> bool {
        self.code == Self::NOT_FOUND
    }
}

/// A command on a terminal of its own, for a person.
#[derive(Debug)]
pub struct Terminal {
    pub argv: Vec<String>,
    /// `TERM` belongs here.
    pub env: BTreeMap<String, String>,
    pub size: TerminalSize,
    /// When it closes, nothing more is typed; the command sees no end of its input for that.
    pub input: mpsc::Receiver<TerminalInput>,
    pub output: mpsc::Sender<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

#[derive(Clone, PartialEq, Eq)]
pub enum TerminalInput {
    Bytes(Bytes),
    Resize(TerminalSize),
    /// A signal's number on Linux, sent to the command.
    Signal(i32),
}

impl fmt::Debug for TerminalInput {
    /// Never shows what was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Resize(size) => write!(f, "{size:?}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// A file, directory or symlink in an instance, with its owner and permission bits.
#[derive(Clone, PartialEq, Eq)]
pub struct InstanceFile {
    pub kind: FileKind,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits, e.g. `0o640`.
    pub mode: u32,
}

impl fmt::Debug for InstanceFile {
    /// Never shows content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            FileKind::File(content) => format!("file of {} bytes", content.len()),
            FileKind::Directory => "directory".into(),
            FileKind::Symlink(target) => format!("symlink to {target}"),
        };
        write!(f, "{kind} {}:{} {:04o}", self.uid, self.gid, self.mode)
    }
}

#[derive(Clone, PartialEq, Eq)]
pub enum FileKind {
    File(Bytes),
    Directory,
    /// The target; when read back Incus has made it absolute.
    Symlink(String),
}

impl fmt::Debug for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Directory => "Directory",
            Self::Symlink(_) => "Symlink",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// SHA-256 over its files, 64 hex digits.
    pub fingerprint: String,
    pub aliases: Vec<String>,
    pub properties: BTreeMap<String, String>,
    pub size_bytes: u64,
    /// RFC 3339, as Incus gives it.
    pub uploaded_at: String,
}

/// A split container image on this machine's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage {
    /// A tar file that holds `metadata.yaml`.
    pub metadata: PathBuf,
    /// The root file system: a tar file, compressed or not, or a squashfs.
    pub rootfs: PathBuf,
    pub alias: String,
    pub properties: BTreeMap<String, String>,
}

/// Is told how far an upload has come.
pub type Progress = Arc<dyn Fn(Transferred) + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    pub sent_bytes: u64,
    pub total_bytes: u64,
}

/// An image to make of a stopped instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub instance: String,
    pub alias: String,
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Project {
    pub name: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub config: Config,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Network {
    pub name: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub config: Config,
    /// Made by Incus, not merely found on the host.
    pub managed: bool,
    /// API paths of what uses it.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub used_by: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub config: Config,
    #[serde(default)]
    pub devices: Devices,
}

/// A custom file system volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Volume {
    pub name: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub config: Config,
    /// API paths of what it is attached to.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub used_by: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// E.g. `6.0.4`.
    pub version: String,
    pub api_extensions: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StoragePool {
    pub name: String,
    /// E.g. `btrfs`, `dir`, `zfs`.
    pub driver: String,
}

/// How full a storage pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    pub used_bytes: u64,
}

/// Reads `null`, which Go writes for an empty map or list, as empty.
pub(crate) fn null_as_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Project;

    #[test]
    fn null_is_an_empty_map() {
        let project: Project = serde_json::from_str(r#"{"name": "lab", "config": null}"#).unwrap();
        assert!(project.config.is_empty());
    }
}
