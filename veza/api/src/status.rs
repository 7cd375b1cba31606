//! Which build of which service answers, and where.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::{Commit, app};

pub(crate) fn router() -> Router<app::State> {
    Router::new().route("/status", get(status))
}

#[derive(Serialize)]
struct Status {
    service: &'static str,
    version: &'static str,
    commit: Commit,
    instance: String,
    /// RFC 3339, in UTC.
    started_at: String,
    uptime_s: u64,
}

async fn status(State(state): State<app::State>) -> Json<Status> {
    let identity = &state.identity;
    Json(Status {
        service: "veza-api",
        version: env!("CARGO_PKG_VERSION"),
        commit: identity.commit.clone(),
        instance: identity.instance.clone(),
        started_at: format!("{:.0}", identity.started_at),
        uptime_s: identity.uptime().as_secs(),
    })
}
