//! Events last, for eyes or for programs. This is the only place that prints.

mod backup;
mod finding;
mod json;
mod plain;
mod postgres;
mod progress;
#[cfg(test)]
mod samples;
mod store;
mod table;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use bascule_plan::event::{Event, Summary};
use tokio::sync::mpsc;

use crate::cli::Output;
use crate::failure::{Exit, Failed};

/// Draws one event; `Err` when nobody reads any more.
trait Renderer: Send {
    fn event(&mut self, event: &Event) -> std::io::Result<()>;
}

/// Renders events until their senders are gone, or the reader of the output is.
pub(crate) async fn render(output: Output, verbose: bool, mut events: mpsc::UnboundedReceiver<Event>) {
    let mut renderer: Box<dyn Renderer> = match output {
        Output::Json => Box::new(json::Json),
        Output::Text if std::io::stderr().is_terminal() && std::io::stdout().is_terminal() => {
            Box::new(progress::Progress::new(verbose))
        }
        Output::Text => Box::new(plain::Plain::new(verbose)),
    };
    while let Some(event) = events.recv().await {
        if renderer.event(&event).is_err() {
            break;
        }
    }
}

/// A failure before there was a run: told like every other, with a summary as the last event.
pub(crate) fn failed(events: &mpsc::UnboundedSender<Event>, failed: Failed, elapsed: Duration) {
    let mut count = 1;
    if let Failed::Platform(diagnostics) = &failed {
        count = diagnostics.iter().count() as u64;
        for diagnostic in diagnostics.iter() {
            let _ = events.send(Event::Diagnostic {
                file: diagnostic.file.display().to_string(),
                line: diagnostic.line,
                column: diagnostic.column,
                message: diagnostic.message.clone(),
                help: diagnostic.help.clone(),
                rendered: diagnostic.render(std::io::stdout().is_terminal()),
            });
        }
    } else {
        let _ = events.send(Event::Failure(failed.into_failure()));
    }
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let _ = events.send(Event::Summary(Summary { failed: count, duration_ms, ..Summary::default() }));
}

/// A text that was asked for, as it is: a script for a shell, a schema.
pub(crate) fn document(text: &[u8]) -> ExitCode {
    // A reader that went away (`| head`) has all it wants.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text);
    ExitCode::SUCCESS
}

/// Wrong input to a verb that has no events.
#[expect(clippy::print_stderr, reason = "the renderers are not there")]
pub(crate) fn wrong(message: &str, hint: &str) -> ExitCode {
    eprintln!("error: {message}\n  try: {hint}");
    Exit::Input.into()
}

/// An error before there is a renderer.
#[expect(clippy::print_stderr, reason = "the renderers are not there yet")]
pub(crate) fn fatal(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    Exit::Failed.into()
}
