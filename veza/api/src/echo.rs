//! Says back what it is told: for tests of what lies between a client and the API, and for the live panel of the page.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;
use tokio::time::timeout;

use crate::app;
use crate::drain::{Phase, PhaseWatch};
use crate::error::ApiError;

pub(crate) fn router() -> Router<app::State> {
    Router::new().route("/", get(upgrade).post(echo_body))
}

/// A hundred thousand sockets are open at once: each keeps a small read buffer and no write buffer to speak of.
const READ_BUFFER_BYTES: usize = 2 * 1024;
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// A client that does not read its echoes is disconnected when this many bytes wait for it.
const WRITE_BUFFER_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// How long a client may take to answer a close; a well-behaved one needs one round trip.
const CLOSE_ANSWER: Duration = Duration::from_secs(2);

/// Answers a POST with its body, to the byte.
async fn echo_body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|refusal| ApiError::Refused { status: refusal.status(), message: refusal.body_text() })
}

/// A WebSocket whose first message tells who answers; then it echoes text and binary until either side closes.
async fn upgrade(
    State(state): State<app::State>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade =
        upgrade.map_err(|refusal| ApiError::Refused { status: refusal.status(), message: refusal.body_text() })?;
    // Counted first and refused after: no WebSocket slips between the last look of a drain and its closing of the port.
    let guard = state.activity.count_websocket();
    if state.activity.is_closing() {
        return Err(ApiError::Draining);
    }
    let phase = state.activity.phase();
    let hello = json!({ "instance": state.identity.instance, "commit": state.identity.commit }).to_string();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(async move |socket| {
            session(socket, hello, phase).await;
            drop(guard);
        }))
}

async fn session(mut socket: WebSocket, hello: String, mut phase: PhaseWatch) {
    if socket.send(Message::text(hello)).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            () = phase.reached(Phase::Closing) => return close_for_restart(socket).await,
            message = socket.recv() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                // Pings and closes are answered by the protocol's own layer while we receive.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

/// 1012 tells the client to come back: it will find another replica, or the next release.
async fn close_for_restart(mut socket: WebSocket) {
    let frame = CloseFrame { code: close_code::RESTART, reason: "service restart".into() };
    let _ = timeout(CLOSE_ANSWER, async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    })
    .await;
}
