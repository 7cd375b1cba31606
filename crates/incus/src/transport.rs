//! The one place that knows how a daemon is reached: HTTP requests, their envelope, and websockets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{ClientBuilder, Method, RequestBuilder, Response, StatusCode, Upgraded, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::operations::Operation;
use crate::quiet::QuietWrites;
use crate::tls::{self, Identity};
use crate::{Error, Result};

pub(crate) type WebSocket = WebSocketStream<QuietWrites<Upgraded>>;

/// Bounds a request that Incus answers at once; what takes long is an operation, or has a bound of its own.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that does not answer at all is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Incus closes what was idle for 30 s: a request on such a connection is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// On the unix socket a pool has another price. It opens some connections in advance, for requests that then go another way;
/// and Incus 6.0 reads the first bytes of one before it accepts the next (`StarttlsListener.Accept`): one that says nothing
/// keeps everybody out, the operator's own `incus` too, until it is closed. That has to be well before anybody gives up.
const SOCKET_IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// A websocket may be silent for long: only the network itself can say that the other side is gone.
const TCP_KEEPALIVE: Duration = Duration::from_secs(20);

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
        // Nothing is encrypted here: without this the machine's certificate authorities would be read, for each client.
        let no_tls = tls::none()?;
        let client = || reqwest::Client::builder().unix_socket(socket).tls_backend_preconfigured(no_tls.clone());
        Self::over(client, "http://incus/1.0", socket.display().to_string(), SOCKET_IDLE_TIMEOUT)
    }

    pub(crate) fn https(address: SocketAddr, identity: Identity<'_>, server_certificate: &str) -> Result<Self> {
        let config = tls::pinned(identity, server_certificate)?;
        // Websockets are upgraded from HTTP/1.1; a proxy of the environment is not meant for one's own servers.
        let client = || reqwest::Client::builder().tls_backend_preconfigured(config.clone()).http1_only().no_proxy();
        Self::over(client, &format!("https://{address}/1.0"), format!("https://{address}"), IDLE_TIMEOUT)
    }

    fn over(client: impl Fn() -> ClientBuilder, base: &str, address: String, idle: Duration) -> Result<Self> {
        let built = |builder: ClientBuilder| {
            let builder = builder
                .user_agent(concat!("bascule-incus/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(idle)
                .tcp_keepalive(TCP_KEEPALIVE);
            builder.build().map_err(|source| Error::unanswered(&address, "set up the client", source))
        };
        let (http, websockets) = (built(client())?, built(client().pool_max_idle_per_host(0))?);
        let base = Url::parse(base).map_err(|source| Error::malformed("set up the client", source))?;
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

    /// Sends a request and gives the answer as it is, unless it is an error. What only reads is asked again, once, when
    /// its connection breaks: Incus closes those that were idle, as after a sleep of this program.
    pub(crate) async fn send(&self, doing: &str, request: RequestBuilder) -> Result<Response> {
        let unanswered = |source| Error::unanswered(&self.address, doing, source);
        let (client, request) = request.build_split();
        let request = request.map_err(unanswered)?;
        let only_reads = request.method() == Method::GET && !request.headers().contains_key(UPGRADE);
        let again = request.try_clone().filter(|_| only_reads);
        let response = match (client.execute(request).await, again) {
            (Err(error), Some(again)) if !error.is_connect() && !error.is_timeout() => client.execute(again).await,
            (answer, _) => answer,
        };
        let response = response.map_err(unanswered)?;
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
