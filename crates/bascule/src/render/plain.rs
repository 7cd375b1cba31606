use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use bascule_plan::agent::{Evidence, Outcome};
use bascule_plan::event::{Event, Failure, INSTANCE_FIRST, LockStatus, Stream, Summary};

use super::{Renderer, backup, finding, postgres, store, table};

/// Plain lines: what changed, what failed and why, and a summary.
pub(super) struct Plain {
    verbose: bool,
    verb: String,
    status: table::Status,
    store: store::Store,
    postgres: postgres::Postgres,
    backups: backup::Backups,
    history: table::History,
    secrets: table::Secrets,
}

pub(super) const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();

impl Renderer for Plain {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        if let Event::Output { stream, bytes, .. } = event {
            return pass_on(*stream, bytes);
        }
        let Some(text) = self.text(event) else { return Ok(()) };
        // That output goes on to a file or a program: what the tool has to say goes beside it.
        if passes_on(&self.verb) {
            return anstream::stderr().lock().write_all(text.as_bytes());
        }
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

/// Verbs whose output is what a command on an instance says, or a text that was asked for.
fn passes_on(verb: &str) -> bool {
    matches!(verb, "exec" | "logs" | "pg psql" | "secrets show")
}

/// Verbs that only work on files: what they say needs no heading.
fn is_brief(verb: &str) -> bool {
    matches!(verb, "check" | "init" | "host pin") || verb.starts_with("secrets ")
}

/// Bytes as they are: they may be a file.
fn pass_on(stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
    match stream {
        Stream::Stderr => std::io::stderr().lock().write_all(bytes),
        Stream::Stdout => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes)?;
            stdout.flush()
        }
    }
}

impl Plain {
    pub(super) fn new(verbose: bool) -> Self {
        Self {
            verbose,
            verb: String::new(),
            status: table::Status::default(),
            store: store::Store::default(),
            postgres: postgres::Postgres::default(),
            backups: backup::Backups::default(),
            history: table::History::default(),
            secrets: table::Secrets::default(),
        }
    }

