//! A store that does what a test wants: it counts who asks for what, takes its time, fails, and is gone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    asked: Vec<Asked>,
    delay: Duration,
    fails: Option<StatusCode>,
}

/// It listens from when it is made until it is dropped.
#[derive(Debug)]
pub(super) struct Origin {
    state: Arc<Mutex<State>>,
    gone: watch::Sender<bool>,
}

impl Origin {
    pub(super) fn listen(address: SocketAddr) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (gone, seen) = watch::channel(false);
        let serving = state.clone();
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(address, serving, seen, &ready));
        });
        is_ready.recv().unwrap();
        Self { state, gone }
    }

    pub(super) fn put(&self, path: &str, object: Bytes) {
        self.state().objects.insert(path.to_owned(), object);
    }

    /// Everything that was asked for since this was called the last time.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    pub(super) fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Every answer is this status, until it is `None`.
    pub(super) fn fail(&self, status: Option<u16>) {
        self.state().fails = status.map(|status| StatusCode::from_u16(status).unwrap());
    }

    /// Refuses connections, and ends those that there are.
    pub(super) fn go(&self) {
        self.gone.send_replace(true);
        std::thread::sleep(Duration::from_millis(300));
    }

    pub(super) fn come_back(&self) {
        self.gone.send_replace(false);
        std::thread::sleep(Duration::from_millis(300));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    mut gone: watch::Receiver<bool>,
    ready: &std::sync::mpsc::Sender<()>,
) {
    loop {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let _ = ready.send(());
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.unwrap();
                    let state = state.clone();
                    let answer = service_fn(move |request| answer(request, state.clone()));
                    connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
                }
                changed = gone.wait_for(|gone| *gone) => match changed {
                    Ok(_) => break,
                    Err(_) => return,
                },
            }
        }
        drop((listener, connections));
        if gone.wait_for(|gone| !*gone).await.is_err() {
            return;
        }
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: BTreeMap<String, String> =
        request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let asked = Asked { path: request.uri().to_string(), headers };
    let (object, delay, fails) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push(asked.clone());
        (state.objects.get(&asked.path).cloned(), state.delay, state.fails)
    };
    tokio::time::sleep(delay).await;
    let plain = |status: StatusCode| {
        Response::builder().status(status).body(Full::from(format!("<Error>{status}</Error>"))).unwrap()
    };
    let Some(object) = object.filter(|_| fails.is_none()) else {
        return Ok(plain(fails.unwrap_or(StatusCode::NOT_FOUND)));
    };
    let etag: String = Sha256::digest(&object)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    // What an edge has to leave out is there.
    let response = Response::builder()
        .header("etag", &etag)
        .header("accept-ranges", "bytes")
        .header("cache-control", "no-store")
        .header("content-encoding", "aws-chunked")
        .header("set-cookie", "of=store")
        .header("x-accel-redirect", "/__edge_alive")
        .header("x-amz-request-id", "1");
    if asked.header("if-none-match") == etag {
        return Ok(response.status(StatusCode::NOT_MODIFIED).body(Full::default()).unwrap());
    }
    let Some((first, last)) = range(asked.header("range")) else {
        return Ok(response.body(Full::new(object)).unwrap());
    };
    if first >= object.len() {
        return Ok(plain(StatusCode::RANGE_NOT_SATISFIABLE));
    }
    let last = last.min(object.len() - 1);
    let response = response
        .status(StatusCode::PARTIAL_CONTENT)
        .header("content-range", format!("bytes {first}-{last}/{}", object.len()));
    Ok(response.body(Full::new(object.slice(first..=last))).unwrap())
}

fn range(header: &str) -> Option<(usize, usize)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
