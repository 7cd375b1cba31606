use std::collections::BTreeMap;

use bascule_plan::agent::Evidence;
use bascule_plan::{OnTimeout, Probe, Wait};

use super::unit::evidence_of;
use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::Pending;
use crate::system::{Exec, UnitVerb};

/// How long one probe may take: short, so that a server that hangs is asked again.
const PROBE_TIMEOUT_MS: u64 = 2_000;
/// A check asks once, and takes who is slow for well.
const CHECK_TIMEOUT_MS: u64 = 5_000;
const PROGRESS_INTERVAL_MS: u64 = 5_000;
/// Looking at the unit costs a process: not with every probe.
const UNIT_INTERVAL_MS: u64 = 1_000;
/// A unit that systemd restarted so often during the wait is not going to answer.
const RESTARTS_MAX: u64 = 3;

impl Converge for Wait {
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure> {
        if pending.any() {
            return Ok(Verdict::Differs("waits after the changes above".to_owned()));
        }
        Ok(match probe(&self.probe, cx, CHECK_TIMEOUT_MS) {
            Ok(answer) => Verdict::Right(answer),
            Err(answer) => {
                let may_change = self.on_timeout == OnTimeout::RestartUnit;
                let verdict = if may_change { Verdict::Differs } else { Verdict::Waits };
                verdict(format!("would wait: {answer}"))
            }
        })
    }

    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure> {
        let system = cx.system;
        let mut began_ms = system.now_ms();
        let mut may_restart = self.on_timeout == OnTimeout::RestartUnit;
        let mut watch = UnitWatch::new(self, cx)?;
        let mut told: Option<(String, u64)> = None;
        loop {
            let waited_ms = system.now_ms() - began_ms;
            let left_ms = self.timeout_ms.saturating_sub(waited_ms);
            let answer = match probe(&self.probe, cx, PROBE_TIMEOUT_MS.min(left_ms.max(100))) {
                Ok(answer) => return Ok(Applied::Settled(format!("{answer}, after {waited_ms} ms"))),
                Err(answer) => answer,
            };
            let waited_ms = system.now_ms() - began_ms;
            if waited_ms >= self.timeout_ms && may_restart && restart(self, &answer, cx, progress)? {
                may_restart = false;
                began_ms = system.now_ms();
                watch = UnitWatch::new(self, cx)?;
                continue;
            }
            if waited_ms >= self.timeout_ms {
                return time_is_up(self, cx, waited_ms, answer);
            }
            if let Some(why) = watch.hopeless(cx)? {
                let reason = format!("{why}; waiting longer for {} is of no use", describe(&self.probe));
                return Err(failure(self, cx, reason, answer));
            }
            let now_ms = system.now_ms();
            if told.as_ref().is_none_or(|(last, at_ms)| *last != answer || now_ms - at_ms >= PROGRESS_INTERVAL_MS) {
                progress(format!("{answer} ({} of {} s)", waited_ms / 1000, self.timeout_ms.div_ceil(1000)));
                told = Some((answer, now_ms));
            }
            system.sleep_ms(self.interval_ms.clamp(10, (self.timeout_ms - waited_ms).max(10)));
        }
    }
}

/// Restarts the unit behind the wait, where there is one.
fn restart(wait: &Wait, answer: &str, cx: &Context<'_>, progress: Progress<'_>) -> Result<bool, Failure> {
    let Some(unit) = &wait.unit else { return Ok(false) };
    progress(format!("{answer}: {unit} hangs, and is restarted"));
    for verb in [UnitVerb::ResetFailed, UnitVerb::Restart] {
        let finished = cx.system.systemctl(verb, unit, &mut |line| progress(line.to_owned()))?;
        if !finished.success() {
            return Err(Failure::of_command(&format!("systemctl {} {unit}", verb.as_str()), &finished));
        }
    }
    Ok(true)
}

