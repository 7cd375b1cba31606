//! The one shape of every error: `{"error":{"code":"not_found","message":"…"}}`.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What a client is told when its request fails. `code` is for programs and stable, `message` for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("there is nothing at {0}")]
    UnknownPath(String),
    #[error("{method} is not possible at {path}")]
    WrongMethod { method: Method, path: String },
    #[error("a valid bearer token is needed")]
    Unauthorized,
    /// This replica opens nothing new; another one does.
    #[error("this replica is draining; please try again")]
    Draining,
    /// Axum's own refusal of a request, with its status.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
}

/// The least that can be said: load balancers send the next try elsewhere.
const RETRY_AFTER_S: &str = "1";

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownPath(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            Self::Refused { status, .. } => match *status {
                StatusCode::PAYLOAD_TOO_LARGE => (*status, "payload_too_large"),
                StatusCode::UPGRADE_REQUIRED => (*status, "upgrade_required"),
                _ => (*status, "bad_request"),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let body = json!({ "error": { "code": code, "message": self.to_string() } });
        let mut response = (status, Json(body)).into_response();
        let more = match self {
            Self::Unauthorized => Some((header::WWW_AUTHENTICATE, "Bearer")),
            Self::Draining => Some((header::RETRY_AFTER, RETRY_AFTER_S)),
            Self::UnknownPath(_) | Self::WrongMethod { .. } | Self::Refused { .. } => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

pub(crate) async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::UnknownPath(uri.path().to_owned())
}

pub(crate) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod { method, path: uri.path().to_owned() }
}
