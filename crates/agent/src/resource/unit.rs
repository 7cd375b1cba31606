use bascule_plan::agent::Evidence;
use bascule_plan::{Unit, UnitState};

use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::Pending;
use crate::system::{System, UnitStatus, UnitVerb};
use crate::unit_record::{self, Record};

const LOG_LINES: usize = 20;
/// How long a service that does not say when it is ready must stay up before its start counts: it is active as soon as it
/// was forked.
const SETTLE_MS: u64 = 250;

impl Converge for Unit {
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure> {
        let status = cx.unit(&self.name)?;
        if status.load == "not-found" && self.state != UnitState::Masked {
            return not_found(self, pending);
        }
        let needs = needs(self, &status, cx, pending)?;
        Ok(match needs.is_empty() {
            true => Verdict::Right(right(self)),
            false => Verdict::Differs(needs.iter().map(|need| need.reason.as_str()).collect::<Vec<_>>().join(", ")),
        })
    }

    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure> {
        // Before the unit reads them: what changes later is not what it was started with.
        let record = Record::of_now(self, cx.system)?;
        if cx.unit(&self.name)?.needs_daemon_reload {
            let finished = cx.system.daemon_reload()?;
            if !finished.success() {
                return Err(Failure::of_command("systemctl daemon-reload", &finished));
            }
            cx.forget();
        }
        let before = cx.unit(&self.name)?;
        let needs = needs(self, &before, cx, &Pending::default())?;
        let verbs: Vec<UnitVerb> = needs.iter().flat_map(|need| need.verbs).copied().collect();
        for &verb in &verbs {
            // What was known of the last start ends here; whoever is killed before the end of this one owes another.
            match verb {
                UnitVerb::Start | UnitVerb::Restart => unit_record::owe(&self.name, Record::start_owed, cx.system)?,
                UnitVerb::Reload => unit_record::owe(&self.name, Record::reload_owed, cx.system)?,
                _ => {}
            }
            obey(self, verb, cx, progress)?;
        }
        if self.state == UnitState::Running {
            // A start by order sets the count of systemd's own ones to zero; one that only hurries systemd's next one counts.
            let is_started = verbs.iter().any(|verb| matches!(verb, UnitVerb::Start | UnitVerb::Restart));
            let restarts_most = match (is_started, before.sub.as_str()) {
                (true, "auto-restart") => 1,
                (true, _) => 0,
                (false, _) => before.restarts,
            };
            stays_active(self, restarts_most, before.says_ready, cx)?;
            unit_record::settle(&self.name, &record, cx.system)?;
        }
        Ok(Applied::check_again())
    }
}

/// The status and the last log lines of a unit.
pub(super) fn evidence_of(system: &dyn System, unit: &str) -> Evidence {
    let unit_status = Some(system.unit_status_text(unit)).filter(|text| !text.is_empty());
    Evidence { last_answer: None, unit_status, log: system.unit_log(unit, LOG_LINES) }
}

/// One thing that is not as it should be, and what to do about it.
struct Need {
    reason: String,
    verbs: &'static [UnitVerb],
}

fn needs(unit: &Unit, status: &UnitStatus, cx: &Context<'_>, pending: &Pending) -> Result<Vec<Need>, Failure> {
    let mut needs = Vec::new();
    let mut need = |reason: &str, verbs| needs.push(Need { reason: reason.to_owned(), verbs });
    let inactive = matches!(status.active.as_str(), "inactive" | "failed");
    let enabled = matches!(status.enabled.as_str(), "enabled" | "enabled-runtime");
    let masked = matches!(status.enabled.as_str(), "masked" | "masked-runtime");
    match unit.state {
        UnitState::Running => return running_needs(unit, status, cx, pending),
        UnitState::Stopped => {
            if enabled {
                need("is enabled", &[UnitVerb::Disable]);
            }
            if !inactive {
                need(&format!("is {}", status.active), &[UnitVerb::Stop]);
            }
        }
        UnitState::Masked => {
            if !inactive {
                need(&format!("is {}", status.active), &[UnitVerb::Stop]);
            }
            if enabled {
                need("is enabled", &[UnitVerb::Disable]);
            }
            if !masked {
                need("is not masked", &[UnitVerb::Mask]);
            }
        }
    }
    Ok(needs)
}

