//! A program on this machine, with its input given and its output streamed: the SSH client, or a local host's agent.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use bascule_incus::{Exited, STDERR_TAIL_BYTES};
use bytes::{Bytes, BytesMut};
use futures_util::future;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::HostError;

#[expect(clippy::disallowed_methods, reason = "the way to a host is a program, or the host is this machine")]
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    command
}

/// Runs it to its end. A program that does not exist, or may not be run, ends as a shell would say it.
pub(super) async fn run(
    host: &str,
    command: &mut Command,
    stdin: Bytes,
    timeout: Duration,
    stdout: mpsc::Sender<Bytes>,
) -> Result<Exited, HostError> {
    let failed = |source| HostError::Io { doing: format!("cannot run a command for the host {host}"), source };
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let code = match error.kind() {
                ErrorKind::NotFound => Exited::NOT_FOUND,
                ErrorKind::PermissionDenied => Exited::NOT_EXECUTABLE,
                _ => return Err(failed(error)),
            };
            return Ok(Exited { code, stderr_tail: error.to_string() });
        }
    };
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = async {
        if let Some(mut input) = input {
            // A command may exit without reading all of it: that is no error.
            let _ = input.write_all(&stdin).await;
        }
    };
    let whole = future::join3(input, forward(output, stdout), tail(errors));
    let ended = tokio::time::timeout(timeout, async {
        let ((), (), stderr_tail) = whole.await;
        (child.wait().await, stderr_tail)
    });
    let Ok((status, stderr_tail)) = ended.await else {
        return Err(HostError::Timeout { host: host.to_owned(), after_s: timeout.as_secs() });
    };
    // Killed by a signal, it has no code: 137, as Incus and shells have it.
    let code = status.map_err(failed)?.code().unwrap_or(137);
    Ok(Exited { code, stderr_tail })
}

async fn forward(from: Option<impl AsyncRead + Unpin>, to: mpsc::Sender<Bytes>) {
    let Some(mut from) = from else { return };
    loop {
        let mut chunk = BytesMut::with_capacity(16 * 1024);
        match from.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => return,
            // Nobody listening any more is no reason to hold the command.
            Ok(_) => drop(to.send(chunk.freeze()).await),
        }
    }
}

async fn tail(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut tail = Vec::new();
    if let Some(mut from) = from {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            tail.extend_from_slice(&chunk[..count]);
            tail.drain(..tail.len().saturating_sub(STDERR_TAIL_BYTES));
        }
    }
    String::from_utf8_lossy(&tail).into_owned()
}
