//! A command on an instance, on this person's terminal.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use bascule_incus::{Exited, Incus, Terminal, TerminalInput, TerminalSize};
use bytes::Bytes;
use nix::sys::termios::{self, SetArg, Termios};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::Failed;

pub(crate) async fn run(
    incus: &dyn Incus,
    project: &str,
    instance: &str,
    command: &[String],
) -> Result<Exited, Failed> {
    let _raw = RawMode::enter();
    let (input, input_receiver) = mpsc::channel(16);
    let (output, mut output_receiver) = mpsc::channel::<Bytes>(64);
    let typed = input.clone();
    tokio::task::spawn_blocking(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = std::io::stdin().read(&mut buffer) {
            if typed.blocking_send(TerminalInput::Bytes(Bytes::copy_from_slice(&buffer[..read]))).is_err() {
                break;
            }
        }
    });
    let resizes = async {
        let Ok(mut resized) = signal(SignalKind::window_change()) else { return std::future::pending().await };
        while resized.recv().await.is_some() {
            // The command has ended when nobody listens any more.
            let _ = input.send(TerminalInput::Resize(size())).await;
        }
    };
    let show = async {
        while let Some(chunk) = output_receiver.recv().await {
            let mut stdout = std::io::stdout().lock();
            // A terminal that went away ends the command by its closed input.
            let _ = stdout.write_all(&chunk).and_then(|()| stdout.flush());
        }
    };
    let terminal = Terminal {
        argv: command.to_vec(),
        env: [("TERM".to_owned(), terminal_kind())].into(),
        size: size(),
        input: input_receiver,
        output,
    };
    let exited = async { tokio::join!(incus.terminal(project, instance, terminal), show).0 };
    tokio::select! {
        exited = exited => Ok(exited?),
        () = resizes => unreachable!("the window's signal is waited for until the command ends"),
    }
}

#[expect(clippy::disallowed_methods, reason = "TERM describes this terminal to the command")]
fn terminal_kind() -> String {
    std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned())
}

fn size() -> TerminalSize {
    let (rows, columns) = console::Term::stdout().size();
    TerminalSize { columns, rows }
}

/// Every key goes to the command, Ctrl-C too; the terminal is put back when this is dropped.
struct RawMode(Option<Termios>);

impl RawMode {
    fn enter() -> Self {
        let stdin = std::io::stdin();
        let Ok(before) = termios::tcgetattr(stdin.as_fd()) else { return Self(None) };
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        let entered = termios::tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw);
        Self(entered.is_ok().then_some(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing more can be done for a terminal that is gone.
            let _ = termios::tcsetattr(std::io::stdin().as_fd(), SetArg::TCSADRAIN, before);
        }
    }
}
