use std::fmt::Write as _;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use bascule_plan::agent::{Evidence, Outcome};
use bascule_plan::event::{Event, Failure, INSTANCE_FIRST, Stream, Summary};

use super::{Renderer, table};

/// Plain lines: what changed, what failed and why, and a summary.
pub(super) struct Plain {
    verbose: bool,
    verb: String,
    status: table::Status,
    history: table::History,
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();

impl Renderer for Plain {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        if let Event::Output { stream: Stream::Stderr, text, .. } = event {
            return anstream::stderr().lock().write_all(text.as_bytes());
        }
        let Some(text) = self.text(event) else { return Ok(()) };
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

impl Plain {
    pub(super) fn new(verbose: bool) -> Self {
        Self { verbose, verb: String::new(), status: table::Status::default(), history: table::History::default() }
    }

    /// The event as whole lines; `None` for what is not worth one.
    pub(super) fn text(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Started { verb, platform, environment, .. } => {
                self.verb.clone_from(verb);
                let quiet = matches!(verb.as_str(), "exec" | "logs");
                (!quiet).then(|| format!("{BOLD}{verb}{BOLD:#} {platform}/{environment}\n"))
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
            Event::History { .. } => {
                self.history.entry(event);
                None
            }
            Event::Output { text, .. } => Some(text.clone()),
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
        let tables = self.status.text() + &self.history.text();
        let Summary { changed, unchanged, failed, duration_ms, instances, .. } = summary;
        let took = seconds(*duration_ms);
        let closing = match self.verb.as_str() {
            "status" | "history" | "exec" | "logs" if *failed == 0 => return tables,
            _ if *failed == 0 && changed + unchanged == 0 => return tables,
            "plan" if *changed == 0 => {
                format!("{GREEN}nothing to change{GREEN:#}: {unchanged} checked on {instances} instances, in {took}")
            }
            "plan" => format!(
                "{YELLOW}{changed} to change{YELLOW:#}, {unchanged} right already, on {instances} instances, in {took}"
            ),
            _ if *failed > 0 => {
                format!("{RED}failed {failed}{RED:#}, changed {changed}, unchanged {unchanged}, in {took}")
            }
            _ if *changed == 0 => {
                format!("{GREEN}nothing changed{GREEN:#}: {unchanged} checked on {instances} instances, in {took}")
            }
            _ => format!("{GREEN}changed {changed}{GREEN:#}, unchanged {unchanged}, failed 0, in {took}"),
        };
        format!("{tables}{closing}\n")
    }
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
