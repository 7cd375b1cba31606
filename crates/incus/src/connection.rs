//! HTTP/1.1 with a daemon, over connections of our own.
//!
//! Incus 6.0 reads the first bytes of a connection on its unix socket before it accepts the next one
//! (`StarttlsListener.Accept`): one that says nothing keeps everybody out, the operator's own `incus` too. The pools of
//! HTTP clients open connections in advance, for requests that then go another way. Here one is opened for a request,
//! says it at once, and is kept for the next request when its answer has been read. Nothing else opens one.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::poll;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A server that does not answer at all is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Incus closes what was idle for 30 s: a request on such a connection is lost.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// After an answer a connection is ready for more in no time, or not at all, as when the server does not read on.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// A websocket may be silent for long: only the network itself can say that the other side is gone.
const TCP_KEEPALIVE: Duration = Duration::from_secs(20);

/// How a daemon is reached.
pub(crate) enum Way {
    Socket(PathBuf),
    Tls(SocketAddr, Arc<ClientConfig>),
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Nobody was asked.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The request was perhaps carried out.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("there was no answer within {0:?}")]
    Late(Duration),
}

pub(crate) struct Connections {
    way: Way,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Connections {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, idle: Mutex::default() }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Result<Response<Bytes>, Unanswered> {
        let (sender, answer) = self.send(request).await?;
        let answer = whole(answer).await?;
        self.keep(sender).await;
        Ok(answer)
    }

    /// Sends a request on a connection that is not for anything else: the answer may turn it into a websocket.
    pub(crate) async fn ask_alone(&self, request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        Ok(self.send_anew(request).await?.1)
    }

    async fn send(&self, request: Request<Body>) -> Result<(SendRequest<Body>, Response<Incoming>), Unanswered> {
        let Some(mut sender) = self.take() else { return self.send_anew(request).await };
        match sender.try_send_request(request).await {
            Ok(answer) => Ok((sender, answer)),
            // It was closed in the meantime, and nothing of the request has left.
            Err(mut error) => match error.take_message() {
                Some(request) => self.send_anew(request).await,
                None => Err(Unanswered::Broken(error.into_error())),
            },
        }
    }

    async fn send_anew(&self, request: Request<Body>) -> Result<(SendRequest<Body>, Response<Incoming>), Unanswered> {
        match &self.way {
            Way::Socket(path) => say(connected(UnixStream::connect(path)).await?, request).await,
            Way::Tls(address, config) => {
                let connecting = async {
                    let stream = TcpStream::connect(address).await?;
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
                    stream.set_nodelay(true)?;
                    let name = ServerName::IpAddress(address.ip().into());
                    TlsConnector::from(config.clone()).connect(name, stream).await
                };
                say(connected(connecting).await?, request).await
            }
        }
    }

    /// The connection that was used last, of those that can still be used.
    fn take(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.sender.is_ready() && idle.since.elapsed() < IDLE_MAX);
        idle.pop().map(|idle| idle.sender)
    }

    async fn keep(&self, mut sender: SendRequest<Body>) {
        if let Ok(Ok(())) = tokio::time::timeout(READY_WITHIN, sender.ready()).await {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

/// Reads an answer to its end.
pub(crate) async fn whole(answer: Response<Incoming>) -> Result<Response<Bytes>, Unanswered> {
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, body.collect().await.map_err(Unanswered::Broken)?.to_bytes()))
}

async fn connected<S>(connecting: impl Future<Output = io::Result<S>>) -> Result<S, Unanswered> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Unanswered::Connect)
}

/// The first request on a connection.
async fn say(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> Result<(SendRequest<Body>, Response<Incoming>), Unanswered> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Unanswered::Broken)?;
    let answer = sender.send_request(request);
    let mut connection = Box::pin(connection.with_upgrades());
    // Writes the request before anybody else here has a turn.
    if poll!(&mut connection).is_pending() {
        // How it ends is told by the answers.
        tokio::spawn(connection);
    }
    Ok((sender, answer.await.map_err(Unanswered::Broken)?))
}
