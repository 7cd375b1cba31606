//! All features as one service, and what every answer has in common.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tower::ServiceExt;
use tower_http::metrics::InFlightRequests;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

use crate::drain::Activity;
use crate::operator::OperatorToken;
use crate::{Identity, echo, error, health, operator, status};

/// What handlers share; a clone is a pointer.
#[derive(Clone, Debug)]
pub(crate) struct State(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) operator_token: Option<OperatorToken>,
    pub(crate) activity: Activity,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The largest body a request may have, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn router(state: State) -> Router {
    let activity = state.activity.clone();
    let in_flight = from_fn(move |request, next| count(activity.clone(), request, next));
    // Kept-alive connections end while the port is still open: no request can meet a connection that is just closed.
    let activity = state.activity.clone();
    let close_when_draining =
        move |_: &Response| activity.is_draining().then_some(const { HeaderValue::from_static("close") });
    let features = Router::new()
        .nest("/health", health::router())
        .nest("/echo", echo::router())
        .nest("/operator", operator::router())
        .merge(status::router());

    // Layers added later are further out: a request meets them from the bottom upwards.
    Router::new()
        .nest("/api/v1", features)
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(state)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(SetResponseHeaderLayer::if_not_present(header::CONNECTION, close_when_draining))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(in_flight)
}

/// Counts the request until its answer was sent to the last byte.
async fn count(activity: Activity, request: Request, next: Next) -> Response {
    let Ok(response) = InFlightRequests::new(next, activity.requests().clone()).oneshot(request).await;
    response.map(Body::new)
}

/// The query string stays out of the log: it may hold what a user searched for.
fn span(request: &Request) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", id, method = %request.method(), path = request.uri().path())
}

impl State {
    pub(crate) fn new(identity: Identity, operator_token: Option<OperatorToken>, activity: Activity) -> Self {
        Self(Arc::new(Shared { identity, operator_token, activity }))
    }
}

impl std::ops::Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
