use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bascule_incus::Incus;
use bascule_plan::agent::{Evidence, Outcome};
use bascule_plan::event::{Event, Failure, Summary};
use bascule_plan::{Fingerprint, Plan, Step};
use futures_util::future;
use tokio::sync::{Semaphore, mpsc};

use crate::board::Board;
use crate::check::{Checked, Thing};
use crate::reach::Instances;
use crate::{Engine, EngineError, Lock, LockOf, Reach};

/// What time it is; a test brings its own.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds on a clock that only goes forward.
    fn monotonic_ms(&self) -> u64;

    /// Milliseconds since 1970 began, UTC.
    fn unix_ms(&self) -> i64;
}

/// How a plan went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converged {
    /// There was nothing to do.
    Unchanged,
    /// Everything that differed was changed, and found right afterwards.
    Applied,
    /// Something failed; each failure was told as an event.
    Failed,
}

/// One run: the engine, the project it works in, how the agent is called, and where its events go.
#[derive(Debug)]
pub struct Run {
    pub(crate) engine: Engine,
    pub(crate) project: String,
    /// What changes are made under, once it is taken.
    pub(crate) lock: Option<Lock>,
    /// Which lock that is.
    pub(crate) lock_of: LockOf,
    pub(crate) reach: Arc<dyn Reach>,
    pub(crate) machines: Semaphore,
    events: mpsc::UnboundedSender<Event>,
    counts: Counts,
    failures: Mutex<Vec<Failure>>,
    began_ms: u64,
}

#[derive(Debug, Default)]
struct Counts {
    changed: AtomicU64,
    unchanged: AtomicU64,
    failed: AtomicU64,
    instances: AtomicU64,
}

impl Engine {
    /// Begins a run in a project. Its events, and those of everything it does, go to `events`.
    pub fn run(&self, project: &str, events: mpsc::UnboundedSender<Event>) -> Run {
        self.run_reaching(self.instances(project), project, events)
    }

    fn instances(&self, project: &str) -> Arc<dyn Reach> {
        Arc::new(Instances { incus: self.incus.clone(), project: project.to_owned() })
    }

    /// Begins a run on machines that are reached in a way of their own, e.g. on [`crate::Hosts`].
    pub fn run_reaching(&self, reach: Arc<dyn Reach>, project: &str, events: mpsc::UnboundedSender<Event>) -> Run {
        Run {
            engine: self.clone(),
            project: project.to_owned(),
            lock: None,
            lock_of: LockOf::default(),
            reach,
            machines: Semaphore::new(self.parallel.machines),
            events,
            counts: Counts::default(),
            failures: Mutex::default(),
            began_ms: self.clock.monotonic_ms(),
        }
    }
}

impl Run {
    /// Asks what differs, emits all of it, and changes nothing. True when there is nothing to do.
    pub async fn plan(&self, plan: &Plan) -> Result<bool, EngineError> {
        let checked = self.check(plan).await?;
        self.report_checked(plan, &checked);
        Ok(checked.is_unchanged())
    }

    /// Asks what differs and, where something does, applies the plan. Failures are events and counted; `Err` is for
    /// what made the run impossible.
    pub async fn converge(&self, plan: &Plan) -> Result<Converged, EngineError> {
        let checked = self.check_for(plan).await?;
        self.apply(plan, &checked).await
    }

    /// The first half of [`Self::converge`]: asks what differs, and says that it does.
    pub async fn check_for(&self, plan: &Plan) -> Result<Checked, EngineError> {
        self.phase("check", &format!("asking {} what differs", asked(plan)));
        self.check(plan).await
    }

    /// The second half of [`Self::converge`]: applies the plan, where what was found of this very plan differs from it.
    pub async fn apply(&self, plan: &Plan, checked: &Checked) -> Result<Converged, EngineError> {
        if checked.is_unchanged() {
            self.report_checked(plan, checked);
            return Ok(Converged::Unchanged);
        }
        let failed_before = self.counts.failed.load(Ordering::Relaxed);
        self.phase("apply", "applying the plan, line by line");
        if let Some(world) = &plan.world {
            self.make_world(world, &checked.things).await?;
            self.make_images(plan, world).await?;
        }
        let board = Board::new(plan);
        let lines = plan.lines.iter().zip(&checked.lines);
        future::join_all(lines.map(|(line, checked)| self.walk(line, plan.world.as_ref(), checked, &board))).await;
        let failed = self.counts.failed.load(Ordering::Relaxed) > failed_before;
        Ok(if failed { Converged::Failed } else { Converged::Applied })
    }

