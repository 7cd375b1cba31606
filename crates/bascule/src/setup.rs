//! From arguments to a session: the platform read and checked, Incus reached, an engine made, a renderer listening.

use std::cell::OnceCell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bascule_engine::{
    AgentProgram, Claim, Clock, Debootstrap, Engine, Lock, LockError, LockOf, Parallel, Run, Secrets,
};
use bascule_incus::{Client, Identity, Incus};
use bascule_plan::event::Event;
use bascule_release::{Commit, Folder};
use bascule_spec::{Endpoint, Files as _, Platform};

use crate::authority::{self, Signer};
use crate::cli::{Common, Locking};
use crate::failure::{Exit, Failed};
use crate::files::Disk;
use crate::operators;
use crate::ops;
use crate::process;
use crate::runtime::{Events, give_back, in_runtime, started};
use crate::secrets::{self, Opened};

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
    /// Look at it with an instance of one's own, as the only one who does so. Whoever changes it is in nobody's way.
    Drills,
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
    in_runtime(common, async |events: Events, held: &OnceCell<Lock>| {
        let agent = this_program()?;
        let mut platform = platform(common)?;
        let _ = events.send(started(verb, Some(&platform)));
        let access = look(&platform)?;
        let mut secrets = secrets::open(common, &platform.environment)?;
        let makes = matches!(access, Access::Makes(_));
        authority::ensure(&mut platform, &common.platform, &mut secrets, makes, unix_s())?;
        secrets::draw_own(&mut secrets, &platform, makes)?;
        let note = |message| drop(events.send(Event::Note { message }));
        // Last of those that add to the secrets: the ops instance is given the file as it is now.
        ops::ensure(&mut platform, common, &mut secrets, makes, unix_s(), note)?;
        let secrets = secrets::required(secrets, &platform)?;
        secrets::front_door_fits(&secrets.0, &platform)?;
        let incus = incus(&platform, &secrets)?;
        let engine = engine(&platform, incus, secrets, agent);
        let run = engine.run(&platform.incus.project, events);
        let (run, lock) = locked(run, &engine, &platform, verb, access, held).await?;
        let session = Session { incus: engine.incus.clone(), run, platform };
        let ended = match lock {
            None => body(&session).await,
            Some(lock) => lock.while_held(body(&session)).await.unwrap_or_else(|lost| Err(lost.into())),
        };
        let exit = settle(&session.run, ended);
        if let Some(lock) = lock {
            give_back(lock, |message| session.run.note(message)).await;
        }
        sum_up(&session.run, !matches!(access, Access::Looks), exit);
        Ok(exit)
    })
}

/// Tells how a verb ended, where that was not well.
pub(crate) fn settle(run: &Run, ended: Result<Exit, Failed>) -> Exit {
    ended.unwrap_or_else(|failed| {
        let so_far = run.summary(true);
        let exit = failed.exit_after(so_far.changed + so_far.failed > 0);
        run.failure(failed.into_failure());
        exit
    })
}