fn running_needs(unit: &Unit, status: &UnitStatus, cx: &Context<'_>, pending: &Pending) -> Result<Vec<Need>, Failure> {
    let mut needs = Vec::new();
    let mut need = |reason: String, verbs| needs.push(Need { reason, verbs });
    if status.needs_daemon_reload {
        need("its unit file is newer than what systemd holds".to_owned(), &[]);
    }
    match status.enabled.as_str() {
        "masked" | "masked-runtime" => need("is masked".to_owned(), &[UnitVerb::Unmask, UnitVerb::Enable]),
        "disabled" | "enabled-runtime" | "linked" | "linked-runtime" => {
            need("is not enabled".to_owned(), &[UnitVerb::Enable])
        }
        // What cannot be enabled (static, generated, transient) or is by another unit (alias, indirect) is fine.
        _ => {}
    }
    if !matches!(status.active.as_str(), "active" | "reloading") {
        let is_clean = status.active == "inactive" && status.result == "success";
        // A unit that failed too often refuses to start until that is forgotten.
        let verbs: &[UnitVerb] = if is_clean { &[UnitVerb::Start] } else { &[UnitVerb::ResetFailed, UnitVerb::Start] };
        need(format!("is {} ({})", status.active, status.sub), verbs);
        return Ok(needs);
    }
    match changed(unit, cx, pending)? {
        Some((OnChange::Restart, why)) => need(format!("{why}: restart"), &[UnitVerb::Restart]),
        Some((OnChange::Reload, why)) => need(format!("{why}: reload"), &[UnitVerb::Reload]),
        None => {}
    }
    Ok(needs)
}

/// What a changed input asks of a unit.
enum OnChange {
    Restart,
    Reload,
}

/// What the inputs of an active unit ask for, against those of its last good start.
fn changed(unit: &Unit, cx: &Context<'_>, pending: &Pending) -> Result<Option<(OnChange, String)>, Failure> {
    let would_change = |inputs: &[String]| {
        let changed = inputs.iter().find(|input| pending.affecting(input).is_some());
        changed.map(|input| format!("{input} changes above"))
    };
    if let Some(why) = would_change(&unit.inputs) {
        return Ok(Some((OnChange::Restart, why)));
    }
    let Some(recorded) = unit_record::load(&unit.name, cx.system)? else {
        let why = "it is not known what it was started with".to_owned();
        let has_inputs = !(unit.inputs.is_empty() && unit.reload_inputs.is_empty());
        return Ok(has_inputs.then_some((OnChange::Restart, why)));
    };
    let now = Record::of_now(unit, cx.system)?;
    if recorded.inputs.digest != now.inputs.digest {
        return Ok(Some((OnChange::Restart, "its inputs changed since its last good start".to_owned())));
    }
    if let Some(why) = would_change(&unit.reload_inputs) {
        return Ok(Some((OnChange::Reload, why)));
    }
    let differs = recorded.reload_inputs.digest != now.reload_inputs.digest;
    Ok(differs.then(|| (OnChange::Reload, "its inputs changed since its last good reload".to_owned())))
}

fn not_found(unit: &Unit, pending: &Pending) -> Result<Verdict, Failure> {
    match (unit.state, pending.may_bring_units()) {
        (UnitState::Running, true) => {
            Ok(Verdict::Differs("comes with the changes above, and is started then".to_owned()))
        }
        (UnitState::Running, false) => Err(Failure::new(format!("there is no unit {}", unit.name))),
        (_, true) => Ok(Verdict::Differs("may come with the changes above, and is stopped then".to_owned())),
        (_, false) => Ok(Verdict::Right("there is no such unit".to_owned())),
    }
}

fn obey(unit: &Unit, verb: UnitVerb, cx: &Context<'_>, progress: Progress<'_>) -> Result<(), Failure> {
    let mut systemctl = |verb| cx.system.systemctl(verb, &unit.name, &mut |line| progress(line.to_owned()));
    let mut finished = systemctl(verb)?;
    cx.forget();
    // A unit that was started too often in a short time refuses one more start until that is forgotten.
    if !finished.success() && cx.unit_now(&unit.name)?.result == "start-limit-hit" {
        systemctl(UnitVerb::ResetFailed)?;
        finished = systemctl(verb)?;
        cx.forget();
    }
    if finished.success() {
        return Ok(());
    }
    let reason = format!("systemctl {} {} {}: {}", verb.as_str(), unit.name, finished.ending, finished.last_line());
    Err(Failure { reason, evidence: evidence_of(cx.system, &unit.name) })
}

fn stays_active(unit: &Unit, restarts_most: u64, says_ready: bool, cx: &Context<'_>) -> Result<(), Failure> {
    if unit.name.ends_with(".service") && !says_ready {
        cx.system.sleep_ms(SETTLE_MS);
    }
    let status = cx.unit_now(&unit.name)?;
    let active = matches!(status.active.as_str(), "active" | "reloading");
    if active && status.restarts <= restarts_most {
        return Ok(());
    }
    let UnitStatus { active, sub, result, .. } = status;
    let reason = format!("{} did not stay up: it is {active} ({sub}), result {result}", unit.name);
    Err(Failure { reason, evidence: evidence_of(cx.system, &unit.name) })
}

fn right(unit: &Unit) -> String {
    match unit.state {
        UnitState::Running if unit.inputs.is_empty() && unit.reload_inputs.is_empty() => "is enabled and active",
        UnitState::Running => "is enabled and active, and was started with these inputs",
        UnitState::Stopped => "is disabled and inactive",
        UnitState::Masked => "is masked",
    }
    .to_owned()
}
