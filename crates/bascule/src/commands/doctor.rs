use std::process::ExitCode;
use std::time::Instant;

use bascule_plan::event::{Event, Summary, Verdict};

use crate::cli::Common;
use crate::doctor;
use crate::failure::Exit;
use crate::runtime;

pub(crate) const EXAMPLES: &str = "\
Examples:
  bascule doctor                           before the first `up`, and when something is odd
  bascule doctor --env prod --output json | jq -r 'select(.verdict == \"missing\").remedy'";

pub(crate) fn run(common: &Common) -> ExitCode {
    runtime::in_runtime(common, async |events, _| {
        let began = Instant::now();
        let machine = doctor::look(common).await;
        let _ = events.send(runtime::started("doctor", machine.platform.as_ref().ok()));
        let findings = doctor::judge(&machine);
        let missing = findings.iter().filter(|finding| finding.verdict == Verdict::Missing).count();
        let mut summary = Summary { failed: missing as u64, ..Summary::default() };
        summary.unchanged = findings.len() as u64 - summary.failed;
        summary.duration_ms = runtime::elapsed_ms(began);
        for finding in findings {
            let _ = events.send(Event::Finding(finding));
        }
        let _ = events.send(Event::Summary(summary));
        Ok(if missing == 0 { Exit::Done } else { Exit::Missing })
    })
}
