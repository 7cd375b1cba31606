//! HTTP/1.1 with a daemon, over connections of our own.
//!
//! Incus 6.0 reads the first bytes of a connection on its unix socket before it accepts the next one
//! (`StarttlsListener.Accept`): one that says nothing keeps everybody out, the operator's own `incus` too. The pools of
//! HTTP clients open connections in advance, for requests that then go another way. Here one is opened for a request, says
//! it as soon as it is connected, and is kept for the next request when its answer has been read. Nothing else opens one.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::poll;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A server that does not answer at all is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Incus closes what was idle for 30 s: a request on such a connection is lost.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// After an answer a connection is ready for more in no time, or not at all, as when the server does not read on.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// A websocket may be silent for long: only the network itself can say that the other side is gone. It is asked after so long
/// without a word, then as often as it takes until that is certain.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(20);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_TRIES: u32 = 3;
/// How long what was sent may go unacknowledged.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// What a request for a websocket was answered with.
pub(crate) enum Upgrade {
    Made(HeaderMap, TokioIo<Upgraded>),
    Refused(Response<Bytes>),
}

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
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// A connection for one request at a time. It ends when this is dropped, whatever is still under way on it.
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    _task: AbortOnDrop,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connections {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, idle: Mutex::default() }
    }

    /// Sends a request, and reads the whole answer. The connection can be kept.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Result<(Response<Bytes>, Connection), Unanswered> {
        let Some(mut connection) = self.take() else { return self.ask_anew(request).await };
        match connection.sender.try_send_request(request).await {
            Ok(answer) => Ok((whole(answer).await?, connection)),
            // It was closed in the meantime, and nothing of the request has left.
            Err(mut error) => match error.take_message() {
                Some(request) => self.ask_anew(request).await,
                None => Err(Unanswered::Broken(error.into_error())),
            },
        }
    }

    /// The same on a new connection.
    pub(crate) async fn ask_anew(&self, request: Request<Body>) -> Result<(Response<Bytes>, Connection), Unanswered> {
        let (connection, answer) = self.send(request).await?;
        Ok((whole(answer).await?, connection))
    }

    /// Sends a request on a connection that is not for anything else, and gives the answer as it begins: a websocket, or why
    /// there is none.
    pub(crate) async fn upgrade(&self, request: Request<Body>) -> Result<Upgrade, Unanswered> {
        let (connection, answer) = self.send(request).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Upgrade::Refused(whole(answer).await?));
        }
        let head = answer.headers().clone();
        let stream = hyper::upgrade::on(answer).await.map_err(Unanswered::Broken)?;
        drop(connection);
        Ok(Upgrade::Made(head, TokioIo::new(stream)))
    }

    async fn send(&self, request: Request<Body>) -> Result<(Connection, Response<Incoming>), Unanswered> {
        match &self.way {
            Way::Socket(path) => say(connected(UnixStream::connect(path)).await?, request).await,
            Way::Tls(address, config) => {
                let connecting = async {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
                    let socket = SockRef::from(&stream);
                    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_TRIES))?;
                    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
                    let name = ServerName::IpAddress(address.ip().into());
                    TlsConnector::from(config.clone()).connect(name, stream).await
                };
                say(connected(connecting).await?, request).await
            }
        }
    }

    /// The connection that was used last, of those that can still be used.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(connection, since)| connection.sender.is_ready() && since.elapsed() < IDLE_MAX);
        idle.pop().map(|(connection, _)| connection)
    }

    /// For the next request.
    pub(crate) async fn keep(&self, mut connection: Connection) {
        if let Ok(Ok(())) = tokio::time::timeout(READY_WITHIN, connection.sender.ready()).await {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((connection, Instant::now()));
        }
    }
}

/// Reads an answer to its end.
async fn whole(answer: Response<Incoming>) -> Result<Response<Bytes>, Unanswered> {
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
) -> Result<(Connection, Response<Incoming>), Unanswered> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Unanswered::Broken)?;
    let answer = sender.send_request(request);
    let mut connection = Box::pin(connection.with_upgrades());
    // Writes the request before anybody else here has a turn. How the connection ends is told by the answers.
    let is_over = poll!(&mut connection).is_ready();
    let task = tokio::spawn(async move {
        if !is_over {
            let _ = connection.await;
        }
    });
    let connection = Connection { sender, _task: AbortOnDrop(task.abort_handle()) };
    Ok((connection, answer.await.map_err(Unanswered::Broken)?))
}
