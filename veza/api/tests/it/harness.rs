//! Starts servers and talks to them. Every wait is bounded by [`PATIENCE`].

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use veza_api::{DrainLimits, Identity, Open, OperatorToken, server};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const STARTED_AT: &str = "2026-01-02T03:04:05Z";

/// A token made for this run only.
pub(crate) fn made_token() -> String {
    let hasher = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), COMMIT);
    format!("made-for-this-test-{hasher:016x}")
}

/// The server inside the test's own process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Open>,
}

impl Server {
    pub(crate) async fn start(operator_token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity::new(COMMIT.parse().unwrap(), "api-test-1".to_owned(), STARTED_AT.parse().unwrap());
        let token = operator_token.map(|token| OperatorToken::new(token).unwrap());
        let limits = DrainLimits { delay: Duration::ZERO, timeout: PATIENCE };
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap_or_default() };
        let done = tokio::spawn(server::run(listener, None, identity, token, limits, stopped));
        Self { address, stop, done }
    }

    pub(crate) async fn stop(self) -> Open {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.done).await.expect("the server did not drain").unwrap()
    }
}

/// The server as its own process, killed when dropped.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    log: JoinHandle<String>,
}

impl Process {
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let mut child = command(variables).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let event: serde_json::Value = serde_json::from_str(&line).expect("every log line is JSON");
                if event["message"] == "serving" {
                    return event["address"].as_str().unwrap().parse().unwrap();
                }
            }
            panic!("the process ended before it served");
        };
        let address = timeout(PATIENCE, serving).await.expect("the process never said that it serves");
        let log = tokio::spawn(async move {
            let mut rest = String::new();
            lines.into_inner().read_to_string(&mut rest).await.unwrap();
            rest
        });
        Self { address, child, log }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits for the end by itself, and returns what was logged since it served.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the process did not end").unwrap();
        (status, self.log.await.unwrap())
    }
}

#[expect(clippy::disallowed_methods, reason = "the test is of a process")]
pub(crate) fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veza-api"));
    command.env_clear().env("LISTEN_ADDRESS", "127.0.0.1:0").env("COMMIT", COMMIT).env("INSTANCE", "api-test-1");
    command.envs(variables.iter().copied()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> reqwest::Response {
    reqwest::get(format!("http://{address}{path}")).await.unwrap()
}

pub(crate) async fn json(response: reqwest::Response) -> serde_json::Value {
    serde_json::from_str(&response.text().await.unwrap()).expect("the body is JSON")
}

pub(crate) type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) async fn websocket(address: SocketAddr) -> Client {
    let (client, _) = connect_async(format!("ws://{address}/api/v1/echo")).await.unwrap();
    client
}

/// A request that the server has begun and cannot finish before the rest of its body comes.
pub(crate) struct SlowRequest(TcpStream);

impl SlowRequest {
    pub(crate) async fn begin(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /api/v1/echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server says this when the handler asks for the body: from here on the request is in flight.
        let mut go_on = [0; 25];
        timeout(PATIENCE, stream.read_exact(&mut go_on)).await.expect("the request was not begun").unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self(stream)
    }

    /// Sends the rest and returns the whole answer; the server must close the connection behind it.
    pub(crate) async fn finish(mut self) -> String {
        self.0.write_all(b"0123456789").await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, self.0.read_to_string(&mut answer)).await.expect("no answer, or not closed").unwrap();
        answer
    }
}
