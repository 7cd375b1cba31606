//! Whether the process lives, and whether it wants requests.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::app;

pub(crate) fn router() -> Router<app::State> {
    Router::new().route("/", get(health)).route("/live", get(live)).route("/ready", get(ready))
}

#[derive(Serialize)]
struct Health {
    live: bool,
    ready: bool,
    status: &'static str,
}

/// For a person or a monitor: always 200, the body tells.
async fn health(State(state): State<app::State>) -> Json<Health> {
    let ready = !state.activity.is_draining();
    Json(Health { live: true, ready, status: if ready { "ready" } else { "draining" } })
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
}

/// For a supervisor: 200 for as long as the process runs, draining or not.
async fn live() -> Json<Answer> {
    Json(Answer { status: "live" })
}

/// For a load balancer: 200, or 404 while draining. HAProxy takes a 404 (`http-check disable-on-404`) as "send nobody
/// new, cut nobody"; a 503 would count as a failed server and end its sessions.
async fn ready(State(state): State<app::State>) -> (StatusCode, Json<Answer>) {
    if state.activity.is_draining() {
        (StatusCode::NOT_FOUND, Json(Answer { status: "draining" }))
    } else {
        (StatusCode::OK, Json(Answer { status: "ready" }))
    }
}
