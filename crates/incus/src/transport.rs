//! The one place that knows how a daemon is reached: HTTP requests, their envelope, and websockets.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Upgraded, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::operations::Operation;
use crate::quiet::QuietWrites;
use crate::{Error, Result};

pub(crate) type WebSocket = WebSocketStream<QuietWrites<Upgraded>>;

/// Bounds a request that Incus answers at once; what takes long is an operation, or has a bound of its own.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Incus itself gives a command up whose websockets are not there after 10 s.
const WEBSOCKET_TIMEOUT: Duration = Duration::from_secs(12);

#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    /// Keeps no connection: in about one of five hundred commands that were begun at once, a request was given a pooled
    /// connection that was being upgraded, and waited for ever.
    websockets: reqwest::Client,
    base: Url,
    /// What errors call the daemon by.
    address: String,
}

/// What Incus answers to a request that it did not refuse.
#[derive(Debug)]
pub(crate) enum Answer {
    Sync(Value),
    Async(Operation),
}

impl Transport {
    pub(crate) fn unix(socket: &Path) -> Result<Self> {
        let address = socket.display().to_string();
        let client = || {
            reqwest::Client::builder()
                .unix_socket(socket)
                .user_agent(concat!("bascule-incus/", env!("CARGO_PKG_VERSION")))
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|source| Error::unanswered(&address, "set up the client", source))
        };
        let (http, websockets) = (built(client())?, built(client().pool_max_idle_per_host(0))?);
        let base = Url::parse("http://incus/1.0").map_err(|source| Error::malformed("set up the client", source))?;
        Ok(Self { http, websockets, base, address })
    }

    /// A request on `/1.0/SEGMENTS?QUERY`; every part is escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.http.request(method, self.url(segments, query))
    }

    fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request and gives the answer as it is, unless it is an error.
    pub(crate) async fn send(&self, doing: &str, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|source| Error::unanswered(&self.address, doing, source))?;
        tracing::debug!(doing, path = response.url().path(), status = response.status().as_u16(), "Incus answered");
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|source| Error::unanswered(&self.address, doing, source))?;
        let message = match serde_json::from_slice::<Envelope>(&body) {
            Ok(envelope) => envelope.error,
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        Err(Error::answered(doing, status, &message))
    }

    /// Sends a request whose answer is in Incus's envelope.
    pub(crate) async fn answer(&self, doing: &str, request: RequestBuilder) -> Result<Answer> {
        let response = self.send(doing, request).await?;
        let body = response.bytes().await.map_err(|source| Error::unanswered(&self.address, doing, source))?;
        let envelope: Envelope = serde_json::from_slice(&body).map_err(|source| Error::malformed(doing, source))?;
        if envelope.kind == "async" {
            let operation =
                serde_json::from_value(envelope.metadata).map_err(|source| Error::malformed(doing, source))?;
            return Ok(Answer::Async(operation));
        }
        Ok(Answer::Sync(envelope.metadata))
    }

    pub(crate) async fn websocket(&self, doing: &str, segments: &[&str], query: &[(&str, &str)]) -> Result<WebSocket> {
        let key = generate_key();
        let request = self
            .websockets
            .request(Method::GET, self.url(segments, query))
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = tokio::time::timeout(WEBSOCKET_TIMEOUT, self.send(doing, request))
            .await
            .map_err(|elapsed| Error::interrupted(doing, elapsed))??;
        let accepted = response
            .headers()
            .get(SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|value| value == &derive_accept_key(key.as_bytes()));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS || !accepted {
            return Err(Error::malformed(doing, format!("no websocket: status {}", response.status())));
        }
        let stream = response.upgrade().await.map_err(|source| Error::unanswered(&self.address, doing, source))?;
        Ok(WebSocketStream::from_raw_socket(QuietWrites(stream), Role::Client, None).await)
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    error: String,
}
