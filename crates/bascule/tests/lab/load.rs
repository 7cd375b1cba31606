//! Requests at a constant rate over kept-alive connections, as wrk2 sends them: so many connections and no more, and what
//! finds none free waits for one, which counts as its time. And WebSockets that talk all the time; every failure is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// What to ask, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// `https://ADDRESS`, without a slash at the end.
    pub(crate) base: String,
    pub(crate) paths: Vec<&'static str>,
    pub(crate) requests_per_s: u32,
    pub(crate) websockets: usize,
}

/// A load that runs until it is stopped, at most ten minutes.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Seen>>,
}

/// A test that fails must not leave its load to the next one.
impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answered: usize,
    /// No answer, or a status of 400 or more, for a request whose answer had not begun.
    pub(crate) failed: Vec<String>,
    /// An answer that broke off after it had begun.
    pub(crate) broke_off: Vec<String>,
    /// Answers by the commit that gave them, where the path tells it.
    pub(crate) commits: BTreeMap<String, usize>,
    /// Echoes that came back whole.
    pub(crate) echoes: usize,
    /// WebSockets that were closed in order, with 1012 (service restart).
    pub(crate) closed_for_restart: usize,
    /// WebSockets that ended in any other way.
    pub(crate) cut: Vec<String>,
    /// It ended by itself, before it was stopped.
    pub(crate) ran_out: bool,
}

const MINUTES_MAX: u64 = 10;
/// A client that opened another connection whenever the answers are late would make them later still.
const CONNECTIONS_MAX: usize = 64;

impl Load {
    pub(crate) fn start(plan: Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(run(plan, stopped))
        });
        Self { stop, thread: Some(thread) }
    }

    pub(crate) fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

async fn run(plan: Plan, stop: Arc<AtomicBool>) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut tasks = JoinSet::new();
    for number in 0..plan.websockets {
        tasks.spawn(talk(plan.base.clone(), number, stop.clone(), seen.clone()));
    }
    let client = crate::tls::client()
        .timeout(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / plan.requests_per_s);
    let end = Instant::now() + Duration::from_secs(60 * MINUTES_MAX);
    let mut paths = plan.paths.iter().cycle();
    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
        tick.tick().await;
        let url = format!("{}{}", plan.base, paths.next().unwrap());
        tasks.spawn(ask(client.clone(), connections.clone(), url, seen.clone()));
        while tasks.try_join_next().is_some() {}
    }
    seen.lock().unwrap().ran_out = !stop.load(Ordering::Relaxed);
    while tasks.join_next().await.is_some() {}
    Arc::try_unwrap(seen).unwrap().into_inner().unwrap()
}

async fn ask(client: reqwest::Client, connections: Arc<Semaphore>, url: String, seen: Arc<Mutex<Seen>>) {
    let began = Instant::now();
    let connection = connections.acquire().await.unwrap();
    let answer = client.get(&url).send().await;
    let mut broke_off = None;
    let mut failed = None;
    let mut commit = None;
    match answer {
        Err(error) => failed = Some(format!("{url}: {error:?}")),
        Ok(answer) if answer.status().as_u16() >= 400 => failed = Some(format!("{url}: {}", answer.status())),
        Ok(answer) => match answer.text().await {
            Err(error) => broke_off = Some(format!("{url}: {error:?}")),
            Ok(body) => commit = commit_in(&body),
        },
    }
    drop(connection);
    let mut seen = seen.lock().unwrap();
    let after = began.elapsed();
    match (failed, broke_off) {
        (Some(failed), _) => seen.failed.push(format!("{failed} after {after:?}")),
        (_, Some(broke_off)) => seen.broke_off.push(format!("{broke_off} after {after:?}")),
        _ => seen.answered += 1,
    }
    if let Some(commit) = commit {
        *seen.commits.entry(commit).or_default() += 1;
    }
}

fn commit_in(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("\"commit\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// Opens a WebSocket, sends a message five times a second and wants each back; opens the next when it was closed.
async fn talk(base: String, number: usize, stop: Arc<AtomicBool>, seen: Arc<Mutex<Seen>>) {
    let url = format!("{}/api/v1/echo", base.replacen("http", "ws", 1));
    while !stop.load(Ordering::Relaxed) {
        // The greeting tells who answers. Where the address moves in between, nothing ever comes.
        let opened = async {
            let mut socket = crate::tls::connect(&url).await.map_err(|error| error.to_string())?;
            let _ = socket.next().await;
            Ok(socket)
        };
        let opened = tokio::time::timeout(Duration::from_secs(10), opened).await;
        let mut socket = match opened.unwrap_or_else(|_| Err("no greeting".to_owned())) {
            Ok(socket) => socket,
            Err(error) => {
                seen.lock().unwrap().failed.push(format!("opening a WebSocket: {error}"));
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let mut count = 0;
        loop {
            if stop.load(Ordering::Relaxed) {
                let _ = socket.close(None).await;
                return;
            }
            count += 1;
            let text = format!("{number}-{count}");
            let sent = socket.send(Message::text(text.clone())).await;
            let came = tokio::time::timeout(Duration::from_secs(5), socket.next()).await;
            match (sent, came) {
                (Ok(()), Ok(Some(Ok(Message::Text(back))))) if back.as_str() == text => {
                    seen.lock().unwrap().echoes += 1;
                }
                (_, Ok(Some(Ok(Message::Close(Some(CloseFrame { code, .. })))))) if u16::from(code) == 1012 => {
                    seen.lock().unwrap().closed_for_restart += 1;
                    break;
                }
                (sent, came) => {
                    seen.lock().unwrap().cut.push(format!("{text}: sent {sent:?}, came {came:?}"));
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
