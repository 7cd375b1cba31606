use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::types::{Image, InstanceFile, StopMode};

/// The machines behind the names. Called outside the fake's lock; everything but [`exec`](Self::exec) is over in a moment.
#[async_trait]
pub trait Handler: Send + Sync {
    fn created(&self, _project: &str, _instance: &str, _image: &Image) {}
    fn started(&self, _project: &str, _instance: &str) {}
    /// By force: as a loss of power, for what was not synced.
    fn stopped(&self, _project: &str, _instance: &str, _mode: StopMode) {}
    /// The root is what the image holds; volumes stay.
    fn rebuilt(&self, _project: &str, _instance: &str, _image: &Image) {}
    fn deleted(&self, _project: &str, _instance: &str) {}
    /// The root was made into an image: what `created` gets later by its fingerprint.
    fn published(&self, _project: &str, _instance: &str, _image: &Image) {}

    /// Runs a command on a running instance; by default there is none. It may take its time. When it is dropped, the
    /// command is killed.
    async fn exec(&self, _command: Command) -> FakeExit {
        FakeExit { code: crate::Exited::NOT_FOUND, ..FakeExit::default() }
    }

    /// Writes a file; an `Err` is the text Incus would refuse it with. By default it goes nowhere.
    fn push_file(&self, _project: &str, _instance: &str, _path: &str, _file: InstanceFile) -> Result<(), String> {
        Ok(())
    }

    fn pull_file(&self, _project: &str, _instance: &str, _path: &str) -> Option<InstanceFile> {
        None
    }

    /// Tells whether there was such a file.
    fn delete_file(&self, _project: &str, _instance: &str, _path: &str) -> bool {
        false
    }
}

/// A command as an instance gets it.
#[derive(Debug)]
pub struct Command {
    pub project: String,
    pub instance: String,
    pub argv: Vec<String>,
    pub stdin: Vec<u8>,
    /// Takes what is printed before the end, piece by piece. Nobody may be listening any more.
    pub stdout: mpsc::Sender<Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeExit {
    pub code: i32,
    /// What was not sent while it ran.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl FakeExit {
    pub fn ok(stdout: impl Into<Vec<u8>>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }

    pub fn failed(code: i32, stderr: impl Into<Vec<u8>>) -> Self {
        Self { code, stderr: stderr.into(), ..Self::default() }
    }
}

/// A plan of what goes wrong.
pub trait Faults: Send + Sync {
    /// Asked before every change, command and file transfer into an instance; not before reads.
    fn before(&self, call: &Call) -> Fault;

    /// The call has acted, or was refused by a rule.
    fn after(&self, _call: &Call) {}

    /// The text that Incus refuses a read with.
    fn unreadable(&self, _call: &Call) -> Option<String> {
        None
    }

    /// How long it takes, of every call. Calls overtake each other when it differs.
    fn travel(&self, _call: &Call) -> Travel {
        Travel::default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing is changed; Incus refuses with this text.
    Error(String),
    /// The change is made, but the connection breaks before the answer.
    Lost,
    /// Of a command: the connection breaks after so many pieces of its output, and the command goes on by itself. Of
    /// anything else: as [`Lost`](Self::Lost).
    Cut(usize),
    /// The request is carried out twice, as by something between that tries again; the second answer counts.
    Twice,
    /// Answered as if it were made, and not made. No Incus does this: it is for planting bugs.
    Forgotten,
}

/// On a clock that a test may have paused. Without any, other tasks still get their turn on each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Travel {
    /// Until the request has arrived.
    pub there: Duration,
    /// Until the answer has.
    pub back: Duration,
    /// A change that is on its way is made though its caller is dropped meanwhile.
    pub arrives_alone: bool,
}

#[derive(Debug)]
pub(super) struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _: &Call) -> Fault {
        Fault::None
    }
}

/// One call of the trait; prints as `exec lb-1 /usr/bin/true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Counts all calls of this world from 0.
    pub index: usize,
    /// E.g. `create-instance`, `exec`, `list-instances`.
    pub verb: &'static str,
    /// Empty where there is none.
    pub project: String,
    /// What it is about: an instance, image, network…; empty for lists.
    pub object: String,
    /// The command, the path, the volume's pool, the keys that change; never content.
    pub detail: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb)?;
        for part in [&self.object, &self.detail] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        Ok(())
    }
}