fn time_is_up(wait: &Wait, cx: &Context<'_>, waited_ms: u64, answer: String) -> Result<Applied, Failure> {
    let what = describe(&wait.probe);
    match wait.on_timeout {
        OnTimeout::GoOn => {
            Ok(Applied::Settled(format!("goes on after {waited_ms} ms of waiting for {what}: {answer}")))
        }
        OnTimeout::Fail | OnTimeout::RestartUnit => {
            Err(failure(wait, cx, format!("waited {waited_ms} ms for {what}; last answer: {answer}"), answer))
        }
    }
}

fn failure(wait: &Wait, cx: &Context<'_>, reason: String, answer: String) -> Failure {
    let unit = wait.unit.as_deref().map(|unit| evidence_of(cx.system, unit)).unwrap_or_default();
    Failure { reason, evidence: Evidence { last_answer: Some(answer), ..unit } }
}

/// Sees when the unit behind a wait is beyond hope.
struct UnitWatch<'a> {
    unit: Option<&'a str>,
    restarts_before: u64,
    looked_ms: Option<u64>,
}

impl<'a> UnitWatch<'a> {
    fn new(wait: &'a Wait, cx: &Context<'_>) -> Result<Self, Failure> {
        // A wait that goes on anyway is not cut short: what it drains may be leaving just because its unit stopped.
        let unit = wait.unit.as_deref().filter(|_| wait.on_timeout != OnTimeout::GoOn);
        let restarts_before = unit.map(|unit| cx.unit_now(unit)).transpose()?.map_or(0, |status| status.restarts);
        Ok(Self { unit, restarts_before, looked_ms: None })
    }

    fn hopeless(&mut self, cx: &Context<'_>) -> Result<Option<String>, Failure> {
        let now_ms = cx.system.now_ms();
        let Some(unit) = self.unit else { return Ok(None) };
        if self.looked_ms.is_some_and(|looked| now_ms - looked < UNIT_INTERVAL_MS) {
            return Ok(None);
        }
        self.looked_ms = Some(now_ms);
        let status = cx.unit_now(unit)?;
        let restarts = status.restarts.saturating_sub(self.restarts_before);
        Ok(if status.active == "failed" {
            Some(format!("{unit} has failed ({})", status.result))
        } else if restarts >= RESTARTS_MAX {
            Some(format!("{unit} ends as soon as it starts: restarted {restarts} times meanwhile"))
        } else {
            None
        })
    }
}

/// One probe: what was answered, for a person, as it should be or not.
fn probe(probe: &Probe, cx: &Context<'_>, timeout_ms: u64) -> Result<String, String> {
    match probe {
        Probe::Http { url, contains } => {
            let answer = cx.system.http_get(url, timeout_ms)?;
            match (answer.status, contains) {
                (200, None) => Ok(format!("{url} answers 200")),
                (200, Some(text)) if answer.body.contains(text) => Ok(format!("{url} answers 200 with {text:?}")),
                (200, Some(text)) => Err(format!("{url} answers 200 without {text:?}: {}", first_line(&answer.body))),
                (status, _) => Err(format!("{url} answers {status}: {}", first_line(&answer.body))),
            }
        }
        Probe::Tcp { address } => {
            cx.system.tcp_connect(address, timeout_ms)?;
            Ok(format!("{address} accepts connections"))
        }
        Probe::Command { argv } => {
            let exec = Exec { argv, env: &BTreeMap::new(), timeout_ms };
            let finished = cx.system.run(&exec, &mut |_| ()).map_err(|error| Failure::from(error).reason)?;
            if finished.success() { Ok(finished.last_line()) } else { Err(finished.last_line()) }
        }
    }
}

fn describe(probe: &Probe) -> String {
    match probe {
        Probe::Http { url, contains: None } => url.clone(),
        Probe::Http { url, contains: Some(text) } => format!("{url} to say {text:?}"),
        Probe::Tcp { address } => format!("{address} to accept connections"),
        Probe::Command { argv } => argv.join(" "),
    }
}

fn first_line(body: &str) -> &str {
    let line = body.lines().next().unwrap_or_default();
    line.char_indices().nth(200).map_or(line, |(end, _)| &line[..end])
}