    /// The same run; the lock that it asks for, and takes, is of this kind.
    #[must_use]
    pub fn locking(self, lock_of: LockOf) -> Self {
        Self { lock_of, ..self }
    }

    /// The same run; from now on, every change first makes sure that the lock is still held.
    #[must_use]
    pub fn under(self, lock: &Lock) -> Self {
        let engine = lock.guard(self.engine);
        Self { reach: engine.instances(&self.project), engine, lock: Some(lock.clone()), ..self }
    }

    pub fn incus(&self) -> &dyn Incus {
        &*self.engine.incus
    }

    /// The fingerprint of a secret's value; `None` where it has none.
    pub fn fingerprint(&self, secret: &str) -> Option<Fingerprint> {
        let value = self.engine.secrets.value(secret).ok()?;
        Some(self.engine.secrets.fingerprint_key(secret).fingerprint(value.as_bytes()))
    }

    pub fn unix_ms(&self) -> i64 {
        self.engine.clock.unix_ms()
    }

    pub fn phase(&self, name: &str, title: &str) {
        self.emit(Event::Phase { name: name.to_owned(), title: title.to_owned() });
    }

    pub fn note(&self, message: impl Into<String>) {
        self.emit(Event::Note { message: message.into() });
    }

    pub fn emit(&self, event: Event) {
        // A renderer that has gone away must not stop the work.
        let _ = self.events.send(event);
    }

    /// The summary tells of the largest number of instances that a plan of this run was for.
    pub(crate) fn count_instances(&self, count: usize) {
        self.counts.instances.fetch_max(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self, instance: Option<&str>, message: String) {
        self.emit(Event::Progress { instance: instance.map(str::to_owned), step: None, message });
    }

    pub(crate) fn step_ended(
        &self,
        instance: &str,
        step: &Step,
        outcome: Outcome,
        reason: String,
        duration_ms: u64,
        evidence: Evidence,
    ) {
        if outcome == Outcome::Failed {
            self.remember(Failure {
                instance: Some(instance.to_owned()),
                step: Some(step.id.clone()),
                message: format!("{}: {reason}", step.title),
                evidence: evidence.clone(),
                ..Failure::default()
            });
        }
        self.count(outcome);
        self.emit(Event::StepEnded {
            instance: instance.to_owned(),
            step: step.id.clone(),
            title: step.title.clone(),
            outcome,
            reason,
            duration_ms,
            evidence,
        });
    }

    pub(crate) fn thing(&self, thing: Thing, duration_ms: u64) {
        self.count(thing.outcome);
        let Thing { kind, name, outcome, reason } = thing;
        self.emit(Event::Thing { kind, name, outcome, reason, duration_ms });
    }

    /// Tells a failure, counts it and remembers it.
    pub fn failure(&self, failure: Failure) {
        self.count(Outcome::Failed);
        self.remember(failure.clone());
        self.emit(Event::Failure(failure));
    }

    fn remember(&self, failure: Failure) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }

    /// The failures so far, first one first.
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Unchanged => &self.counts.unchanged,
            Outcome::WouldChange | Outcome::Changed => &self.counts.changed,
            Outcome::Failed => &self.counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far; the last event of a verb.
    pub fn summary(&self, applied: bool) -> Summary {
        Summary {
            changed: self.counts.changed.load(Ordering::Relaxed),
            unchanged: self.counts.unchanged.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
            duration_ms: self.now_ms() - self.began_ms,
            instances: self.counts.instances.load(Ordering::Relaxed),
            applied,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.engine.clock.monotonic_ms()
    }
}

fn asked(plan: &Plan) -> String {
    let what = if plan.world.is_some() { "instance" } else { "host" };
    match plan.lines.len() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