    /// The event as whole lines; `None` for what is not worth one.
    pub(super) fn text(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Started { verb, platform, environment, .. } => {
                self.verb.clone_from(verb);
                // `doctor` goes on without a platform.
                let of = if platform.is_empty() { String::new() } else { format!(" {platform}/{environment}") };
                (!passes_on(verb) && !is_brief(verb)).then(|| format!("{BOLD}{verb}{BOLD:#}{of}\n"))
            }
            Event::Phase { title, .. } => Some(format!("{BOLD}── {title}{BOLD:#}\n")),
            Event::Thing { kind, name, outcome, reason, duration_ms } => {
                let kind = format!("{kind:?}").to_lowercase();
                self.outcome(*outcome, name, &kind, reason, *duration_ms, &Evidence::default())
            }
            Event::StepBegan { .. } => None,
            Event::Progress { instance, message, .. } => {
                let who = instance.as_deref().unwrap_or("");
                Some(format!("{DIM}  …  {who:<14} {message}{DIM:#}\n"))
            }
            Event::StepEnded { reason, .. } if reason == INSTANCE_FIRST && !self.verbose => None,
            Event::StepEnded { instance, title, outcome, reason, duration_ms, evidence, .. } => {
                self.outcome(*outcome, instance, title, reason, *duration_ms, evidence)
            }
            Event::Waiting { instance, reason, .. } => {
                self.verbose.then(|| format!("{DIM}  …  {instance:<14} {reason}{DIM:#}\n"))
            }
            Event::Reached { instance, what } => {
                self.verbose.then(|| format!("{DIM}  →  {instance:<14} {what}{DIM:#}\n"))
            }
            Event::Switch { from, to, generation, commit } => {
                let from = from.as_deref().unwrap_or("nothing");
                let commit = short(commit);
                Some(format!("{BOLD}  ⇄  {from} → {to}{BOLD:#} ({commit}, generation {generation})\n"))
            }
            Event::Diagnostic { rendered, .. } => Some(format!("{rendered}\n")),
            Event::Instance(status) => {
                self.status.instance(status);
                None
            }
            Event::Colour { .. } => {
                self.status.colour(event);
                None
            }
            Event::Lock(lock) => Some(lock_text(lock)),
            Event::FrontDoor { .. } => {
                self.status.front_door(event);
                None
            }
            Event::StoreNode(node) => {
                self.store.node(node);
                None
            }
            Event::Store(status) => {
                self.store.status(status);
                None
            }
            Event::PostgresNode(node) => {
                self.postgres.node(node);
                None
            }
            Event::Pooler(pooler) => {
                self.postgres.pooler(pooler);
                None
            }
            Event::Backup(backup) => {
                self.backups.backup(backup);
                None
            }
            Event::DrillCheck { name, passed, detail } => {
                let (style, mark) = if *passed { (GREEN, "+") } else { (RED, "✗") };
                Some(format!("{style}  {mark}  {name:<14}{style:#} {detail}\n"))
            }
            Event::Drill(drill) => Some(backup::drill(drill)),
            Event::RestoreWindow { from, to } => {
                self.backups.window(from, to);
                None
            }
            Event::Restored(restored) => Some(backup::restored(restored)),
            Event::Alert { severity, message } => {
                self.store.alert(*severity, message);
                None
            }
            Event::History { .. } => {
                self.history.entry(event);
                None
            }
            Event::Secret { .. } | Event::Reader { .. } => {
                self.secrets.entry(event);
                None
            }
            Event::Output { .. } => None,
            Event::Finding(finding) => Some(finding::text(finding)),
            Event::Note { message } => Some(format!("{message}\n")),
            Event::Failure(failure) => Some(failure_text(failure)),
            Event::Summary(summary) => Some(self.summary(summary)),
        }
    }

    fn outcome(
        &self,
        outcome: Outcome,
        who: &str,
        what: &str,
        reason: &str,
        duration_ms: u64,
        evidence: &Evidence,
    ) -> Option<String> {
        let (style, mark) = match outcome {
            Outcome::Unchanged if !self.verbose => return None,
            Outcome::Unchanged => (DIM, "="),
            Outcome::WouldChange => (YELLOW, "~"),
            Outcome::Changed => (GREEN, "+"),
            Outcome::Failed => (RED, "✗"),
        };
        let took = if duration_ms >= 100 { format!(" {DIM}{}{DIM:#}", seconds(duration_ms)) } else { String::new() };
        let mut text = format!("{style}  {mark}  {who:<14} {what}{style:#}: {reason}{took}\n");
        text.push_str(&evidence_text(evidence));
        Some(text)
    }

    fn summary(&self, summary: &Summary) -> String {
        let tables = self.status.text()
            + &self.postgres.text()
            + &self.backups.text()
            + &self.store.text()
            + &self.history.text()
            + &self.secrets.text();
        let Summary { changed, unchanged, failed, duration_ms, instances, .. } = summary;
        let took = seconds(*duration_ms);
        let closing = match self.verb.as_str() {
            "plan" if *failed > 0 => {
                format!("{RED}failed {failed}{RED:#}, {changed} to change, {unchanged} right already, in {took}")
            }
            "doctor" if *failed > 0 => format!("{RED}to mend: {failed}{RED:#}"),
            "doctor" => format!("{GREEN}nothing is missing{GREEN:#}"),
            _ if *failed > 0 => {
                format!("{RED}failed {failed}{RED:#}, changed {changed}, unchanged {unchanged}, in {took}")
            }
            "status" | "store status" | "pg status" | "pg psql" | "backup list" | "history" | "exec" | "logs" => {
                return tables;
            }
            _ if changed + unchanged == 0 => return tables,
            "plan" if *changed == 0 => {
                format!("{GREEN}nothing to change{GREEN:#}: {unchanged} checked on {instances} instances, in {took}")
            }
            "plan" => format!(
                "{YELLOW}{changed} to change{YELLOW:#}, {unchanged} right already, on {instances} instances, in {took}"
            ),
            _ if *changed == 0 && *instances == 0 => format!("{GREEN}nothing changed{GREEN:#}: all of it is there"),
            _ if *changed == 0 => {
                format!("{GREEN}nothing changed{GREEN:#}: {unchanged} checked on {instances} instances, in {took}")
            }
            _ => format!("{GREEN}changed {changed}{GREEN:#}, unchanged {unchanged}, failed 0, in {took}"),
        };
        format!("{tables}{closing}\n")
    }
}

