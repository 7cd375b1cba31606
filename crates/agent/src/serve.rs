use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bascule_plan::agent::{Mode, Report, Request};

use crate::{Linux, run};

const BUFFER_BYTES: usize = 64 * 1024;
/// Each flush is a message that goes through Incus. Those of a check are collected, as long as nobody waits for them.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// Serves one request from standard input.
///
/// Exits 0 when the protocol was completed (a failed step is a report, not an exit code), 2 when the request could not be
/// read, and 1 when nobody reads the reports any more: the engine is gone, and what was begun is finished by its next run.
pub fn main() -> ExitCode {
    let request = match read_request() {
        Ok(request) => request,
        Err(message) => {
            // Nothing can be done about a standard error that is closed too.
            let _ = writeln!(io::stderr(), "bascule agent: {message}");
            return ExitCode::from(2);
        }
    };
    let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let mut flushed = Instant::now();
    run(&request, &Linux::default(), &mut |report| {
        let is_looked_at_whole = request.mode == Mode::Check && matches!(report, Report::End { .. });
        let at_once = !is_looked_at_whole || flushed.elapsed() >= FLUSH_EVERY;
        let heard = write_report(&mut out, &report, at_once).is_ok();
        if at_once {
            flushed = Instant::now();
        }
        // What was begun is finished first, with the lock held: a progress report is no place to leave at.
        if !heard && !matches!(report, Report::Progress { .. }) {
            leave();
        }
    });
    ExitCode::SUCCESS
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two steps nothing is held but the lock, which the kernel takes back"
)]
fn leave() -> ! {
    std::process::exit(1)
}

fn read_request() -> Result<Request, String> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input).map_err(|error| format!("cannot read standard input: {error}"))?;
    // The parser's own message may quote the input, and the input holds secrets: only the place is told.
    serde_json::from_slice(&input).map_err(|error| {
        format!(
            "standard input is not a request: {:?} error at line {}, column {}",
            error.classify(),
            error.line(),
            error.column()
        )
    })
}

fn write_report(out: &mut impl Write, report: &Report, at_once: bool) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    out.write_all(&line)?;
    if at_once { out.flush() } else { Ok(()) }
}
