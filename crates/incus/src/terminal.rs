//! Commands on a terminal, for a person: one websocket for what is typed and shown, and one for control.

use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use crate::Result;
use crate::client::Client;
use crate::exec::{begin, exit_code, forward};
use crate::transport::WebSocket;
use crate::types::{Exited, Terminal, TerminalInput};

/// A person may stay for as long as they like.
const UNBOUNDED: Duration = Duration::from_secs(u32::MAX as u64);

pub(crate) async fn run(client: &Client, project: &str, instance: &str, terminal: Terminal) -> Result<Exited> {
    let doing = format!("run {} on {instance}", terminal.argv.first().map_or("nothing", String::as_str));
    let body = json!({
        "command": terminal.argv,
        "environment": terminal.env,
        "width": terminal.size.columns,
        "height": terminal.size.rows,
        "wait-for-websocket": true,
        "interactive": true,
    });
    let begun = begin(client, &doing, project, instance, &body, ["0"]).await?;
    let (control_out, control_in) = begun.control.split();
    let [stream] = begun.streams;
    let (typed, shown) = stream.split();

    let (ended, all_shown) = oneshot::channel();
    let shown = async {
        forward(shown, terminal.output).await;
        drop(ended);
    };
    let typed = send(typed, control_out, terminal.input, all_shown);
    let held = async { control_in.for_each(|_| async {}).await };
    let finished = begun.watch.finished(&doing, begun.operation, UNBOUNDED);
    tokio::pin!(shown, typed, held, finished);
    let (mut shown_done, mut typed_done, mut held_done) = (false, false, false);
    let ended = loop {
        tokio::select! {
            ended = &mut finished => break ended,
            () = &mut shown, if !shown_done => shown_done = true,
            () = &mut typed, if !typed_done => typed_done = true,
            () = &mut held, if !held_done => held_done = true,
        }
    };
    let code = exit_code(&doing, ended)?;
    if !shown_done {
        shown.await;
    }
    Ok(Exited { code, stderr_tail: String::new() })
}

async fn send(
    mut typed: SplitSink<WebSocket, Message>,
    mut control: SplitSink<WebSocket, Message>,
    mut input: mpsc::Receiver<TerminalInput>,
    mut all_shown: oneshot::Receiver<()>,
) {
    loop {
        let input = tokio::select! {
            _ = &mut all_shown => break,
            Some(input) = input.recv() => input,
        };
        let sent = match input {
            TerminalInput::Bytes(bytes) => typed.send(Message::Binary(bytes)).await,
            TerminalInput::Resize(size) => {
                let args = json!({ "width": size.columns.to_string(), "height": size.rows.to_string() });
                control.send(Message::text(json!({ "command": "window-resize", "args": args }).to_string())).await
            }
            TerminalInput::Signal(number) => {
                control.send(Message::text(json!({ "command": "signal", "signal": number }).to_string())).await
            }
        };
        if sent.is_err() {
            return;
        }
    }
    // The command has ended, and Incus says so only when it has seen the end of what is typed as well.
    let _ = typed.send(Message::text("")).await;
}
