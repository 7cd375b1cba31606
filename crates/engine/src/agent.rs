//! One call of the agent in an instance: a request in, reports out.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bascule_incus::{Error as IncusError, Exited};
use bascule_plan::agent::{Mode, PROGRAM, Report, Request, SecretValue};
use bascule_plan::{Certificate, Content, Resource, Step};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Run;
use crate::program::{AGENT_DIR, AgentProgram};
use crate::reach::{Call, HostError, shell};

/// Puts what comes on standard input in place, and removes what earlier versions left. One call, where the files API would
/// take four.
const BRING: &str = r#"mkdir -p "$2"
find "$2" -name 'agent-*' -mmin +1440 -delete
cat >"$0"
[ "$(stat -c %s "$0")" = "$3" ] || { rm "$0"; echo 'the program was cut off on its way' >&2; exit 1; }
chmod 0755 "$0"
mv "$0" "$1"
ln -sfn "$1" "$4""#;
/// After so long without a word from an instance the run says so.
const SILENCE_MS: u64 = 20_000;

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("the agent's program cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("the instance could not be reached")]
    Incus(#[from] IncusError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("the agent was cut off before it had answered for every step (exit code {code})")]
    Cut { code: i32, stderr: String },
    #[error("the agent said something that is not its protocol: {line}")]
    Protocol { line: String, source: serde_json::Error },
    #[error("a command on the instance failed with exit code {code}: {}", stderr.trim())]
    Shell { code: i32, stderr: String },
    #[error("{0}")]
    Secret(String),
    #[error("no certificate can be issued: {0}")]
    Certificate(String),
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
        let mut answer = self.call_once(instance, request.clone(), limit, &mut hear).await;
        // The connection broke before the agent had said a word: it most likely never began, and if it did, the next one
        // waits for it.
        if !heard && matches!(answer, Err(AgentError::Incus(IncusError::Interrupted { .. }))) {
            self.progress(Some(instance), "the call did not get through; calling again".to_owned());
            answer = self.call_once(instance, request.clone(), limit, on_report).await;
        }
        if let Err(AgentError::Cut { code: Exited::NOT_FOUND, .. }) = answer {
            self.bring_agent(instance).await?;
            answer = self.call_once(instance, request, limit, on_report).await;
        }
        answer
    }

    async fn bring_agent(&self, instance: &str) -> Result<(), AgentError> {
        let AgentProgram { path, .. } = &self.engine.agent;
        let bytes = self.engine.agent.bytes().map_err(AgentError::Unreadable)?;
        // Written beside, under a name of this call's own, and renamed when it is whole: neither a call that was cut nor
        // another run at the same moment leaves half a program at the path.
        let staged = format!("{path}.{}-{}", std::process::id(), self.now_ms());
        let size = bytes.len().to_string();
        let arguments = [&staged, path, AGENT_DIR, &size, PROGRAM];
        shell(&*self.reach, instance, BRING, &arguments, bytes.clone()).await.map(drop)
    }

    /// Runs a short piece of shell in an instance, before there is an agent or beside it.
    pub(crate) async fn shell(&self, instance: &str, script: &str, arguments: &[&str]) -> Result<(), AgentError> {
        shell(&*self.reach, instance, script, arguments, Bytes::new()).await.map(drop)
    }

    async fn call_once(
        &self,
        instance: &str,
        request: Bytes,
        limit: Duration,
        on_report: &mut impl FnMut(Report),
    ) -> Result<(), AgentError> {
        let (sender, mut receiver) = mpsc::channel(64);
        let call = Call::new([self.engine.agent.path.as_str(), "agent"], limit).stdin(request);
        let exited = self.reach.exec(instance, call, sender);
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
                Content::Secret(secret) => Some(&secret.name),
                Content::Text(_) => None,
            },
            _ => None,
        });
        let secrets = names
            .map(|name| {
                let value = self.engine.secrets.value(name)?;
                let fingerprint_key = self.engine.secrets.fingerprint_key(name);
                Ok((name.clone(), SecretValue { value, fingerprint_key }))
            })
            .collect::<Result<_, _>>()
            .map_err(AgentError::Secret)?;
        let certificates = match mode {
            Mode::Check => BTreeMap::new(),
            Mode::Apply => self.certificates(steps)?,
        };
        let generation = self.engine.generation;
        let request = Request { mode, generation, steps: steps.to_vec(), secrets, certificates };
        serde_json::to_vec(&request).map(Bytes::from).map_err(AgentError::Encode)
    }

    /// A new certificate for each step that may need one: whether it does is seen on the instance.
    fn certificates(&self, steps: &[Step]) -> Result<BTreeMap<String, String>, AgentError> {
        let now_s = u64::try_from(self.unix_ms() / 1000).unwrap_or_default();
        let wanted = steps.iter().filter_map(|step| match &step.resource {
            Resource::Certificate(certificate) => Some(&**certificate),
            _ => None,
        });
        let issue = |wanted: &Certificate| Ok((wanted.path.clone(), self.engine.authority.issue(wanted, now_s)?));
        wanted.map(issue).collect::<Result<_, _>>().map_err(AgentError::Certificate)
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
