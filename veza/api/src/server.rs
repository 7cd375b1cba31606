//! Serving, and the graceful end of it.

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::drain::{Activity, Phase};
use crate::operator::OperatorToken;
use crate::{DrainLimits, Identity, Open, app};

/// Serves until `stop` resolves, then drains:
///
/// 1. readiness answers 404 and everybody is served as before, but asked to close the connection after the answer,
///    for [`DrainLimits::delay`];
/// 2. no new connection is accepted, requests in flight are finished, WebSockets are closed with 1012 (Service
///    Restart);
/// 3. what is still open after [`DrainLimits::timeout`] is returned; it is cut when the process ends.
pub async fn run(
    listener: TcpListener,
    identity: Identity,
    operator_token: Option<OperatorToken>,
    limits: DrainLimits,
    stop: impl Future<Output = ()>,
) -> Open {
    let activity = Activity::default();
    let app = app::router(app::State::new(identity, operator_token, activity.clone()));

    // Small JSON answers and WebSocket frames must not wait for Nagle's algorithm.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
    });
    let mut phase = activity.phase();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move { phase.reached(Phase::Closing).await });
    let serving = tokio::spawn(serving.into_future());

    stop.await;
    activity.enter(Phase::Leaving);
    let Open { requests_in_flight, websockets } = activity.open();
    let DrainLimits { delay, timeout: limit } = limits;
    tracing::info!(requests_in_flight, websockets, ?delay, "draining: readiness now answers 404");
    sleep(delay).await;

    activity.enter(Phase::Closing);
    let Open { requests_in_flight, websockets } = activity.open();
    tracing::info!(requests_in_flight, websockets, ?limit, "draining: no new connections, WebSockets are closed");
    let everybody_left = async {
        // The result tells nothing: accept errors are retried inside, and a panic of the accept loop ends it as well.
        let _ = serving.await;
        activity.websockets_closed().await;
    };
    match timeout(limit, everybody_left).await {
        Ok(()) => Open::default(),
        Err(_) => activity.open(),
    }
}
