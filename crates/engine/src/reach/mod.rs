//! How a machine is reached that the agent runs on: an instance by way of Incus, a host by SSH or directly.

mod hosts;
mod instances;
mod pins;
mod process;
mod ssh;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bascule_incus::Exited;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use hosts::{HostError, Hosts, Transport};
pub(crate) use instances::Instances;
pub use pins::Pins;

use crate::AgentError;

/// What the engine needs of a machine to call the agent on it, as root.
#[async_trait]
pub trait Reach: Send + Sync + Debug {
    /// Runs a command; its standard output is sent in chunks as it comes. A command that ran and failed is no error: see
    /// [`Exited`]. When the future is dropped, nobody listens to the command any more.
    async fn exec(&self, machine: &str, call: Call, stdout: mpsc::Sender<Bytes>) -> Result<Exited, AgentError>;
    /// Makes a directory and its parent, where they are missing.
    async fn make_directory(&self, machine: &str, path: &str, mode: u32) -> Result<(), AgentError>;
    /// Writes a file of root's, into a directory that exists.
    async fn put_file(&self, machine: &str, path: &str, content: Bytes, mode: u32) -> Result<(), AgentError>;
}

/// A command to run on a machine.
pub struct Call {
    pub argv: Vec<String>,
    pub stdin: Bytes,
    /// The command is given up after so long.
    pub timeout: Duration,
}

impl Call {
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>, timeout: Duration) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), stdin: Bytes::new(), timeout }
    }

    #[must_use]
    pub fn stdin(self, stdin: Bytes) -> Self {
        Self { stdin, ..self }
    }
}

/// Never shows standard input: it carries secrets.
impl Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("argv", &self.argv).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Runs a short piece of shell on a machine, before there is an agent or beside it; gives what it printed.
pub async fn shell(
    reach: &dyn Reach,
    machine: &str,
    script: &str,
    arguments: &[&str],
    stdin: Bytes,
) -> Result<String, AgentError> {
    let argv = ["/bin/sh", "-ec", script].into_iter().chain(arguments.iter().copied());
    let call = Call::new(argv, Duration::from_mins(2)).stdin(stdin);
    let (sender, mut chunks) = mpsc::channel::<Bytes>(16);
    let printed = async {
        let mut printed = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            printed.extend_from_slice(&chunk);
        }
        String::from_utf8_lossy(&printed).into_owned()
    };
    let (exited, printed) = futures_util::future::join(reach.exec(machine, call, sender), printed).await;
    match exited? {
        Exited { code: 0, .. } => Ok(printed),
        Exited { code, stderr_tail } => Err(AgentError::Shell { code, stderr: stderr_tail }),
    }
}