fn lock_text(lock: &LockStatus) -> String {
    let LockStatus { generation, who, doing, since, until, ended } = lock;
    let time = |rfc3339: &str| rfc3339.get(11..19).unwrap_or(rfc3339).to_owned();
    let (since, until) = (time(since), time(until));
    let lease = if *ended { "its process has ended".to_owned() } else { format!("its lease runs until {until}") };
    format!("{YELLOW}locked{YELLOW:#} by {who}: {doing}, since {since} UTC; {lease} (generation {generation})\n")
}

fn failure_text(failure: &Failure) -> String {
    let place = match (&failure.instance, &failure.step) {
        (Some(instance), Some(step)) => format!("{instance}, {step}: "),
        (Some(instance), None) => format!("{instance}: "),
        _ => String::new(),
    };
    let mut text = format!("{RED}error{RED:#}: {place}{}\n", failure.message);
    for cause in &failure.causes {
        let _ = writeln!(text, "  because: {cause}");
    }
    text.push_str(&evidence_text(&failure.evidence));
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  {BOLD}try{BOLD:#}: {hint}");
    }
    text
}

fn evidence_text(evidence: &Evidence) -> String {
    let mut text = String::new();
    let mut block = |name: &str, lines: &mut dyn Iterator<Item = &str>| {
        let _ = writeln!(text, "       {name}:");
        lines.for_each(|line| _ = writeln!(text, "       {DIM}│{DIM:#} {line}"));
    };
    if let Some(answer) = &evidence.last_answer {
        block("last answer", &mut answer.lines());
    }
    if let Some(status) = &evidence.unit_status {
        block("unit", &mut status.lines());
    }
    if !evidence.log.is_empty() {
        block("last log lines", &mut evidence.log.iter().map(String::as_str));
    }
    text
}

pub(super) fn seconds(duration_ms: u64) -> String {
    let tenths = duration_ms.div_ceil(100);
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        format!("{} min {} s", tenths / 600, tenths % 600 / 10)
    }
}

