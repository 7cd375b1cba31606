//! Clients that each keep a connection: they ask, wait for the answer, and ask again. So no more requests can be in flight
//! at one moment than there are visitors.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// Longer than any move of the address, so that an answer which never comes is told from one that is late.
const PATIENCE: Duration = Duration::from_secs(5);
const END: Duration = Duration::from_secs(180);

pub(crate) struct Visitors {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Seen>>,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When each answer to a visitor came.
    pub(crate) answered: Vec<Instant>,
    pub(crate) failed: Vec<String>,
    /// When somebody who had never been here before got an answer.
    first_visits: Vec<Instant>,
}

impl Seen {
    /// How long a newcomer would have had to wait at the worst moment after `since`.
    pub(crate) fn silence_after(&self, since: Instant) -> Duration {
        let before = self.first_visits.iter().rev().find(|at| **at <= since).copied().unwrap_or(since);
        let after = self.first_visits.iter().filter(|at| **at > since);
        let moments: Vec<Instant> = [before].into_iter().chain(after.copied()).collect();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(END)
    }
}

impl Visitors {
    /// So many visitors, and a newcomer 20 times a second.
    pub(crate) fn start(count: usize, url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url) = (stop.clone(), url.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(visit(count, url, stopped))
        });
        Self { stop, thread: Some(thread) }
    }

    pub(crate) fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// A test that fails must not leave its visitors to the next one.
impl Drop for Visitors {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn visit(count: usize, url: String, stop: Arc<AtomicBool>) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let end = Instant::now() + END;
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        tasks.spawn(keep_asking(url.clone(), stop.clone(), end, seen.clone()));
    }
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut newcomers = JoinSet::new();
    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
        tick.tick().await;
        let client = crate::tls::client().http1_only().timeout(Duration::from_millis(500)).build().unwrap();
        let (url, seen) = (url.clone(), seen.clone());
        newcomers.spawn(async move {
            if client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
                seen.lock().unwrap().first_visits.push(Instant::now());
            }
        });
        while newcomers.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    while newcomers.join_next().await.is_some() {}
    Arc::try_unwrap(seen).unwrap().into_inner().unwrap()
}

async fn keep_asking(url: String, stop: Arc<AtomicBool>, end: Instant, seen: Arc<Mutex<Seen>>) {
    // One connection, and a new one only when that is gone.
    let client = crate::tls::client().http1_only().pool_max_idle_per_host(1).timeout(PATIENCE).build().unwrap();
    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
        let began = Instant::now();
        let answer = async { client.get(&url).send().await?.error_for_status()?.bytes().await }.await;
        match answer {
            Ok(_) => seen.lock().unwrap().answered.push(Instant::now()),
            Err(error) => seen.lock().unwrap().failed.push(format!("after {:?}: {error:?}", began.elapsed())),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
