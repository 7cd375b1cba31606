//! What only an operator may see.

use std::fmt;

use axum::extract::{FromRequestParts, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use subtle::ConstantTimeEq;

use crate::app;
use crate::drain::Open;
use crate::error::ApiError;

pub(crate) fn router() -> Router<app::State> {
    Router::new().route("/connections", get(connections))
}

#[derive(Serialize)]
struct Connections {
    draining: bool,
    #[serde(flatten)]
    open: Open,
}

/// What a drain waits for, or would wait for. The request that asks does not count itself.
async fn connections(_: Operator, State(state): State<app::State>) -> Json<Connections> {
    let mut open = state.activity.open();
    open.requests_in_flight = open.requests_in_flight.saturating_sub(1);
    Json(Connections { draining: state.activity.is_draining(), open })
}

/// Shows that the request carries the operator's token. Without a configured token there is no operator.
struct Operator;

impl FromRequestParts<app::State> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &app::State) -> Result<Self, ApiError> {
        let given = parts.headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match (&state.operator_token, given) {
            (Some(token), Some(given)) if token.matches(given) => Ok(Self),
            _ => Err(ApiError::Unauthorized),
        }
    }
}

/// The operator's bearer token. Never shown, not even by `Debug`.
#[derive(Clone)]
pub struct OperatorToken(String);

impl OperatorToken {
    /// Below this many bytes a token could be guessed.
    pub const BYTES_MIN: usize = 16;

    /// `None` if it is too short, or could not be sent in a header.
    pub fn new(token: &str) -> Option<Self> {
        let sendable = token.bytes().all(|byte| byte.is_ascii_graphic());
        (token.len() >= Self::BYTES_MIN && sendable).then(|| Self(token.to_owned()))
    }

    /// Takes the same time wherever the first difference is; only the length may be learned.
    fn matches(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken")
    }
}
