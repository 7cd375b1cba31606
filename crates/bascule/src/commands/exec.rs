use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use bascule_incus::{Exec, Exited, Stdin};
use bascule_plan::event::{Event, Stream};
use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;

use super::known_instance;
use crate::cli::{Common, Output};
use crate::failure::{Exit, Failed};
use crate::setup::{Session, session};
use crate::terminal;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bascule exec lb-1 -- haproxy -vv
  bascule exec api-blue-1 -- bash          a shell, on a terminal
  pg_dump … | bascule exec lb-1 -- wc -c   standard input goes along")]
pub(crate) struct Arguments {
    /// The instance
    instance: String,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
    /// End the command after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
}

pub(crate) fn run(common: &Common, arguments: Arguments) -> ExitCode {
    let on_terminal =
        common.output == Output::Text && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    session(common, "exec", false, async |session| {
        known_instance(session, &arguments.instance)?;
        let exited = if on_terminal {
            terminal::run(&*session.incus, &session.platform.incus.project, &arguments.instance, &arguments.command)
                .await?
        } else {
            let timeout = Duration::from_secs(arguments.timeout);
            piped(session, &arguments.instance, &arguments.command, timeout).await?
        };
        Ok(Exit::Code(u8::try_from(exited.code).unwrap_or(1)))
    })
}

/// Runs a command with this process's standard input; what it says becomes events.
pub(crate) async fn piped(
    session: &Session,
    instance: &str,
    command: &[String],
    timeout: Duration,
) -> Result<Exited, Failed> {
    let (stdout, mut chunks) = mpsc::channel::<Bytes>(64);
    let mut exec = Exec::new(command, timeout);
    exec.stdin = standard_input();
    let say = |stream, text: String| {
        session.run.emit(Event::Output { instance: instance.to_owned(), stream, text });
    };
    let listen = async {
        let mut text = Utf8Chunks::default();
        while let Some(chunk) = chunks.recv().await {
            say(Stream::Stdout, text.push(&chunk));
        }
    };
    let exec = session.incus.exec(&session.platform.incus.project, instance, exec, stdout);
    let (exited, ()) = tokio::join!(exec, listen);
    let exited = exited?;
    if !exited.stderr_tail.is_empty() {
        say(Stream::Stderr, exited.stderr_tail.clone());
    }
    Ok(exited)
}

fn standard_input() -> Stdin {
    if std::io::stdin().is_terminal() {
        return Stdin::Bytes(Bytes::new());
    }
    let (sender, receiver) = mpsc::channel(8);
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = std::io::stdin().read(&mut buffer) {
            if sender.blocking_send(Bytes::copy_from_slice(&buffer[..read])).is_err() {
                break;
            }
        }
    });
    Stdin::Stream(receiver)
}

/// Keeps a character that was cut at the end of a chunk for the next one.
#[derive(Debug, Default)]
struct Utf8Chunks {
    rest: Vec<u8>,
}

impl Utf8Chunks {
    fn push(&mut self, chunk: &[u8]) -> String {
        self.rest.extend_from_slice(chunk);
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.rest, rest)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8Chunks;

    #[test]
    fn a_character_cut_between_two_chunks_is_whole_again() {
        let mut chunks = Utf8Chunks::default();
        assert_eq!(chunks.push(&[b'a', 0xc3]), "a");
        assert_eq!(chunks.push(&[0xa9, b'b']), "éb");
        assert_eq!(chunks.push(&[0xff]), "\u{fffd}");
    }
}
