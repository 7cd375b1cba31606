//! One line, walked from top to bottom.

use std::collections::BTreeMap;

use bascule_plan::agent::{BLOB_DIR, Evidence, Mode, Outcome, Report};
use bascule_plan::event::{Event, Failure};
use bascule_plan::{Line, LineItem, MachineAction, Resource, Step, World};

use crate::board::{Board, HeldBack};
use crate::check::{CheckedLine, Finding, Thing};
use crate::{EngineError, Run};

#[cfg(test)]
mod tests;

/// Why a line ended before its end.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// A step failed and was reported.
    Step,
    /// The instance could not even be asked.
    Unasked(Failure),
    HeldBack(HeldBack),
    Engine(EngineError),
}

impl Run {
    /// Walks the line and tells the board how it ended.
    pub(crate) async fn walk(&self, line: &Line, world: Option<&World>, checked: &CheckedLine, board: &Board) {
        let walked = self.try_walk(line, world, checked, board).await;
        let Err(stopped) = walked else { return };
        let failure = match stopped {
            Stopped::Step => None,
            Stopped::Unasked(failure) => Some(failure),
            Stopped::HeldBack(HeldBack { by, what }) => {
                let message = format!("held back: {what} was never reached, because {by} failed");
                Some(Failure {
                    message,
                    hint: Some(format!("what {by} failed with says what to mend")),
                    ..Failure::default()
                })
            }
            Stopped::Engine(error) => Some(error.into_failure()),
        };
        if let Some(failure) = failure {
            self.failure(Failure { instance: Some(line.instance.clone()), ..failure });
        }
        board.fail(&line.instance);
    }

    async fn try_walk(
        &self,
        line: &Line,
        world: Option<&World>,
        checked: &CheckedLine,
        board: &Board,
    ) -> Result<(), Stopped> {
        if let Some(failure) = &checked.failure {
            return Err(Stopped::Unasked(failure.clone()));
        }
        if may_skip(line, checked) {
            self.report_unchanged(line, line.steps(), checked);
            line.items.iter().for_each(|item| match item {
                LineItem::Reach(milestone) => board.reach(milestone),
                LineItem::Take(lease) => board.pass(lease, &line.instance),
                _ => {}
            });
            return Ok(());
        }
        match (&line.machine, world) {
            (Some(machine), Some(world)) => {
                let made = self.make_machine(line, machine, world, checked.machine.as_deref()).await;
                made.map_err(Stopped::Engine)?;
            }
            _ => self.thing(Thing::unchanged(line), 0),
        }
        let started = self.ask_started(line).await.map_err(Stopped::Engine)?;
        let checked = started.as_ref().unwrap_or(checked);
        let instance = line.instance.as_str();
        let waiting = |r#for: &str, reason| {
            self.emit(Event::Waiting { instance: instance.to_owned(), r#for: r#for.to_owned(), reason });
        };
        let reached = |what| self.emit(Event::Reached { instance: instance.to_owned(), what });
        let mut items = line.items.as_slice();
        // A lease that is not taken, since all is right that is done while it is held.
        let mut passed: Option<&str> = None;
        while let Some(first) = items.first() {
            let steps: Vec<Step> = items.iter().map_while(LineItem::step).cloned().collect();
            items = &items[steps.len().max(1)..];
            match first {
                LineItem::Take(lease) if passed.is_some() || is_right_within(lease, items, checked) => {
                    board.pass(lease, instance);
                    passed = passed.or(Some(lease));
                }
                LineItem::Release(lease) if passed.is_some() => passed = passed.filter(|passed| *passed != lease),
                LineItem::Step(_) if passed.is_some() => self.report_unchanged(line, &steps, checked),
                LineItem::Await(_) if passed.is_some() => {}
                LineItem::AwaitFor { steps, .. } if steps.iter().all(|step| checked.is_step_unchanged(step)) => {}
                LineItem::Step(_) => self.apply_steps(line, checked, &steps).await?,
                LineItem::Reach(milestone) => {
                    board.reach(milestone);
                    reached(milestone.clone());
                }
                LineItem::Await(milestone) | LineItem::AwaitFor { milestone, .. } => {
                    board.reached(milestone, |reason| waiting(milestone, reason)).await.map_err(Stopped::HeldBack)?
                }
                LineItem::Take(lease) => {
                    board.take(lease, instance, |reason| waiting(lease, reason)).await.map_err(Stopped::HeldBack)?;
                    reached(format!("holds the lease {lease}"));
                }
                LineItem::Release(lease) => {
                    board.release(lease, instance);
                    reached(format!("gave back the lease {lease}"));
                }
            }
        }
        Ok(())
    }

    fn report_unchanged<'a>(&self, line: &Line, steps: impl IntoIterator<Item = &'a Step>, checked: &CheckedLine) {
        let found: BTreeMap<&str, &Finding> =
            checked.findings.iter().map(|finding| (finding.id.as_str(), finding)).collect();
        for step in steps {
            let reason = found.get(step.id.as_str()).map(|finding| finding.reason.clone()).unwrap_or_default();
            self.step_ended(&line.instance, step, Outcome::Unchanged, reason, 0, Evidence::default());
        }
    }

