use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::system::{Beat, Ending, Exec, Finished, Result, SystemError};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OUTPUT_BYTES_MAX: usize = 4096;
const BEAT_INTERVAL: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long output may still come after the command ended: a daemon it left behind may hold the pipe for ever.
const DRAIN_MAX: Duration = Duration::from_millis(200);

/// Runs a command with nothing on standard input, in its own process group and in `/`.
#[expect(clippy::disallowed_methods, reason = "this is where the agent runs programs")]
pub(super) fn run(exec: &Exec<'_>, beat: Beat<'_>) -> Result<Finished> {
    let Some((program, arguments)) = exec.argv.split_first() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the command is empty");
        return Err(SystemError::Run { program: String::new(), source });
    };
    let cannot = |source| SystemError::Run { program: program.clone(), source };
    let (reader, writer) = io::pipe().map_err(cannot)?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").process_group(0);
    command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8").envs(exec.env);
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(cannot)?).stderr(writer);
    let mut child = command.spawn().map_err(cannot)?;
    // The command holds the pipe's other end: as long as it lives, its end here must not.
    drop(command);

    let tail = Arc::new(Tail::default());
    let collector = Arc::clone(&tail);
    thread::spawn(move || collector.collect(reader));
    let ending = wait(&mut child, exec.timeout_ms, &tail, beat).map_err(cannot)?;
    Ok(Finished { ending, output: tail.finish() })
}

/// [`run`] for the agent's own tools.
pub(super) fn tool(argv: &[&str], timeout_ms: u64, beat: Beat<'_>) -> Result<Finished> {
    let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
    run(&Exec { argv: &argv, env: &BTreeMap::new(), timeout_ms }, beat)
}

fn wait(child: &mut Child, timeout_ms: u64, tail: &Tail, beat: Beat<'_>) -> io::Result<Ending> {
    let began = Instant::now();
    let mut beat_at = BEAT_INTERVAL;
    let mut pause = PAUSE_MIN;
    let mut closed = false;
    // `try_wait` instead of a thread that waits: the process is not reaped before the group is killed, so its number
    // cannot be another's by then.
    loop {
        if let Some(status) = child.try_wait()? {
            let signalled = Ending::Signalled(status.signal().unwrap_or_default());
            return Ok(status.code().map_or(signalled, Ending::Exited));
        }
        let elapsed = began.elapsed();
        if elapsed >= Duration::from_millis(timeout_ms) {
            kill_group(child)?;
            return Ok(Ending::TimedOut { timeout_ms });
        }
        if elapsed >= beat_at {
            beat(&tail.last_line());
            beat_at = elapsed + BEAT_INTERVAL;
        }
        if closed {
            thread::sleep(pause);
        } else if tail.closed_within(pause) {
            // Most programs close their output by ending: look again at once.
            (closed, pause) = (true, PAUSE_MIN);
            continue;
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn kill_group(child: &mut Child) -> io::Result<()> {
    if let Ok(group) = i32::try_from(child.id()) {
        killpg(Pid::from_raw(group), Signal::SIGKILL)?;
    }
    child.wait().map(|_| ())
}

/// The end of what a command printed.
#[derive(Default)]
struct Tail {
    state: Mutex<TailState>,
    closed: Condvar,
}

#[derive(Default)]
struct TailState {
    bytes: Vec<u8>,
    closed: bool,
}

impl Tail {
    fn collect(&self, mut reader: PipeReader) {
        let mut buffer = [0; 4096];
        // An error ends it like the end itself: what was read until then is what there is.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.bytes.extend_from_slice(&buffer[..count]);
            let len = state.bytes.len();
            if len > 2 * OUTPUT_BYTES_MAX {
                let cut = whole_line_from(&state.bytes, len - OUTPUT_BYTES_MAX);
                state.bytes.drain(..cut);
            }
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.closed.notify_all();
    }

    /// The last line that is whole.
    fn last_line(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&state.bytes);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }

    /// Waits until nothing more can come, at most so long; says whether that is so.
    fn closed_within(&self, limit: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.closed.wait_timeout_while(state, limit, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    fn finish(&self) -> String {
        self.closed_within(DRAIN_MAX);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = whole_line_from(&state.bytes, state.bytes.len().saturating_sub(OUTPUT_BYTES_MAX));
        String::from_utf8_lossy(&state.bytes[cut..]).into_owned()
    }
}

/// Where the first whole line begins at or after a place; the rest of a cut line might be half a secret, which nobody
/// would recognise as one. Without a whole line after it, the end.
fn whole_line_from(bytes: &[u8], from: usize) -> usize {
    if from == 0 {
        return 0;
    }
    bytes[from - 1..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| from + at)
}
