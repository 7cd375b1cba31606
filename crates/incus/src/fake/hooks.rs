use std::fmt;

use crate::types::{Image, InstanceFile, StopMode};

/// The machines behind the names. Called outside the fake's lock, one call at a time on a single-threaded runtime.
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

    /// Runs a command on a running instance. By default there is none.
    fn exec(&self, _project: &str, _instance: &str, _argv: &[String], _stdin: Vec<u8>) -> FakeExit {
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeExit {
    pub code: i32,
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

/// A plan of what goes wrong. Asked about changes, commands and file transfers into an instance; not about reads.
pub trait Faults: Send + Sync {
    fn before(&self, call: &Call) -> Fault;

    /// The call has acted, or was refused by a rule.
    fn after(&self, _call: &Call) {}
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nothing is changed; Incus refuses with this text.
    Error(String),
    /// The change is made, but the connection breaks before the answer.
    Lost,
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
    /// The command, the path, the volume's pool; never content.
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
