//! From arguments to a session: the platform read and checked, Incus reached, an engine made, a renderer listening.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bascule_engine::{AgentProgram, Claim, Clock, Debootstrap, Engine, Lock, Parallel, Run};
use bascule_incus::{Client, Incus};
use bascule_plan::event::{Event, Summary};
use bascule_release::{Commit, Folder};
use bascule_spec::{Files as _, Platform};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::{Common, Locking};
use crate::failure::{Exit, Failed};
use crate::files::Disk;
use crate::process;
use crate::render;
use crate::secrets::SecretsFile;

/// What a verb works with.
pub(crate) struct Session {
    pub(crate) platform: Platform,
    pub(crate) incus: Arc<dyn Incus>,
    pub(crate) run: Run,
}

/// What a verb may do to the environment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// Look. No lock is needed, and somebody else may hold it.
    Looks,
    /// Change it, under its lock.
    Changes(Locking),
    /// The same, for the one verb that begins an environment.
    Makes(Locking),
}

/// Reads the platform, reaches Incus, takes the lock where it is needed, runs the body, and renders its events, its
/// failure and its summary.
pub(crate) fn session(
    common: &Common,
    verb: &str,
    access: Access,
    body: impl AsyncFnOnce(&Session) -> Result<Exit, Failed>,
) -> ExitCode {
    session_after(common, verb, |_| Ok(access), body)
}

