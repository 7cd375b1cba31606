//! The first half of every run: ask what differs, change nothing.

use std::collections::BTreeMap;

use bascule_incus::{Instance, Status};
use bascule_plan::agent::{Evidence, Mode, Outcome, Report};
use bascule_plan::event::{Event, Failure, INSTANCE_FIRST, ThingKind};
use bascule_plan::{Line, MachineAction, Plan, World};
use futures_util::future;
use futures_util::stream::{self, StreamExt};

use crate::{AgentError, EngineError, Run};

/// What a check found, for the world around the instances and for every line of the plan, in the plan's order.
#[derive(Debug)]
pub struct Checked {
    pub(crate) things: Vec<Thing>,
    pub(crate) lines: Vec<CheckedLine>,
}

/// One thing in Incus: why it must be made or changed, or why not.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) kind: ThingKind,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
}

#[derive(Debug, Default)]
pub(crate) struct CheckedLine {
    /// Why the instance below the line must be made or changed; absent when it is right.
    pub(crate) machine: Option<String>,
    /// Why the instance could not be asked, though it runs: the others go on without it.
    pub(crate) failure: Option<Failure>,
    /// One for each step of the line; empty when there is no running instance to ask.
    pub(crate) findings: Vec<Finding>,
}

#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
    pub(crate) evidence: Evidence,
    pub(crate) duration_ms: u64,
}

impl Thing {
    /// What is below a line, as it was planned.
    pub(crate) fn unchanged(line: &Line) -> Self {
        let (kind, reason) = match &line.machine {
            Some(machine) => (ThingKind::Instance, machine.reason.as_str()),
            None => (ThingKind::Host, "it answers"),
        };
        Self { kind, name: line.instance.clone(), outcome: Outcome::Unchanged, reason: reason.to_owned() }
    }
}

impl CheckedLine {
    pub(crate) fn is_unchanged(&self) -> bool {
        self.failure.is_none() && self.findings.iter().all(|finding| finding.outcome == Outcome::Unchanged)
    }

    fn differing(&self) -> impl Iterator<Item = &str> {
        let findings = self.findings.iter().filter(|finding| finding.outcome != Outcome::Unchanged);
        findings.map(|finding| finding.id.as_str())
    }

    pub(crate) fn is_step_unchanged(&self, id: &str) -> bool {
        self.findings.iter().any(|finding| finding.id == id && finding.outcome == Outcome::Unchanged)
    }
}

impl Checked {
    /// The ids of the steps that were not found right, line by line.
    pub fn differing(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flat_map(CheckedLine::differing)
    }

    /// The same with the instance of each, of the plan that was checked.
    pub fn differing_on<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = plan.lines.iter().zip(&self.lines);
        lines.flat_map(|(line, checked)| checked.differing().map(|step| (line.instance.as_str(), step)))
    }

    /// The instances that run and could not be asked.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.lines.iter().filter_map(|line| line.failure.as_ref())
    }

    /// True when applying would change nothing.
    pub fn is_unchanged(&self) -> bool {
        self.things.iter().all(|thing| thing.outcome == Outcome::Unchanged)
            && self.lines.iter().all(|line| line.machine.is_none() && line.is_unchanged())
    }
}

/// What is below the line stays as it is: the instance is kept, or it is a host.
fn is_kept(line: &Line) -> bool {
    line.machine.as_ref().is_none_or(|machine| machine.action == MachineAction::Keep)
}

impl Run {
    /// Asks Incus for the things around and, meanwhile, every running instance for its whole line, in one call each. Changes
    /// nothing, and emits nothing.
    pub async fn check(&self, plan: &Plan) -> Result<Checked, EngineError> {
        plan.check().map_err(EngineError::Plan)?;
        self.count_instances(plan.lines.len());
        let (things, lines) = future::try_join(self.check_around(plan), self.check_lines(plan)).await?;
        Ok(Checked { things, lines })
    }

    async fn check_around(&self, plan: &Plan) -> Result<Vec<Thing>, EngineError> {
        let Some(world) = &plan.world else { return Ok(Vec::new()) };
        let mut things = self.check_world(world).await?;
        let is_project = |thing: &Thing| thing.kind == ThingKind::Project && thing.outcome == Outcome::Unchanged;
        let project_exists = things.iter().any(is_project);
        things.extend(self.check_images(plan, self.shows_shared(project_exists)).await?);
        Ok(things)
    }

