//! One event stream for each client, shared by all who wait for an operation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::Result;
use crate::operations::Operation;
use crate::transport::{Transport, WebSocket};

/// The stream is opened by the first who waits, and reopened by those who wait when it is lost. Nobody waiting, nobody
/// listens again.
#[derive(Debug)]
pub(crate) struct Events {
    transport: Transport,
    waiting: Arc<Waiting>,
    listener: tokio::sync::Mutex<Option<Listener>>,
}

#[derive(Debug)]
pub(crate) enum Signal {
    Update(Operation),
    /// The stream was lost: updates may have been missed.
    Gap,
}

/// A registration for the updates of one operation, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    events: Arc<Events>,
    id: String,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl Events {
    pub(crate) fn new(transport: Transport) -> Arc<Self> {
        Arc::new(Self { transport, waiting: Arc::default(), listener: tokio::sync::Mutex::default() })
    }

    pub(crate) fn watch(self: &Arc<Self>, id: &str) -> Watch {
        let (sender, signals) = mpsc::unbounded_channel();
        self.waiting.lock().insert(id.to_owned(), sender);
        Watch { events: self.clone(), id: id.to_owned(), signals }
    }

    /// Makes sure that the stream is open.
    pub(crate) async fn open(&self, doing: &str) -> Result<()> {
        let mut listener = self.listener.lock().await;
        if listener.as_ref().is_some_and(Listener::is_alive) {
            return Ok(());
        }
        let socket =
            self.transport.websocket(doing, &["events"], &[("type", "operation"), ("all-projects", "true")]).await?;
        *listener = Some(Listener::spawn(socket, self.waiting.clone()));
        Ok(())
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }
}

impl Watch {
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    pub(crate) async fn signal(&mut self) -> Signal {
        self.signals.recv().await.unwrap_or(Signal::Gap)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.events.waiting.lock().remove(&self.id);
    }
}

/// Those who wait, by operation.
#[derive(Debug, Default)]
struct Waiting(Mutex<BTreeMap<String, mpsc::UnboundedSender<Signal>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, mpsc::UnboundedSender<Signal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, operation: Operation) {
        if let Some(waiter) = self.lock().get(&operation.id) {
            // A receiver that is gone is just being dropped.
            let _ = waiter.send(Signal::Update(operation));
        }
    }

    fn gap(&self) {
        for waiter in self.lock().values() {
            let _ = waiter.send(Signal::Gap);
        }
    }
}

#[derive(Debug)]
struct Listener {
    task: JoinHandle<()>,
    /// Held by the task; closed before it tells of the gap, so that nobody who hears of it takes the old stream for alive.
    alive: mpsc::Sender<()>,
}

impl Listener {
    fn spawn(mut socket: WebSocket, waiting: Arc<Waiting>) -> Self {
        let (alive, witness) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else { continue };
                match serde_json::from_str::<Event>(&text) {
                    Ok(event) if event.kind == "operation" => match serde_json::from_value(event.metadata) {
                        Ok(operation) => waiting.update(operation),
                        Err(error) => tracing::debug!(%error, "an operation event that cannot be read"),
                    },
                    Ok(_) => {}
                    Err(error) => tracing::debug!(%error, "an event that cannot be read"),
                }
            }
            tracing::debug!("the event stream ended");
            drop(witness);
            waiting.gap();
        });
        Self { task, alive }
    }

    fn is_alive(&self) -> bool {
        !self.alive.is_closed()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    metadata: Value,
}