/// The last event of every verb.
pub(crate) fn sum_up(run: &Run, applies: bool, exit: Exit) {
    let applied = applies && !matches!(exit, Exit::Input | Exit::Missing);
    run.emit(Event::Summary(run.summary(applied)));
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
    let exists = async || Ok::<_, Failed>(engine.incus.project(&platform.incus.project).await?.is_some());
    let (run, locking) = match access {
        Access::Looks => return Ok((run, None)),
        Access::Makes(locking) => {
            run.make_project().await?;
            (run, Some(locking))
        }
        // Where there is no environment there is nothing to keep others from.
        Access::Changes(_) | Access::Drills if !exists().await? => return Ok((run, None)),
        Access::Changes(locking) => (run, Some(locking)),
        Access::Drills => (run.locking(LockOf::Drill), None),
    };
    let lock = match run.lock(&claim(verb, locking)).await {
        Err(LockError::Held { holder, now_ms }) if locking.is_none() => {
            let message = format!("another one is under way: {}", holder.sentence(now_ms));
            return Err(Failed::usage(
                message,
                "wait until it has ended; the lease of one that died runs out by itself",
            ));
        }
        lock => lock?,
    };
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

/// A file that Bascule keeps beside the environment's overlay, e.g. `env/lab.known_hosts`.
pub(crate) fn beside_overlay(common: &Common, platform: &Platform, kind: &str) -> PathBuf {
    let folder = common.platform.parent().unwrap_or(Path::new("")).join("env");
    folder.join(format!("{}.{kind}", platform.environment))
}

/// The platform as its files have it, or as `up` brought it to the ops instance, whole.
pub(crate) fn platform(common: &Common) -> Result<Platform, Failed> {
    if common.platform.extension().is_some_and(|kind| kind == "json") {
        let unread = |why: String| {
            let message = format!("the platform {} cannot be read: {why}", common.platform.display());
            Failed::usage(message, "`bascule up` writes it on the ops instance")
        };
        let text = std::fs::read(&common.platform).map_err(|error| unread(error.to_string()))?;
        return serde_json::from_slice(&text).map_err(|error| unread(error.to_string()));
    }
    let environment = environment(common)?;
    Ok(bascule_spec::load(&Disk, &common.platform, &environment)?)
}

fn environment(common: &Common) -> Result<String, Failed> {
    match &common.env {
        Some(environment) => Ok(environment.clone()),
        None => only_environment(&common.platform),
    }
}

/// The environments of a platform: those whose overlays lie beside it.
pub(crate) fn environments(platform: &Path) -> Result<Vec<String>, Failed> {
    if !platform.exists() {
        return Err(Failed::usage(
            format!("there is no platform file {}", platform.display()),
            "name it with --platform FILE, go to its folder, or begin one: bascule init",
        ));
    }
    let folder = platform.parent().unwrap_or(Path::new("")).join("env");
    let names = Disk.list(&folder).into_iter();
    let names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .filter(|name| !name.contains('.'))
        .collect();
    if names.is_empty() {
        return Err(Failed::usage(
            format!("{} has no environments", platform.display()),
            format!("write one, e.g. {}", folder.join("lab.toml").display()),
        ));
    }
    Ok(names)
}

fn only_environment(platform: &Path) -> Result<String, Failed> {
    let names = environments(platform)?;
    match &names[..] {
        [only] => Ok(only.clone()),
        _ => Err(Failed::usage(
            format!("which environment? {} has {}", platform.display(), names.join(", ")),
            "name it with --env NAME, or set BASCULE_ENV",
        )),
    }
}

/// The daemon that the platform's instances live on.
pub(crate) fn incus(platform: &Platform, secrets: &dyn Secrets) -> Result<Client, Failed> {
    let https = match &platform.incus.endpoint {
        Endpoint::Socket(socket) => return Ok(Client::unix(socket)?),
        Endpoint::Https(https) => https,
    };
    let server = &https.server_certificate;
    let server = std::fs::read_to_string(server).map_err(|error| {
        let message = format!("the daemon's certificate {} cannot be read: {error}", server.display());
        Failed::usage(message, "`bascule host up` brings it from the host")
    })?;
    let (certificate, key) = operators::identity(https, secrets)?;
    let identity = Identity { certificate: &certificate, key: &key };
    Ok(Client::https(https.address.into(), identity, &server)?)
}

/// This program is its own agent.
pub(crate) fn this_program() -> Result<AgentProgram, Failed> {
    AgentProgram::in_file("/proc/self/exe").map_err(|error| {
        Failed::usage(format!("this program cannot read itself: {error}"), "it looks into /proc/self/exe: mount /proc")
    })
}

pub(crate) fn engine(platform: &Platform, incus: Client, secrets: Opened, agent: AgentProgram) -> Engine {
    let secrets: Arc<dyn Secrets> = Arc::new(secrets);
    Engine {
        incus: Arc::new(incus),
        agent,
        authority: Arc::new(Signer(secrets.clone())),
        secrets,
        blobs: Arc::new(Folder(platform.release.artifacts.clone())),
        base: Arc::new(Debootstrap { cache: cache_folder() }),
        clock: Arc::new(RealClock { began: Instant::now() }),
        parallel: Parallel::default(),
        generation: None,
    }
}

pub(crate) fn cache_folder() -> PathBuf {
    home_folder("XDG_CACHE_HOME", ".cache").unwrap_or_else(|| PathBuf::from("/var/cache")).join("bascule")
}

/// The age key of this person or machine.
pub(crate) fn age_key(common: &Common) -> PathBuf {
    let default = || {
        let config = home_folder("XDG_CONFIG_HOME", ".config").unwrap_or_else(|| PathBuf::from("/etc"));
        config.join("bascule/age.key")
    };
    common.age_key.clone().unwrap_or_else(default)
}

/// A folder of the person who runs this, as the XDG base directories say; `None` for who has no home.
fn home_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    path_of(variable).or_else(|| path_of("HOME").map(|home| home.join(below_home)))
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment beside clap")]
pub(crate) fn path_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Whether a program is on the search path, or where only root looks for some.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment beside clap")]
pub(crate) fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let roots = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(roots).any(|folder| is_executable(&folder.join(name)))
}

/// Whether a file can be run by somebody.
fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
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

    fn unix_ms(&self) -> i64 {
        i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
    }
}

pub(crate) fn unix_s() -> u64 {
    since_1970().as_secs()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A commit as typed.
pub(crate) fn commit(typed: &str) -> Result<Commit, Failed> {
    typed.parse().map_err(|error: bascule_release::CommitError| {
        Failed::usage(error.to_string(), "deploy wants the whole commit: bascule deploy $(git rev-parse HEAD)")
    })
}
