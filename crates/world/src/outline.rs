use bascule_plan::agent::Outcome;
use bascule_plan::event::{Event, INSTANCE_FIRST};

/// Events as lines that a reviewer reads: what was done and why; of what was right already only the number.
pub fn outline(events: &[Event]) -> String {
    let mut text = String::new();
    let mut unchanged = 0;
    for event in events {
        let line = match event {
            Event::Phase { title, .. } => format!("-- {title}"),
            Event::Thing { outcome: Outcome::Unchanged, .. } | Event::StepEnded { outcome: Outcome::Unchanged, .. } => {
                unchanged += 1;
                continue;
            }
            Event::StepEnded { reason, .. } if reason == INSTANCE_FIRST => continue,
            Event::Thing { kind, name, outcome, reason, .. } => {
                let kind = format!("{kind:?}").to_lowercase();
                format!("{} {kind} {name}: {reason}", mark(*outcome))
            }
            Event::StepEnded { instance, step, outcome, reason, .. } => {
                format!("{} {instance} {step}: {reason}", mark(*outcome))
            }
            Event::Reached { instance, what } => format!("> {instance} {what}"),
            Event::Waiting { instance, reason, .. } => format!(". {instance} {reason}"),
            Event::Switch { from, to, generation, commit } => {
                let from = from.as_deref().unwrap_or("nothing");
                format!("* {from} to {to}, generation {generation}, {}", commit.get(..8).unwrap_or("nothing"))
            }
            Event::Note { message } => format!("note: {message}"),
            Event::Failure(failure) => {
                let who = failure.instance.as_deref().unwrap_or("");
                format!("! {who} {}", failure.message)
            }
            Event::Summary(summary) => {
                format!("= changed {}, unchanged {}, failed {}", summary.changed, summary.unchanged, summary.failed)
            }
            _ => continue,
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if unchanged > 0 {
        text.push_str(&format!("({unchanged} right already)\n"));
    }
    text
}

fn mark(outcome: Outcome) -> char {
    match outcome {
        Outcome::Unchanged => '=',
        Outcome::WouldChange => '~',
        Outcome::Changed => '+',
        Outcome::Failed => 'x',
    }
}
