use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use bascule_incus::{Exec, Exited, Stdin};
use bascule_plan::event::{Event, Stream};
use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;

use super::running_instance;
use crate::cli::{Common, Output};
use crate::failure::{Exit, Failed};
use crate::setup::{Access, Session, session};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  bascule exec lb-1 -- haproxy -vv
  bascule exec api-blue-1 -- bash          a shell, on a terminal
  tar -c . | bascule exec lb-1 -- tar -t   standard input goes along";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
    session(common, "exec", Access::Looks, async |session| {
        running_instance(session, &arguments.instance).await?;
        let exited = if on_terminal {
            terminal::run(&*session.incus, &session.platform.incus.project, &arguments.instance, &arguments.command)
                .await?
        } else {
            let timeout = Duration::from_secs(arguments.timeout);
            piped(session, &arguments.instance, &arguments.command, timeout, Pieces::AsTheyCome).await?
        };
        if exited.command_not_found() && exited.stderr_tail.is_empty() {
            session.run.note(format!("{}: not found on {}", arguments.command[0], arguments.instance));
        }
        Ok(Exit::Code(u8::try_from(exited.code).unwrap_or(1)))
    })
}

/// Runs a command with this process's standard input; what it says becomes events.
pub(crate) async fn piped(
    session: &Session,
    instance: &str,
    command: &[String],
    timeout: Duration,
    pieces: Pieces,
) -> Result<Exited, Failed> {
    let (stdout, mut chunks) = mpsc::channel::<Bytes>(64);
    let mut exec = Exec::new(command, timeout);
    exec.stdin = standard_input();
    let say = |stream, bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        session.run.emit(Event::Output { instance: instance.to_owned(), stream, text, bytes });
    };
    let listen = async {
        let mut rest = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            rest.extend_from_slice(&chunk);
            let whole: Vec<u8> = rest.drain(..pieces.end(&rest)).collect();
            if !whole.is_empty() {
                say(Stream::Stdout, whole);
            }
        }
        if !rest.is_empty() {
            say(Stream::Stdout, rest);
        }
    };
    let exec = session.incus.exec(&session.platform.incus.project, instance, exec, stdout);
    let (exited, ()) = tokio::join!(exec, listen);
    let exited = exited?;
    if !exited.stderr_tail.is_empty() {
        say(Stream::Stderr, exited.stderr_tail.clone().into_bytes());
    }
    Ok(exited)
}

/// Runs a program without an input, and gives all that it says on standard output.
pub(crate) async fn answered(
    session: &Session,
    instance: &str,
    argv: &[String],
    timeout: Duration,
) -> Result<(Exited, Vec<u8>), bascule_incus::Error> {
    let (stdout, mut chunks) = mpsc::channel::<Bytes>(8);
    let listen = async {
        let mut said = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            said.extend_from_slice(&chunk);
        }
        said
    };
    let exec = session.incus.exec(&session.platform.incus.project, instance, Exec::new(argv, timeout), stdout);
    let (exited, said) = tokio::join!(exec, listen);
    Ok((exited?, said))
}

/// Runs a program without an input, and gives each line that it says on standard output as soon as it is whole.
pub(crate) async fn line_by_line(
    session: &Session,
    instance: &str,
    argv: &[String],
    timeout: Duration,
    mut hear: impl FnMut(&[u8]),
) -> Result<Exited, bascule_incus::Error> {
    let (stdout, mut chunks) = mpsc::channel::<Bytes>(8);
    let listen = async {
        let mut rest = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                hear(&line);
            }
        }
    };
    let exec = session.incus.exec(&session.platform.incus.project, instance, Exec::new(argv, timeout), stdout);
    let (exited, ()) = tokio::join!(exec, listen);
    exited
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

/// How what a command says is cut into events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pieces {
    /// At once, but never within a character.
    AsTheyCome,
    /// Whole lines.
    Lines,
}

impl Pieces {
    /// Up to where what has come so far may be handed on.
    fn end(self, bytes: &[u8]) -> usize {
        match self {
            Self::Lines => bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1),
            Self::AsTheyCome => match std::str::from_utf8(bytes) {
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                _ => bytes.len(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;

    #[test]
    fn a_character_is_not_cut_and_bytes_that_are_none_are_not_held_back() {
        assert_eq!(Pieces::AsTheyCome.end(b"a\xc3"), 1);
        assert_eq!(Pieces::AsTheyCome.end(b"a\xc3\xa9"), 3);
        assert_eq!(Pieces::AsTheyCome.end(b"a\xff\xc3"), 3);
    }

    #[test]
    fn a_log_is_handed_on_by_the_line() {
        assert_eq!(Pieces::Lines.end(b"one\ntwo\nth"), 8);
        assert_eq!(Pieces::Lines.end(b"half"), 0);
    }
}
