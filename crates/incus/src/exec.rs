//! Commands without a terminal: one websocket for each standard stream, and one for control.

use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt, future};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::client::Client;
use crate::events::Watch;
use crate::operations::Operation;
use crate::transport::{Answer, WebSocket};
use crate::types::{Exec, Exited, STDERR_TAIL_BYTES, Stdin};
use crate::{Error, Result};

const STDIN_CHUNK_BYTES: usize = 64 * 1024;
const CONNECT_ATTEMPTS: u32 = 3;

pub(crate) async fn run(
    client: &Client,
    project: &str,
    instance: &str,
    exec: Exec,
    stdout: mpsc::Sender<Bytes>,
) -> Result<Exited> {
    let doing = format!("run {} on {instance}", exec.argv.first().map_or("nothing", String::as_str));
    let started = Instant::now();
    let body = json!({
        "command": exec.argv,
        "environment": exec.env,
        "cwd": exec.cwd.unwrap_or_default(),
        "wait-for-websocket": true,
        "interactive": false,
    });
    let begun = begin(client, &doing, project, instance, &body, ["0", "1", "2"]).await?;
    let [input, output, errors] = begun.streams;

    let mut stderr_tail = Tail::default();
    let code = {
        let outputs = future::join(forward(output, stdout), keep(errors, &mut stderr_tail));
        let inputs = future::join(send_stdin(input, exec.stdin), hold(begun.control));
        let finished = begun.watch.finished(&doing, begun.operation, exec.timeout);
        tokio::pin!(inputs, outputs, finished);
        let (mut inputs_done, mut outputs_done) = (false, false);
        let ended = loop {
            tokio::select! {
                ended = &mut finished => break ended,
                _ = &mut outputs, if !outputs_done => outputs_done = true,
                _ = &mut inputs, if !inputs_done => inputs_done = true,
            }
        };
        let code = exit_code(&doing, ended)?;
        // What the command wrote before it ended may still be on its way to a slow reader.
        if !outputs_done {
            let left = exec.timeout.saturating_sub(started.elapsed());
            let _ = tokio::time::timeout(left, outputs).await;
        }
        code
    };
    Ok(Exited { code, stderr_tail: stderr_tail.text() })
}

/// A command that was made, with its streams connected: Incus has started it.
pub(crate) struct Begun<const STREAMS: usize> {
    pub(crate) operation: Operation,
    pub(crate) watch: Watch,
    pub(crate) control: WebSocket,
    pub(crate) streams: [WebSocket; STREAMS],
}

/// Has Incus make a command, and connects to its streams, by their file descriptors.
pub(crate) async fn begin<const STREAMS: usize>(
    client: &Client,
    doing: &str,
    project: &str,
    instance: &str,
    body: &Value,
    streams: [&str; STREAMS],
) -> Result<Begun<STREAMS>> {
    let mut attempt = 1;
    loop {
        let (operation, watch) = make(client, doing, project, instance, body).await?;
        match connect(client, doing, &operation, streams).await {
            Ok((control, streams)) => return Ok(Begun { operation, watch, control, streams }),
            // Incus gave up on a command that nobody connected to within some seconds, as on a machine that is very
            // busy. It was never started.
            Err(Error::NotFound { .. } | Error::Refused { .. }) if attempt < CONNECT_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

async fn make(client: &Client, doing: &str, project: &str, instance: &str, body: &Value) -> Result<(Operation, Watch)> {
    let path = ["instances", instance, "exec"];
    let request = client.transport.request(Method::POST, &path, &[("project", project)])?.json(body);
    match client.transport.answer(doing, request).await? {
        Answer::Async(operation) => {
            let watch = client.events.watch(&operation.id);
            Ok((operation, watch))
        }
        Answer::Sync(_) => Err(Error::malformed(doing, "no operation")),
    }
}

/// Control goes first: Incus starts the command when the others are there, and watches control to know whether anybody
/// still cares.
async fn connect<const STREAMS: usize>(
    client: &Client,
    doing: &str,
    operation: &Operation,
    streams: [&str; STREAMS],
) -> Result<(WebSocket, [WebSocket; STREAMS])> {
    let socket = async |fd: &str| {
        let secret = operation.metadata["fds"][fd].as_str();
        let secret = secret.ok_or_else(|| Error::malformed(doing, format!("no websocket for {fd}")))?;
        client.transport.websocket(doing, &["operations", &operation.id, "websocket"], &[("secret", secret)]).await
    };
    let control = socket("control").await?;
    let connected = future::try_join_all(streams.map(socket)).await?;
    let connected = connected.try_into().map_err(|_| Error::malformed(doing, "another number of websockets"))?;
    Ok((control, connected))
}

/// The exit code is in the operation's metadata; but what could not be started is a failed operation.
pub(crate) fn exit_code(doing: &str, ended: Result<Operation>) -> Result<i32> {
    match ended {
        Ok(operation) => {
            let code = operation.metadata["return"].as_i64().and_then(|code| i32::try_from(code).ok());
            code.ok_or_else(|| Error::malformed(doing, "no exit code in the operation"))
        }
        Err(Error::Refused { message, .. }) if message == "Command not found" => Ok(Exited::NOT_FOUND),
        Err(Error::Refused { message, .. }) if message == "Command not executable" => Ok(Exited::NOT_EXECUTABLE),
        Err(error) => Err(error),
    }
}

/// Sends all of standard input and then its end. A command may exit without reading it: that is no error.
async fn send_stdin(mut socket: WebSocket, stdin: Stdin) {
    match stdin {
        Stdin::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                let chunk = bytes.split_to(bytes.len().min(STDIN_CHUNK_BYTES));
                if socket.send(Message::Binary(chunk)).await.is_err() {
                    return;
                }
            }
        }
        Stdin::Stream(mut chunks) => {
            while let Some(chunk) = chunks.recv().await {
                if socket.send(Message::Binary(chunk)).await.is_err() {
                    return;
                }
            }
        }
    }
    // In Incus's protocol a text message marks the end of a stream.
    let _ = socket.send(Message::text("")).await;
    hold(socket).await;
}

/// Hands a stream on; once nobody takes it any more, discards it, so that the command can go on.
pub(crate) async fn forward(mut socket: impl Incoming, to: mpsc::Sender<Bytes>) {
    while let Some(chunk) = next_chunk(&mut socket).await {
        drop(to.send(chunk).await);
    }
}

async fn keep(mut socket: WebSocket, tail: &mut Tail) {
    while let Some(chunk) = next_chunk(&mut socket).await {
        tail.push(&chunk);
    }
}

pub(crate) trait Incoming: Stream<Item = Result<Message, tungstenite::Error>> + Unpin {}

impl<T: Stream<Item = Result<Message, tungstenite::Error>> + Unpin> Incoming for T {}

/// The next piece of a stream, or `None` at its end. One that breaks has ended: the operation tells why.
async fn next_chunk(socket: &mut impl Incoming) -> Option<Bytes> {
    loop {
        match socket.next().await?.ok()? {
            Message::Binary(bytes) => return Some(bytes),
            Message::Text(_) | Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Keeps a websocket open, and answers its pings, until Incus closes it.
pub(crate) async fn hold(mut socket: WebSocket) {
    while let Some(Ok(_)) = socket.next().await {}
}

#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, chunk: &[u8]) {
        self.0.extend_from_slice(chunk);
        self.0.drain(..self.0.len().saturating_sub(STDERR_TAIL_BYTES));
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}
