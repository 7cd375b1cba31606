use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bascule_engine::{
    AgentProgram, BaseFiles, BaseImage, Claim, Destroy, Engine, ImageError, Lock, Parallel, Run, Secrets,
};
use bascule_plan::event::Event;
use bascule_plan::{FingerprintKey, Plan};
use bascule_release::{Commit, Context, Folder, ReleaseError};
use bascule_roles::{ClientCertificate, Facts};
use tokio::sync::mpsc;

use crate::chaos::Planted;
use crate::faults::Between;
use crate::reach::Hosts;
use crate::{World, bare};

/// No verb takes longer than this on the world's clock; one that does hangs.
const VERB_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// What a person may ask of the tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    Plan,
    Up,
    /// With the whole commit.
    Deploy(String),
    Rollback,
    Renew,
    Down,
    HostPlan,
    HostUp,
}

impl Verb {
    /// The verb that brings what this one works on to where it should be.
    pub(crate) fn up(&self) -> Self {
        if self.is_of_hosts() { Self::HostUp } else { Self::Up }
    }

    pub(crate) fn is_of_hosts(&self) -> bool {
        matches!(self, Self::HostPlan | Self::HostUp)
    }
}

/// How a verb ended.
#[derive(Debug)]
pub struct Ended {
    pub events: Vec<Event>,
    /// The error it ended with, and its causes.
    pub error: Option<String>,
    pub killed: bool,
    /// The plan of `plan` and `up`, and of those for hosts.
    pub plan: Option<Plan>,
    pub took_ms: u64,
}

impl Ended {
    pub fn is_ok(&self) -> bool {
        let failed = self.events.iter().any(|event| matches!(event, Event::Summary(summary) if summary.failed > 0));
        self.error.is_none() && !self.killed && !failed
    }

    /// What the summary counts as changed.
    pub fn changed(&self) -> u64 {
        let summaries = self.events.iter().filter_map(|event| match event {
            Event::Summary(summary) => Some(summary.changed),
            _ => None,
        });
        summaries.sum()
    }
}

impl World {
    pub async fn plan(&self) -> Ended {
        self.run(&Verb::Plan, None).await
    }

    pub async fn up(&self) -> Ended {
        self.run(&Verb::Up, None).await
    }

    /// Builds the commit's artifacts and deploys it.
    pub async fn deploy(&self, commit: &str) -> Ended {
        self.run(&Verb::Deploy(commit.to_owned()), None).await
    }

    pub async fn rollback(&self) -> Ended {
        self.run(&Verb::Rollback, None).await
    }

    pub async fn host_up(&self) -> Ended {
        self.run(&Verb::HostUp, None).await
    }

    /// What planning has to know of it.
    pub async fn facts(&self) -> Result<Facts, ReleaseError> {
        let (sender, _unread) = mpsc::unbounded_channel();
        let run = self.engine("a look").run(&self.platform.incus.project, sender);
        bascule_release::observe(&run, &self.platform).await
    }

    /// Runs a verb as the command line does. With `kill_after`, the tool is killed right after the event of this number,
    /// counted from 0.
    pub async fn run(&self, verb: &Verb, kill_after: Option<usize>) -> Ended {
        /// Longer than a dead holder keeps the lock.
        const LOCK_WAIT: Duration = Duration::from_mins(5);
        self.run_as("ada", verb, kill_after, LOCK_WAIT).await
    }

    /// The same for an operator of some name, who waits so long for a lock that another one holds.
    pub(crate) async fn run_as(&self, who: &str, verb: &Verb, kill_after: Option<usize>, lock_wait: Duration) -> Ended {
        let began_ms = self.machines.time.now_ms();
        let claim = Claim {
            who: format!("{who}@laptop"),
            doing: format!("{verb:?}"),
            process: format!("process {} of {who}", self.processes.fetch_add(1, Ordering::Relaxed)),
            // Each on a machine of its own: nobody can see another's process.
            has_ended: |_| false,
            wait: lock_wait,
        };
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (mut events, mut plan, held) = (Vec::new(), None, OnceCell::new());
        let ended = {
            let (engine, project) = (self.engine(&claim.process), &self.platform.incus.project);
            let run = match verb.is_of_hosts() {
                true => engine.run_reaching(Arc::new(Hosts(self.machines.clone())), project, sender),
                false => engine.run(project, sender),
            };
            let body = self.session(run, verb, &claim, &held, &mut plan);
            let mut body = pin!(tokio::time::timeout(VERB_LIMIT, body));
            loop {
                tokio::select! {
                    biased;
                    Some(event) = receiver.recv() => events.push(event),
                    ended = &mut body => break Some(ended.unwrap_or_else(|_| Err("it hangs".to_owned()))),
                }
                if kill_after.is_some_and(|kill_after| events.len() > kill_after) {
                    break None;
                }
            }
        };
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        if let (None, Some(lock), true) = (&ended, held.into_inner(), self.chaos.has_planted(Planted::Undead)) {
            tokio::spawn(async move { lock.while_held(std::future::pending::<()>()).await });
        }
        let took_ms = self.machines.time.now_ms() - began_ms;
        Ended { events, killed: ended.is_none(), error: ended.and_then(Result::err), plan, took_ms }
    }

