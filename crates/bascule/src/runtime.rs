//! The life of a verb: a runtime, a renderer that listens, and what ends it.

use std::cell::OnceCell;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bascule_engine::Lock;
use bascule_plan::event::{Event, Summary};
use bascule_spec::Platform;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::Common;
use crate::failure::{Exit, Failed};
use crate::render;
use crate::setup;

/// Where a verb sends what it has to say.
pub(crate) type Events = mpsc::UnboundedSender<Event>;

/// The first event of every verb; the platform is `None` where there is none, or more than one environment is meant.
pub(crate) fn started(verb: &str, platform: Option<&Platform>) -> Event {
    let of = |name: fn(&Platform) -> &String| platform.map(name).cloned().unwrap_or_default();
    Event::Started {
        verb: verb.to_owned(),
        platform: of(|platform| &platform.name),
        environment: of(|platform| &platform.environment),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Runs a verb that works on the files of one environment, and asks no Incus; its summary is what the body counted.
pub(crate) fn on_files(
    common: &Common,
    verb: &str,
    body: impl AsyncFnOnce(Platform, &Events) -> Result<Summary, Failed>,
) -> ExitCode {
    in_runtime(common, async |events, _| on_files_within(common, verb, &events, body).await)
}

/// The same for a verb that shares its terminal with a program to which Ctrl-C means something else.
pub(crate) fn on_files_beside_a_program(
    common: &Common,
    verb: &str,
    body: impl AsyncFnOnce(Platform, &Events) -> Result<Summary, Failed>,
) -> ExitCode {
    let never = async {
        while tokio::signal::ctrl_c().await.is_ok() {}
        std::future::pending().await
    };
    in_runtime_until(common, never, async |events, _| on_files_within(common, verb, &events, body).await)
}

async fn on_files_within(
    common: &Common,
    verb: &str,
    events: &Events,
    body: impl AsyncFnOnce(Platform, &Events) -> Result<Summary, Failed>,
) -> Result<Exit, Failed> {
    let began = Instant::now();
    let platform = setup::platform(common)?;
    let _ = events.send(started(verb, Some(&platform)));
    let summary = body(platform, events).await?;
    let _ = events.send(Event::Summary(Summary { duration_ms: elapsed_ms(began), ..summary }));
    Ok(Exit::Done)
}

pub(crate) fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Runs a body whose events are rendered; an error is rendered too, and becomes the exit code. A lock that the body leaves
/// in the cell is given back when it is interrupted.
pub(crate) fn in_runtime(
    common: &Common,
    body: impl AsyncFnOnce(Events, &OnceCell<Lock>) -> Result<Exit, Failed>,
) -> ExitCode {
    in_runtime_until(common, asked_to_end(), body)
}

fn in_runtime_until(
    common: &Common,
    interrupted: impl Future<Output = ()>,
    body: impl AsyncFnOnce(Events, &OnceCell<Lock>) -> Result<Exit, Failed>,
) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return render::fatal(&format!("no runtime could be started: {error}")),
    };
    let began = Instant::now();
    let exit = runtime.block_on(async {
        let (events, receiver) = mpsc::unbounded_channel();
        let renderer = tokio::spawn(render::render(common.output, common.verbose, receiver));
        let failed_events = events.clone();
        let held = OnceCell::new();
        let work = async {
            match body(events, &held).await {
                Ok(exit) => exit,
                Err(failed) => {
                    let exit = failed.exit();
                    render::failed(&failed_events, failed, began.elapsed());
                    exit
                }
            }
        };
        let exit = tokio::select! {
            exit = work => exit,
            () = interrupted => {
                let note = |message: String| drop(failed_events.send(Event::Note { message }));
                note("interrupted: what was begun, the next run finishes".to_owned());
                if let Some(lock) = held.get() {
                    give_back(lock, note).await;
                }
                let summary = Summary { duration_ms: elapsed_ms(began), ..Summary::default() };
                let _ = failed_events.send(Event::Summary(summary));
                Exit::Interrupted
            }
        };
        drop(failed_events);
        // A renderer that failed (a closed pipe) has nothing more to say.
        let _ = renderer.await;
        exit
    });
    // Whatever still blocks (reading standard input) must not hold the process.
    runtime.shutdown_background();
    exit.into()
}

/// Waits for Ctrl-C or SIGTERM.
async fn asked_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

pub(crate) async fn give_back(lock: &Lock, say: impl Fn(String)) {
    let given = tokio::time::timeout(Duration::from_secs(5), lock.release()).await;
    let why = match given {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "Incus does not answer".to_owned(),
    };
    say(format!("the lock could not be given back ({why}): it is free when its lease has run out"));
}