/// As [`session`], for a verb that looks at what was typed before it may do anything.
pub(crate) fn session_after(
    common: &Common,
    verb: &str,
    look: impl FnOnce(&Platform) -> Result<Access, Failed>,
    body: impl AsyncFnOnce(&Session) -> Result<Exit, Failed>,
) -> ExitCode {
    in_runtime(common, async |events: mpsc::UnboundedSender<Event>, held: &OnceCell<Lock>| {
        let platform = platform(common)?;
        let _ = events.send(Event::Started {
            verb: verb.to_owned(),
            platform: platform.name.clone(),
            environment: platform.environment.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        let access = look(&platform)?;
        let engine = engine(&platform)?;
        let run = engine.run(&platform.incus.project, events);
        let (run, lock) = locked(run, &engine, &platform, verb, access, held).await?;
        let session = Session { incus: engine.incus.clone(), run, platform };
        let ended = match lock {
            None => body(&session).await,
            Some(lock) => lock.while_held(body(&session)).await.unwrap_or_else(|lost| Err(lost.into())),
        };
        let exit = match ended {
            Ok(exit) => exit,
            Err(failed) => {
                let exit = failed.exit();
                session.run.failure(failed.into_failure());
                exit
            }
        };
        if let Some(lock) = lock {
            give_back(lock, |message| session.run.note(message)).await;
        }
        let applied = !matches!(access, Access::Looks) && !matches!(exit, Exit::Input | Exit::Missing);
        session.run.emit(Event::Summary(session.run.summary(applied)));
        Ok(exit)
    })
}

/// The run under its lock, where the verb needs one. `held` keeps it, so that it is given back whatever happens.
async fn locked<'a>(
    run: Run,
    engine: &Engine,
    platform: &Platform,
    verb: &str,
    access: Access,
    held: &'a OnceCell<Lock>,
) -> Result<(Run, Option<&'a Lock>), Failed> {
    let locking = match access {
        Access::Looks => return Ok((run, None)),
        Access::Makes(locking) => {
            run.make_project().await?;
            locking
        }
        Access::Changes(locking) => {
            // Where there is no environment there is nothing to keep others from.
            if engine.incus.project(&platform.incus.project).await?.is_none() {
                return Ok((run, None));
            }
            locking
        }
    };
    let lock = run.lock(&claim(verb, Some(locking))).await?;
    let lock = held.get_or_init(|| lock);
    Ok((run.under(lock), Some(lock)))
}

/// This process, as whoever holds the lock or takes it away.
pub(crate) fn claim(verb: &str, locking: Option<Locking>) -> Claim {
    Claim {
        who: who(),
        doing: verb.to_owned(),
        process: process::this(),
        has_ended: process::has_ended,
        wait: locking.map(Locking::wait).unwrap_or_default(),
    }
}

async fn give_back(lock: &Lock, say: impl Fn(String)) {
    let given = tokio::time::timeout(Duration::from_secs(5), lock.release()).await;
    let why = match given {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "Incus does not answer".to_owned(),
    };
    say(format!("the lock could not be given back ({why}): it is free when its lease has run out"));
}

/// Runs a body whose events are rendered; an error is rendered too, and becomes the exit code. A lock that the body leaves
/// in the cell is given back when it is interrupted.
pub(crate) fn in_runtime(
    common: &Common,
    body: impl AsyncFnOnce(mpsc::UnboundedSender<Event>, &OnceCell<Lock>) -> Result<Exit, Failed>,
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
            () = asked_to_end() => {
                let note = |message: String| drop(failed_events.send(Event::Note { message }));
                note("interrupted: what was begun, the next run finishes".to_owned());
                if let Some(lock) = held.get() {
                    give_back(lock, note).await;
                }
                let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                let _ = failed_events.send(Event::Summary(Summary { duration_ms, ..Summary::default() }));
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

pub(crate) fn platform(common: &Common) -> Result<Platform, Failed> {
    let environment = match &common.env {
        Some(environment) => environment.clone(),
        None => only_environment(&common.platform)?,
    };
    Ok(bascule_spec::load(&Disk, &common.platform, &environment)?)
}

fn only_environment(platform: &Path) -> Result<String, Failed> {
    if !platform.exists() {
        return Err(Failed::usage(
            format!("there is no platform file {}", platform.display()),
            "name it with --platform FILE, or go to its folder",
        ));
    }
    let folder = platform.parent().unwrap_or(Path::new("")).join("env");
    let names = Disk.list(&folder);
    let names: Vec<&str> =
        names.iter().filter_map(|name| name.strip_suffix(".toml")).filter(|name| !name.contains('.')).collect();
    match names[..] {
        [only] => Ok(only.to_owned()),
        [] => Err(Failed::usage(
            format!("{} has no environments", platform.display()),
            format!("write one, e.g. {}", folder.join("lab.toml").display()),
        )),
        _ => Err(Failed::usage(
            format!("which environment? {} has {}", platform.display(), names.join(", ")),
            "name it with --env NAME, or set BASCULE_ENV",
        )),
    }
}

fn engine(platform: &Platform) -> Result<Engine, Failed> {
    let secrets = SecretsFile::load(platform)?;
    let incus: Arc<dyn Incus> = Arc::new(Client::unix(&platform.incus.socket)?);
    let program = std::fs::read("/proc/self/exe").map_err(|error| {
        Failed::usage(format!("the agent (this program) cannot be read: {error}"), "is /proc there?")
    })?;
    Ok(Engine {
        incus,
        agent: AgentProgram::new(program.into()),
        secrets: Arc::new(secrets),
        blobs: Arc::new(Folder(platform.release.artifacts.clone())),
        base: Arc::new(Debootstrap { cache: cache_folder() }),
        clock: Arc::new(RealClock { began: Instant::now() }),
        parallel: Parallel::default(),
        generation: None,
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment beside clap")]
fn cache_folder() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from("/var/cache")).join("bascule")
}

/// Who runs this, for the history.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment beside clap")]
pub(crate) fn who() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("SUDO_USER")
        .or_else(|| nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name));
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    format!("{}@{}", user.unwrap_or_else(|| "unknown".to_owned()), host.unwrap_or_else(|| "unknown".to_owned()))
}

#[derive(Debug)]
struct RealClock {
    began: Instant,
}

impl Clock for RealClock {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A commit as typed.
pub(crate) fn commit(typed: &str) -> Result<Commit, Failed> {
    typed.parse().map_err(|error: bascule_release::CommitError| {
        Failed::usage(error.to_string(), "deploy wants the whole commit: bascule deploy $(git rev-parse HEAD)")
    })
}
