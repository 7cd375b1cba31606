//! Serving, and the graceful end of it.

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::drain::{Activity, Phase};
use crate::operator::OperatorToken;
use crate::tls::TlsListener;
use crate::{Certificate, DrainLimits, Identity, Open, app};

/// Serves until `stop` resolves, then drains:
///
/// 1. readiness answers 404 and everybody is served as before, but asked to close the connection after the answer,
///    for [`DrainLimits::delay`];
/// 2. WebSockets are closed with 1012 (Service Restart) and no new ones opened. Requests are still served, and so is
///    readiness: a load balancer that could not connect any more would take this replica for dead, and cut the
///    WebSockets before their 1012 and the requests before their answer;
/// 3. once the WebSockets and the requests begun before step 2 are gone, no new connection is accepted, and the requests
///    that came in meanwhile are finished;
/// 4. what is still open [`DrainLimits::timeout`] after step 1 is returned; it is cut when the process ends.
pub async fn run(
    listener: TcpListener,
    certificate: Option<Certificate>,
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
    let serving = match certificate {
        Some(certificate) => serve(TlsListener::new(listener, certificate), app, &activity),
        None => serve(listener, app, &activity),
    };

    stop.await;
    activity.enter(Phase::Leaving);
    let Open { requests_in_flight, websockets } = activity.open();
    let DrainLimits { delay, timeout: limit } = limits;
    tracing::info!(requests_in_flight, websockets, ?delay, "draining: readiness now answers 404");
    sleep(delay).await;

    activity.enter(Phase::Closing);
    let Open { requests_in_flight, websockets } = activity.open();
    tracing::info!(requests_in_flight, websockets, ?limit, "draining: WebSockets are closed");
    let everybody_left = async {
        activity.left().await;
        activity.enter(Phase::Closed);
        tracing::info!("draining: no new connections");
        let _ = serving.await;
    };
    match timeout(limit, everybody_left).await {
        Ok(()) => Open::default(),
        Err(_) => activity.open(),
    }
}

/// Until the last phase of a drain is over.
fn serve<L: Listener<Addr: std::fmt::Debug>>(listener: L, app: Router, activity: &Activity) -> JoinHandle<()> {
    let mut phase = activity.phase();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move { phase.reached(Phase::Closed).await });
    tokio::spawn(async move {
        // The result tells nothing: accept errors are retried inside, and a panic of the accept loop ends it as well.
        let _ = serving.await;
    })
}
