use bascule_plan::Step;
use bascule_plan::agent::{Evidence, Mode, Outcome, Report, Request};

use crate::System;
use crate::generation;
use crate::pending::{Pending, Touches};
use crate::redact::Redactor;
use crate::resource::{Applied, Context, Failure, Verdict, converge};

/// How long an agent of an earlier, killed run may stay busy before this one gives up.
const LOCK_TIMEOUT_MS: u64 = 120_000;
const LOCK_POLL_MS: u64 = 500;
const PROGRESS_INTERVAL_MS: u64 = 5_000;

/// Checks or applies the steps of a request in order, and tells `report` what it found and did.
///
/// Never fails as a whole: what goes wrong is a report of the step it went wrong in. The last report is
/// [`Report::Done`]. No report holds the value of a secret.
pub fn run(request: &Request, system: &dyn System, report: &mut dyn FnMut(Report)) {
    let redactor = Redactor::new(request);
    let mut tell = |said: Report| report(redactor.report(said));
    match request.mode {
        Mode::Check => check(request, system, &mut tell),
        Mode::Apply => apply(request, system, &mut tell),
    }
    tell(Report::Done);
}

fn check(request: &Request, system: &dyn System, tell: &mut dyn FnMut(Report)) {
    let cx = Context::new(system, request);
    let mut pending = Pending::default();
    for step in &request.steps {
        let began_ms = system.now_ms();
        let resource = converge(&step.resource);
        let verdict = resource.check(&cx, &pending);
        match verdict {
            Ok(Verdict::Right(_) | Verdict::Waits(_)) => {}
            Ok(Verdict::DiffersInAccess(_)) => pending.add(Touches::Nothing),
            Ok(Verdict::Differs(_)) | Err(_) => pending.add(resource.touches()),
        }
        let result = match verdict {
            Ok(Verdict::Right(reason)) => Ok((Outcome::Unchanged, reason)),
            Ok(Verdict::Differs(reason) | Verdict::DiffersInAccess(reason) | Verdict::Waits(reason)) => {
                Ok((Outcome::WouldChange, reason))
            }
            Err(failure) => Err(failure),
        };
        let expires_s = resource.expires_s(&cx);
        tell(end(step, result, system.now_ms() - began_ms, expires_s));
    }
}

fn apply(request: &Request, system: &dyn System, tell: &mut dyn FnMut(Report)) {
    let cx = Context::new(system, request);
    let Some(first) = request.steps.first() else { return };
    if let Err(failure) = generation::announce(system, request.generation).and_then(|()| lock(system, first, tell)) {
        return tell(end(first, Err(failure), 0, None));
    }
    for step in &request.steps {
        tell(Report::Begin { step: step.id.clone() });
        let began_ms = system.now_ms();
        let result =
            generation::refuse_if_overtaken(system, request.generation).and_then(|()| apply_step(step, &cx, tell));
        let failed = result.is_err();
        tell(end(step, result, system.now_ms() - began_ms, converge(&step.resource).expires_s(&cx)));
        if failed {
            return;
        }
    }
}

fn apply_step(step: &Step, cx: &Context<'_>, tell: &mut dyn FnMut(Report)) -> Result<(Outcome, String), Failure> {
    let resource = converge(&step.resource);
    let nothing_pending = Pending::default();
    let differed = match resource.check(cx, &nothing_pending)? {
        Verdict::Right(reason) => return Ok((Outcome::Unchanged, reason)),
        Verdict::Differs(reason) | Verdict::DiffersInAccess(reason) | Verdict::Waits(reason) => reason,
    };
    let mut progress = |message: String| tell(Report::Progress { step: step.id.clone(), message });
    cx.forget();
    match resource.apply(cx, &mut progress)? {
        Applied::Settled(reason) => {
            cx.forget();
            Ok((Outcome::Changed, reason))
        }
        Applied::CheckAgain(evidence) => match resource.check(cx, &nothing_pending)? {
            Verdict::Right(_) => Ok((Outcome::Changed, differed)),
            Verdict::Differs(still) | Verdict::DiffersInAccess(still) | Verdict::Waits(still) => {
                Err(Failure { reason: format!("was applied without an error, and still: {still}"), evidence })
            }
        },
    }
}

fn lock(system: &dyn System, first: &Step, tell: &mut dyn FnMut(Report)) -> Result<(), Failure> {
    let began_ms = system.now_ms();
    let mut told_ms = None;
    while !system.try_lock()? {
        let now_ms = system.now_ms();
        if now_ms - began_ms >= LOCK_TIMEOUT_MS {
            return Err(Failure::new(format!(
                "another agent has been applying steps on this instance for {} s; wait for it, or end it, and run again",
                LOCK_TIMEOUT_MS / 1000
            )));
        }
        if told_ms.is_none_or(|told| now_ms - told >= PROGRESS_INTERVAL_MS) {
            told_ms = Some(now_ms);
            let message = "waits for an agent of an earlier run that is still busy".to_owned();
            tell(Report::Progress { step: first.id.clone(), message });
        }
        system.sleep_ms(LOCK_POLL_MS);
    }
    Ok(())
}

fn end(step: &Step, result: Result<(Outcome, String), Failure>, duration_ms: u64, expires_s: Option<u64>) -> Report {
    let (outcome, reason, evidence) = match result {
        Ok((outcome, reason)) => (outcome, reason, Evidence::default()),
        Err(Failure { reason, evidence }) => (Outcome::Failed, reason, evidence),
    };
    Report::End { step: step.id.clone(), outcome, reason, duration_ms, expires_s, evidence }
}
