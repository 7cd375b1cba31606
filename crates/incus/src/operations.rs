//! What Incus does in the background, and how its end is awaited.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::events::{Signal, Watch};
use crate::transport::{Answer, Transport};
use crate::{Error, Result};

/// After so long without an event the operation is read again. Events do not get lost; but Incus answers the request
/// for the stream a moment before it begins to deliver, and a stream over a dead network is silent.
const DOUBT_AFTER: Duration = Duration::from_secs(10);
/// Keeps a stream that breaks at once, each time, from being reopened in a tight loop.
const PAUSE_AFTER_GAP: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) status: String,
    pub(crate) status_code: u16,
    #[serde(default)]
    pub(crate) metadata: Value,
    #[serde(default)]
    pub(crate) err: String,
}

impl Operation {
    fn ended(&self) -> bool {
        self.status_code >= 200
    }

    fn outcome(self, doing: &str) -> Result<Self> {
        match self.status_code {
            200 => Ok(self),
            status if self.err.is_empty() => {
                Err(Error::answered(doing, status, &format!("operation {}", self.status.to_lowercase())))
            }
            status => Err(Error::answered(doing, status, &self.err)),
        }
    }
}

impl Watch {
    /// Waits for the operation's end. [`Error::Timeout`] after `timeout`; the operation then goes on.
    pub(crate) async fn finished(mut self, doing: &str, operation: Operation, timeout: Duration) -> Result<Operation> {
        let label = format!("{} ({})", operation.id, operation.description);
        let mut last_status = operation.status.clone();
        let end = tokio::time::timeout(timeout, self.end(doing, operation, &mut last_status)).await;
        match end {
            Ok(Ok(operation)) => operation.outcome(doing),
            Ok(Err(error)) => Err(error.after_acceptance(doing)),
            Err(_) => Err(Error::Timeout { doing: doing.to_owned(), after: timeout, operation: label, last_status }),
        }
    }

    async fn end(&mut self, doing: &str, mut seen: Operation, last_status: &mut String) -> Result<Operation> {
        while !seen.ended() {
            // This watch is registered already: what happens after the stream is open is heard, what happened before
            // is read.
            self.events().open(doing).await?;
            seen = fetch(self.events().transport(), doing, &seen.id).await?;
            last_status.clone_from(&seen.status);
            while !seen.ended() {
                match tokio::time::timeout(DOUBT_AFTER, self.signal()).await {
                    Ok(Signal::Update(operation)) => {
                        last_status.clone_from(&operation.status);
                        seen = operation;
                    }
                    Ok(Signal::Gap) => {
                        tokio::time::sleep(PAUSE_AFTER_GAP).await;
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
        Ok(seen)
    }
}

async fn fetch(transport: &Transport, doing: &str, id: &str) -> Result<Operation> {
    let request = transport.request(Method::GET, &["operations", id], &[])?;
    match transport.answer(doing, request).await {
        Ok(Answer::Async(operation)) => Ok(operation),
        Ok(Answer::Sync(value)) => serde_json::from_value(value).map_err(|source| Error::malformed(doing, source)),
        Err(Error::NotFound { .. }) => Err(Error::OperationLost { doing: doing.to_owned(), operation: id.to_owned() }),
        Err(error) => Err(error),
    }
}
