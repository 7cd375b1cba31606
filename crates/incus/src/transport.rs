//! The one place that knows what is said to a daemon: HTTP requests, their envelope, and websockets.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::{BodyExt, Full};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::Role;
use url::Url;

use crate::connection::{Body, Connections, Unanswered, Upgrade, Way};
use crate::operations::Operation;
use crate::quiet::QuietWrites;
use crate::tls::{self, Identity};
use crate::{Error, Result};

pub(crate) type WebSocket = WebSocketStream<QuietWrites<TokioIo<Upgraded>>>;

/// Bounds a request that Incus answers at once; what takes long is an operation, or has a bound of its own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Incus itself gives a command up whose websockets are not there after 10 s.
const WEBSOCKET_TIMEOUT: Duration = Duration::from_secs(12);

#[derive(Clone)]
pub(crate) struct Transport {
    connections: Arc<Connections>,
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

/// What is asked for, and how long that may take.
pub(crate) struct Request {
    request: http::Request<Body>,
    timeout: Duration,
}

impl Request {
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        let json = HeaderValue::from_static("application/json");
        self.header(CONTENT_TYPE, json).body(full(body.to_string()))
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same once more, of one that has no body.
    fn again(&self) -> http::Request<Body> {
        let mut again = http::Request::new(full(Bytes::new()));
        again.method_mut().clone_from(self.request.method());
        again.uri_mut().clone_from(self.request.uri());
        again.headers_mut().clone_from(self.request.headers());
        again
    }
}

/// A body that is there as a whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Transport {
    pub(crate) fn unix(socket: &Path) -> Result<Self> {
        Self::over(Way::Socket(socket.to_owned()), "http://incus/1.0", socket.display().to_string())
    }

    pub(crate) fn https(address: SocketAddr, identity: Identity<'_>, server_certificate: &str) -> Result<Self> {
        let config = Arc::new(tls::pinned(identity, server_certificate)?);
        Self::over(Way::Tls(address, config), &format!("https://{address}/1.0"), format!("https://{address}"))
    }

    fn over(way: Way, base: &str, address: String) -> Result<Self> {
        let base = Url::parse(base).map_err(|source| Error::malformed("set up the client", source))?;
        Ok(Self { connections: Arc::new(Connections::new(way)), base, address })
    }

    /// A request on `/1.0/SEGMENTS?QUERY`; every part is escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str], query: &[(&str, &str)]) -> Result<Request> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = http::Request::builder()
            .method(method)
            .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
            .header(HOST, url.authority())
            .header(USER_AGENT, concat!("bascule-incus/", env!("CARGO_PKG_VERSION")))
            .body(full(Bytes::new()))
            .map_err(|source| Error::malformed("make a request", source))?;
        Ok(Request { request, timeout: REQUEST_TIMEOUT })
    }

    /// Sends a request and gives the answer as it is, unless it is an error. What only reads is asked again, once, when
    /// its connection breaks: Incus closes those that were idle, as after a sleep of this program.
    pub(crate) async fn send(&self, doing: &str, request: Request) -> Result<Response<Bytes>> {
        let again = (request.request.method() == Method::GET).then(|| request.again());
        let path = request.request.uri().path().to_owned();
        let asked = async {
            match (self.connections.ask(request.request).await, again) {
                (Err(Unanswered::Broken(_)), Some(again)) => self.connections.ask_anew(again).await,
                (answer, _) => answer,
            }
        };
        let answer = within(request.timeout, asked).await;
        let (answer, connection) = answer.map_err(|source| Error::unanswered(&self.address, doing, source))?;
        self.connections.keep(connection).await;
        tracing::debug!(doing, path, status = answer.status().as_u16(), "Incus answered");
        if answer.status().is_success() { Ok(answer) } else { Err(refused(doing, &answer)) }
    }

    /// Sends a request whose answer is in Incus's envelope.
    pub(crate) async fn answer(&self, doing: &str, request: Request) -> Result<Answer> {
        let answer = self.send(doing, request).await?;
        let envelope: Envelope =
            serde_json::from_slice(answer.body()).map_err(|source| Error::malformed(doing, source))?;
        if envelope.kind == "async" {
            let operation =
                serde_json::from_value(envelope.metadata).map_err(|source| Error::malformed(doing, source))?;
            return Ok(Answer::Async(operation));
        }
        Ok(Answer::Sync(envelope.metadata))
    }

    pub(crate) async fn websocket(&self, doing: &str, segments: &[&str], query: &[(&str, &str)]) -> Result<WebSocket> {
        let key = generate_key();
        let key_value = HeaderValue::from_str(&key).map_err(|source| Error::malformed(doing, source))?;
        let request = self
            .request(Method::GET, segments, query)?
            .header(CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
            .header(SEC_WEBSOCKET_KEY, key_value);
        let asked = within(WEBSOCKET_TIMEOUT, self.connections.upgrade(request.request)).await;
        let (head, stream) = match asked.map_err(|source| Error::unanswered(&self.address, doing, source))? {
            Upgrade::Made(head, stream) => (head, stream),
            Upgrade::Refused(answer) => return Err(refused(doing, &answer)),
        };
        let accepted = head.get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|value| value != &derive_accept_key(key.as_bytes())) {
            return Err(Error::malformed(doing, "another websocket than the one that was asked for"));
        }
        Ok(WebSocketStream::from_raw_socket(QuietWrites(stream), Role::Client, None).await)
    }
}

async fn within<T>(timeout: Duration, asked: impl Future<Output = Result<T, Unanswered>>) -> Result<T, Unanswered> {
    tokio::time::timeout(timeout, asked).await.unwrap_or(Err(Unanswered::Late(timeout)))
}

fn refused(doing: &str, answer: &Response<Bytes>) -> Error {
    let message = match serde_json::from_slice::<Envelope>(answer.body()) {
        Ok(envelope) => envelope.error,
        Err(_) => String::from_utf8_lossy(answer.body()).into_owned(),
    };
    Error::answered(doing, answer.status().as_u16(), &message)
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
