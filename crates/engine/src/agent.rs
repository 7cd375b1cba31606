//! One call of the agent in an instance: a request in, reports out.

use std::time::Duration;

use bascule_incus::{Error as IncusError, Exec, Exited, FileKind, InstanceFile};
use bascule_plan::agent::{Mode, Report, Request};
use bascule_plan::{Content, Resource, Step};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::{Run, hex};

/// Where programs of the agent lie on an instance; one for each digest, so that two versions never mix.
const AGENT_DIR: &str = "/usr/local/lib/bascule";
/// After so long without a word from an instance the run says so.
const SILENCE_MS: u64 = 20_000;

/// The agent as bytes, brought to an instance the first time it is called there.
#[derive(Clone)]
pub struct AgentProgram {
    bytes: Bytes,
    path: String,
}

impl std::fmt::Debug for AgentProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentProgram").field("path", &self.path).field("bytes", &self.bytes.len()).finish()
    }
}

impl AgentProgram {
    /// `bytes` is an executable that speaks the agent's protocol when its only argument is `agent`.
    pub fn new(bytes: Bytes) -> Self {
        let digest = hex(&Sha256::digest(&bytes));
        let path = format!("{AGENT_DIR}/agent-{}", &digest[..16]);
        Self { bytes, path }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("the instance could not be reached")]
    Incus(#[from] IncusError),
    #[error("the agent was cut off before it had answered for every step (exit code {code})")]
    Cut { code: i32, stderr: String },
    #[error("the agent said something that is not its protocol: {line}")]
    Protocol { line: String, source: serde_json::Error },
    #[error("a command on the instance failed with exit code {code}: {}", stderr.trim())]
    Shell { code: i32, stderr: String },
    #[error("{0}")]
    Secret(String),
    #[error("the plan does not fit into a request")]
    Encode(#[source] serde_json::Error),
}

impl Run {
    /// Calls the agent once and hands every report on. The end of the protocol was seen when this returns `Ok`.
    pub(crate) async fn call_agent(
        &self,
        instance: &str,
        mode: Mode,
        steps: &[Step],
        mut on_report: impl FnMut(Report),
    ) -> Result<(), AgentError> {
        let request = self.request(mode, steps)?;
        let limit = match mode {
            Mode::Check => Duration::from_mins(2),
            Mode::Apply => {
                steps.iter().map(|step| step_limit(&step.resource)).sum::<Duration>() + Duration::from_mins(3)
            }
        };
        self.call_or_bring(instance, request, limit, &mut on_report).await
    }

    /// The program is nearly always there already, so it is called first and brought only when it is missing.
    async fn call_or_bring(
        &self,
        instance: &str,
        request: Bytes,
        limit: Duration,
        on_report: &mut impl FnMut(Report),
    ) -> Result<(), AgentError> {
        let mut heard = false;
        let mut hear = |report| {
            heard = true;
            on_report(report);
        };
        match self.call_once(instance, request.clone(), limit, &mut hear).await {
            Err(AgentError::Cut { code: Exited::NOT_FOUND, .. }) => self.bring_agent(instance).await?,
            // The connection broke before the agent had said a word: it most likely never began, and if it did, the next
            // one waits for it.
            Err(AgentError::Incus(IncusError::Interrupted { .. })) if !heard => {
                self.progress(Some(instance), "the call did not get through; calling again".to_owned());
            }
            answer => return answer,
        }
        self.call_once(instance, request, limit, on_report).await
    }

    async fn bring_agent(&self, instance: &str) -> Result<(), AgentError> {
        let project = &self.project;
        let AgentProgram { bytes, path } = &self.engine.agent;
        self.make_directory(instance, AGENT_DIR, 0o755).await?;
        // Pushed beside, under a name of this call's own, and renamed by the instance itself: neither a killed push nor
        // another run at the same moment leaves half a program at the path.
        let staged = format!("{path}.{}-{}", std::process::id(), self.now_ms());
        let file = InstanceFile { kind: FileKind::File(bytes.clone()), uid: 0, gid: 0, mode: 0o755 };
        self.engine.incus.push_file(project, instance, &staged, file).await?;
        let install = "find \"$2\" -name 'agent-*' -mmin +1440 -delete; mv \"$0\" \"$1\"";
        self.shell(instance, install, &[&staged, path, AGENT_DIR]).await
    }

    /// Runs a short piece of shell in an instance, before there is an agent or beside it.
    pub(crate) async fn shell(&self, instance: &str, script: &str, arguments: &[&str]) -> Result<(), AgentError> {
        let argv = ["/bin/sh", "-ec", script].into_iter().chain(arguments.iter().copied());
        let (stdout, _discarded) = mpsc::channel(1);
        let exec = Exec::new(argv, Duration::from_mins(2));
        let exited = self.engine.incus.exec(&self.project, instance, exec, stdout).await?;
        match exited.code {
            0 => Ok(()),
            code => Err(AgentError::Shell { code, stderr: exited.stderr_tail }),
        }
    }

    /// Makes a directory and its parents' last one, where they are missing.
    pub(crate) async fn make_directory(&self, instance: &str, path: &str, mode: u32) -> Result<(), IncusError> {
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        for (path, mode) in [(parent, 0o755), (path, mode)] {
            let directory = InstanceFile { kind: FileKind::Directory, uid: 0, gid: 0, mode };
            match self.engine.incus.push_file(&self.project, instance, path, directory).await {
                Ok(()) | Err(IncusError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn call_once(
        &self,
        instance: &str,
        request: Bytes,
        limit: Duration,
        on_report: &mut impl FnMut(Report),
    ) -> Result<(), AgentError> {
        let (sender, mut receiver) = mpsc::channel(64);
        let exec = Exec::new([self.engine.agent.path.as_str(), "agent"], limit).stdin(request);
        let exited = self.engine.incus.exec(&self.project, instance, exec, sender);
        let reports = async {
            let mut lines = Lines::default();
            let mut done = false;
            let mut silent_ms = 0;
            loop {
                let silence = Duration::from_millis(SILENCE_MS);
                match tokio::time::timeout(silence, receiver.recv()).await {
                    Ok(Some(chunk)) => {
                        silent_ms = 0;
                        for line in lines.push(&chunk) {
                            let report = serde_json::from_slice(&line).map_err(|source| AgentError::Protocol {
                                line: String::from_utf8_lossy(&line).chars().take(200).collect(),
                                source,
                            })?;
                            done |= report == Report::Done;
                            on_report(report);
                        }
                    }
                    Ok(None) => return Ok::<_, AgentError>(done),
                    Err(_) => {
                        silent_ms += SILENCE_MS;
                        self.progress(Some(instance), format!("no word from the instance for {} s", silent_ms / 1000));
                    }
                }
            }
        };
        let (exited, done) = futures_util::future::join(exited, reports).await;
        let exited = exited?;
        if done? { Ok(()) } else { Err(AgentError::Cut { code: exited.code, stderr: exited.stderr_tail }) }
    }

    fn request(&self, mode: Mode, steps: &[Step]) -> Result<Bytes, AgentError> {
        let names = steps.iter().filter_map(|step| match &step.resource {
            Resource::File(file) => match &file.content {
                Content::Secret(name) => Some(name),
                Content::Text(_) => None,
            },
            _ => None,
        });
        let secrets = names
            .map(|name| self.engine.secrets.value(name).map(|value| (name.clone(), value)))
            .collect::<Result<_, _>>()
            .map_err(AgentError::Secret)?;
        let request = Request { mode, generation: self.engine.generation, steps: steps.to_vec(), secrets };
        serde_json::to_vec(&request).map(Bytes::from).map_err(AgentError::Encode)
    }
}

/// The longest a step may take before its instance counts as stuck; the agent's own limits are shorter.
fn step_limit(resource: &Resource) -> Duration {
    match resource {
        Resource::Packages(_) => Duration::from_mins(20),
        Resource::Command(command) => Duration::from_millis(command.timeout_ms) * 2,
        // Twice its time where it restarts its unit, and the restart.
        Resource::Wait(wait) => Duration::from_millis(wait.timeout_ms) * 2 + Duration::from_mins(2),
        Resource::Unit(_) | Resource::Archive(_) => Duration::from_mins(5),
        _ => Duration::from_secs(30),
    }
}

/// Splits a stream of chunks into its lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        self.rest.extend_from_slice(chunk);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn reports_are_read_whole_however_they_are_cut() {
        let mut lines = Lines::default();
        assert!(lines.push(b"{\"a\"").is_empty());
        assert_eq!(lines.push(b":1}\n{\"b\":2}\n{\"c"), [b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec()]);
        assert_eq!(lines.push(b"\":3}\n"), [b"{\"c\":3}".to_vec()]);
    }
}