    async fn check_lines(&self, plan: &Plan) -> Result<Vec<CheckedLine>, EngineError> {
        let (incus, project) = (&self.engine.incus, self.project.as_str());
        let has_volumes = plan.lines.iter().filter_map(|line| line.machine.as_ref()).any(|it| !it.volumes.is_empty());
        let volumes = async |world: &World| match has_volumes {
            true => incus.volumes(project, &world.pool).await,
            false => Ok(Vec::new()),
        };
        let (existing, volumes) = match &plan.world {
            Some(world) => future::try_join(incus.instances(project), volumes(world)).await?,
            None => Default::default(),
        };
        let instances: BTreeMap<&str, &Instance> =
            existing.iter().map(|instance| (instance.name.as_str(), instance)).collect();
        let checks = plan.lines.iter().map(|line| async {
            let existing = instances.get(line.instance.as_str()).copied();
            let machine = line.machine.as_ref().and_then(|machine| self.machine_differs(machine, existing, &volumes));
            let runs = existing.is_some_and(|instance| instance.status == Status::Running);
            let may_ask = is_kept(line) && (runs || line.machine.is_none());
            let asked = if may_ask { self.ask(line).await } else { Ok(Vec::new()) };
            let (findings, failure) = match asked {
                Ok(findings) => (findings, None),
                Err(error) => (Vec::new(), Some(error.into_failure())),
            };
            CheckedLine { machine, failure, findings }
        });
        Ok(stream::iter(checks).buffered(self.engine.parallel.agents).collect().await)
    }

    pub(crate) async fn ask(&self, line: &Line) -> Result<Vec<Finding>, EngineError> {
        let steps: Vec<_> = line.steps().cloned().collect();
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let mut findings = Vec::with_capacity(steps.len());
        let called = self
            .call_agent(&line.instance, Mode::Check, &steps, |report| {
                if let Report::End { step, outcome, reason, duration_ms, evidence, .. } = report {
                    findings.push(Finding { id: step, outcome, reason, evidence, duration_ms });
                }
            })
            .await;
        let told_all = findings.iter().map(|finding| &finding.id).eq(steps.iter().map(|step| &step.id));
        match called {
            Ok(()) if !told_all => {
                let source = AgentError::Cut { code: 0, stderr: "it did not answer for every step".into() };
                Err(EngineError::Agent { instance: line.instance.clone(), source })
            }
            Ok(()) => Ok(findings),
            Err(source) => Err(EngineError::Agent { instance: line.instance.clone(), source }),
        }
    }

    /// Emits what was found as the outcome of the run: for `plan`, and for an `up` with nothing to do.
    pub(crate) fn report_checked(&self, plan: &Plan, checked: &Checked) {
        for thing in &checked.things {
            self.thing(thing.clone(), 0);
        }
        for (line, found) in plan.lines.iter().zip(&checked.lines) {
            if let Some(failure) = &found.failure {
                self.failure(Failure { instance: Some(line.instance.clone()), ..failure.clone() });
                continue;
            }
            let thing = Thing::unchanged(line);
            let would_change = |reason| Thing { outcome: Outcome::WouldChange, reason, ..thing.clone() };
            let thing = match &found.machine {
                Some(reason) if found.findings.is_empty() => {
                    would_change(format!("{reason}; {} steps follow", line.steps().count()))
                }
                Some(reason) => would_change(reason.clone()),
                None => thing,
            };
            self.thing(thing, 0);
            for message in &line.notes {
                self.emit(Event::Note { message: format!("{}: {message}", line.instance) });
            }
            let mut findings = found.findings.iter();
            for step in line.steps() {
                match findings.next() {
                    Some(finding) => self.step_ended(
                        &line.instance,
                        step,
                        finding.outcome,
                        finding.reason.clone(),
                        finding.duration_ms,
                        finding.evidence.clone(),
                    ),
                    None => {
                        let reason = INSTANCE_FIRST.to_owned();
                        self.step_ended(&line.instance, step, Outcome::WouldChange, reason, 0, Evidence::default());
                    }
                }
            }
        }
    }
}