    /// An instance that was merely started could not be asked before what it has. What is unpacked there already need not
    /// be brought, and whoever runs this may not even have it; and nobody need wait for what is right.
    async fn ask_started(&self, line: &Line) -> Result<Option<CheckedLine>, EngineError> {
        let is_started = line.machine.as_ref().is_some_and(|machine| machine.action == MachineAction::Start);
        if !is_started {
            return Ok(None);
        }
        Ok(Some(CheckedLine { findings: self.ask(line).await?, ..CheckedLine::default() }))
    }

    async fn apply_steps(&self, line: &Line, checked: &CheckedLine, steps: &[Step]) -> Result<(), Stopped> {
        self.bring_blobs(line, checked, steps).await.map_err(Stopped::Engine)?;
        let instance = line.instance.as_str();
        let mut failed = false;
        let by_id = |id: &str| steps.iter().find(|step| step.id == id);
        let called = self
            .call_agent(instance, Mode::Apply, steps, |report| match report {
                Report::Begin { step } => {
                    if let Some(step) = by_id(&step) {
                        let (step, title) = (step.id.clone(), step.title.clone());
                        self.emit(Event::StepBegan { instance: instance.to_owned(), step, title });
                    }
                }
                Report::Progress { step, message } => {
                    self.emit(Event::Progress { instance: Some(instance.to_owned()), step: Some(step), message })
                }
                Report::End { step, outcome, reason, duration_ms, evidence, .. } => {
                    failed |= outcome == Outcome::Failed;
                    if let Some(step) = by_id(&step) {
                        self.step_ended(instance, step, outcome, reason, duration_ms, evidence);
                    }
                }
                Report::Done => {}
            })
            .await;
        match called {
            Err(source) => Err(Stopped::Engine(EngineError::Agent { instance: instance.to_owned(), source })),
            Ok(()) if failed => Err(Stopped::Step),
            Ok(()) => Ok(()),
        }
    }

    /// Brings the bytes of the archives that the check found missing.
    async fn bring_blobs(&self, line: &Line, checked: &CheckedLine, steps: &[Step]) -> Result<(), EngineError> {
        for step in steps {
            let Resource::Archive(archive) = &step.resource else { continue };
            if checked.is_step_unchanged(&step.id) {
                continue;
            }
            let bytes = self
                .engine
                .blobs
                .bytes(&archive.blob)
                .map_err(|message| EngineError::Blob { name: archive.blob.name.clone(), message })?;
            let brought = async {
                self.reach.make_directory(&line.instance, BLOB_DIR, 0o700).await?;
                self.reach.put_file(&line.instance, &archive.blob.staged_path(), bytes, 0o600).await
            };
            brought.await.map_err(|source| EngineError::Agent { instance: line.instance.clone(), source })?;
        }
        Ok(())
    }
}

/// Whether all is right that comes before a lease is given back, so that the lease need not be taken.
fn is_right_within(lease: &str, items: &[LineItem], checked: &CheckedLine) -> bool {
    let held = items.iter().take_while(|item| !matches!(item, LineItem::Release(released) if released == lease));
    held.filter_map(LineItem::step).all(|step| checked.is_step_unchanged(&step.id))
}

/// A line that was found right as a whole, and does not look at what other lines change.
fn may_skip(line: &Line, checked: &CheckedLine) -> bool {
    checked.machine.is_none()
        && checked.is_unchanged()
        && !line.items.iter().any(|item| matches!(item, LineItem::Await(_)))
}