    /// Takes the lock where the verb needs one, carries it out, and gives the lock back. `held` keeps the lock.
    async fn session(
        &self,
        run: Run,
        verb: &Verb,
        claim: &Claim,
        held: &OnceCell<Lock>,
        plan: &mut Option<Plan>,
    ) -> Result<(), String> {
        let summary = |run: &Run| run.emit(Event::Summary(run.summary(true)));
        if *verb == Verb::Up {
            run.make_project().await.map_err(told)?;
        }
        let needs_lock = matches!(verb, Verb::Up | Verb::Deploy(_) | Verb::Rollback | Verb::Renew | Verb::Down);
        let is_there = needs_lock && run.incus().project(&self.platform.incus.project).await.map_err(told)?.is_some();
        if !is_there || self.chaos.has_planted(Planted::NoLock) {
            let ended = self.carry_out(verb, &run, plan).await;
            summary(&run);
            return ended;
        }
        let lock = run.lock(claim).await.map_err(told)?;
        let lock = held.get_or_init(|| lock);
        let run = run.under(lock);
        let ended = lock.while_held(self.carry_out(verb, &run, plan)).await.unwrap_or_else(|lost| Err(told(lost)));
        // If that fails, it is free when its lease has run out.
        let _ = lock.release().await;
        summary(&run);
        ended
    }

    async fn carry_out(&self, verb: &Verb, run: &Run, shown: &mut Option<Plan>) -> Result<(), String> {
        let context = Context { platform: &self.platform, run, who: "ada@laptop".to_owned() };
        match verb {
            Verb::Plan => {
                let facts = bascule_release::observe(run, &self.platform).await.map_err(told)?;
                let mut plan = bascule_roles::up(&self.platform, &facts).map_err(told)?;
                self.chaos.spoil(&mut plan, true);
                run.plan(shown.insert(plan)).await.map(drop).map_err(told)
            }
            Verb::Up => {
                let spoilt = |mut plan| {
                    self.chaos.spoil(&mut plan, false);
                    *shown = Some(plan.clone());
                    Ok::<_, ReleaseError>(plan)
                };
                bascule_release::up(run, &self.platform, spoilt).await.map(drop).map_err(told)
            }
            Verb::Deploy(commit) => {
                self.artifacts.build(&self.platform, commit);
                let commit: Commit = commit.parse().map_err(told)?;
                bascule_release::deploy(&context, &commit).await.map_err(told)
            }
            Verb::HostPlan | Verb::HostUp => {
                let plan = shown.insert(self.plan_for_hosts()?);
                let done = match verb {
                    Verb::HostPlan => run.plan(plan).await.map(drop),
                    _ => run.converge(plan).await.map(drop),
                };
                done.map_err(told)
            }
            Verb::Rollback => bascule_release::rollback(&context).await.map_err(told),
            Verb::Down => {
                let named = self.platform.environment.as_str();
                let destroy = Destroy::confirmed(named, Some(named)).expect("it was named");
                let (bridge, pool) = (&self.platform.network.bridge, &self.platform.incus.pool);
                run.destroy(bridge, pool, destroy).await.map_err(told)
            }
            Verb::Renew => bascule_release::renew(run, &self.platform).await.map(drop).map_err(told),
        }
    }

    fn plan_for_hosts(&self) -> Result<Plan, String> {
        let pem = self.authority.certificate().to_owned();
        let fingerprint = bascule_incus::fingerprint(&pem).map_err(told)?;
        let certificate = ClientCertificate { whose: "operators", fingerprint, pem };
        let facts = bare::facts(&self.platform);
        let mut plan = bascule_roles::host_up(&self.platform, &facts, &[certificate]).map_err(told)?;
        if self.chaos.has_planted(Planted::Begun) {
            let is_begun = |host: &str| self.machines.host(host).is_some_and(|host| bare::is_begun(&host.machine));
            plan.lines.retain(|line| !is_begun(&line.instance));
        }
        Ok(plan)
    }

    fn engine(&self, process: &str) -> Engine {
        let between =
            Arc::new(Between { chaos: self.chaos.clone(), watch: self.watch.clone(), process: process.to_owned() });
        Engine {
            incus: Arc::new(self.incus.clone().with_faults(between)),
            agent: AgentProgram::new("the agent".into()),
            secrets: Arc::new(NamedSecrets { rotations: self.rotations.clone() }),
            authority: Arc::new(self.authority.clone()),
            blobs: Arc::new(Folder(self.platform.release.artifacts.clone())),
            base: Arc::new(EmptyBase),
            clock: Arc::new(self.machines.time),
            parallel: Parallel::default(),
            generation: None,
        }
    }
}

/// An error with its causes, as one line.
fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Every secret has a value that says which it is, and how often it was changed.
#[derive(Debug)]
struct NamedSecrets {
    rotations: Arc<AtomicU64>,
}

impl Secrets for NamedSecrets {
    fn value(&self, name: &str) -> Result<String, String> {
        Ok(format!("the value of {name}, changed {} times", self.rotations.load(Ordering::Relaxed)))
    }

    fn fingerprint_key(&self, name: &str) -> FingerprintKey {
        FingerprintKey::derive("the key of this world", name)
    }
}

#[derive(Debug)]
struct EmptyBase;

#[async_trait]
impl BaseImage for EmptyBase {
    fn alias(&self) -> String {
        "bascule/base".to_owned()
    }

    fn properties(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    async fn make(&self, _: &(dyn Fn(String) + Sync)) -> Result<BaseFiles, ImageError> {
        Ok(BaseFiles { metadata: "meta.tar".into(), rootfs: "rootfs.tar.zst".into() })
    }
}