/// The first 12 digits of a commit; all of anything else.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    /// What a person reads of a run whose output is no terminal.
    fn read(verbose: bool, events: &[Event]) -> String {
        let mut plain = Plain::new(verbose);
        let text: String = events.iter().filter_map(|event| plain.text(event)).collect();
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_failure_tells_what_why_the_evidence_and_what_to_try() {
        let text = "\
error: api-blue-1, component/service:healthy: it did not become healthy within 60 s
  because: the front door does not answer
  because: connection refused
       last answer:
       │ 503 Service Unavailable
       unit:
       │ api.service: activating (auto-restart)
       │ Main PID: 812 (code=exited, status=1)
       last log lines:
       │ listening on 0.0.0.0:8080
       │ no database
  try: bascule logs api-blue-1
";
        assert_eq!(read(false, &[Event::Failure(samples::failure())]), text);
    }

    #[test]
    fn a_plan_with_nothing_to_change_is_one_sentence() {
        let events = [samples::started("plan"), samples::unchanged(), samples::summary(0, 42, 0)];
        let text = "plan shop/lab\nnothing to change: 42 checked on 9 instances, in 0.8 s\n";
        assert_eq!(read(false, &events), text);
    }

    #[test]
    fn an_up_tells_every_change_with_its_reason() {
        let events = [
            samples::started("up"),
            samples::phase(),
            samples::made(),
            samples::unchanged(),
            samples::changed(),
            samples::reached(),
            samples::summary(2, 40, 0),
        ];
        let text = "\
up shop/lab
── bring every instance to its plan
  +  lb-1           instance: it was not there 1.3 s
  +  lb-1           configure HAProxy: its content differs
changed 2, unchanged 40, failed 0, in 0.8 s
";
        assert_eq!(read(false, &events), text);
        let verbose = "\
up shop/lab
── bring every instance to its plan
  +  lb-1           instance: it was not there 1.3 s
  =  web-blue-1     run nginx: it runs, and its inputs are the same
  +  lb-1           configure HAProxy: its content differs
  →  lb-1           door open
changed 2, unchanged 40, failed 0, in 0.8 s
";
        assert_eq!(read(true, &events), verbose);
    }

    #[test]
    fn a_second_up_says_that_nothing_changed() {
        let events = [samples::started("up"), samples::unchanged(), samples::summary(0, 42, 0)];
        let text = "up shop/lab\nnothing changed: 42 checked on 9 instances, in 0.8 s\n";
        assert_eq!(read(false, &events), text);
    }

    #[test]
    fn a_run_that_failed_never_ends_with_good_news() {
        let last = |verb| read(false, &[samples::started(verb), samples::summary(0, 41, 1)]);
        for verb in ["up", "status", "deploy", "exec"] {
            assert!(last(verb).ends_with("failed 1, changed 0, unchanged 41, in 0.8 s\n"), "{}", last(verb));
        }
        assert_eq!(last("plan"), "plan shop/lab\nfailed 1, 0 to change, 41 right already, in 0.8 s\n");
    }

    #[test]
    fn beside_what_a_command_on_an_instance_says_nothing_is_said() {
        let events =
            [samples::started("exec"), samples::output("a\nb"), samples::output("c\n"), samples::summary(0, 0, 0)];
        assert_eq!(read(false, &events), "");
    }

    #[test]
    fn a_status_is_a_row_for_each_instance_and_a_line_for_each_colour() {
        let text = read(
            false,
            &[&[samples::started("status")], &samples::status()[..], &[samples::summary(0, 0, 0)]].concat(),
        );
        let row =
            |name: &str| text.lines().find(|line| line.trim().starts_with(name)).unwrap_or_else(|| panic!("{text}"));
        assert!(row("api-blue-1").contains("10.20.0.11") && row("api-blue-1").contains("blue ●"), "{text}");
        assert!(row("api-blue-1").contains("0123456789ab ") && row("api-blue-1").contains("healthy"), "{text}");
        assert!(row("api-green-1").contains("the instance is stopped"), "{text}");
        assert!(row("blue:").contains("has the traffic (generation 7)"), "{text}");
        let door = "front door: https://10.20.0.9, held by lb-2, certificate until 2026-03-01 (58 days left)";
        assert!(text.lines().any(|line| line == door), "{text}");
    }

    #[test]
    fn a_finding_that_wants_mending_tells_why_and_how() {
        let text = "\
doctor shop/lab
  ✓  Incus                6.0.4 answers
  ✗  debootstrap          it is not installed
       why: the first `up` makes the base image with it
       try: apt-get install debootstrap
to mend: 1
";
        let events = [samples::started("doctor"), samples::found(), samples::missing(), samples::summary(0, 0, 1)];
        assert_eq!(read(false, &events), text);
        assert_eq!(
            read(false, &[samples::started("doctor"), samples::summary(0, 0, 0)]).lines().last(),
            Some("nothing is missing")
        );
    }

    #[test]
    fn a_duration_is_rounded_up_and_has_a_unit() {
        let expected = [
            (0, "0.0 s"),
            (1, "0.1 s"),
            (100, "0.1 s"),
            (101, "0.2 s"),
            (1_000, "1.0 s"),
            (59_900, "59.9 s"),
            (59_901, "1 min 0 s"),
            (90_500, "1 min 30 s"),
            (3_600_000, "60 min 0 s"),
        ];
        assert_eq!(expected.map(|(duration_ms, _)| seconds(duration_ms)), expected.map(|(_, text)| text));
    }
}
