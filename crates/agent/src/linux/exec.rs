use std::collections::BTreeMap;
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use crate::system::{Beat, Ending, Exec, Finished, Result, SystemError};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OUTPUT_BYTES_MAX: usize = 4096;
const BEAT_INTERVAL: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// A pipe holds no more than a MiB: whoever writes faster than it is read must not keep anybody from looking at the clock.
const READS_MAX: usize = 256;

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

    let mut tail = Tail::of(reader).map_err(cannot)?;
    let ending = wait(&mut child, exec.timeout_ms, &mut tail, beat).map_err(cannot)?;
    Ok(Finished { ending, output: tail.finish() })
}

/// [`run`] for the agent's own tools.
pub(super) fn tool(argv: &[&str], timeout_ms: u64, beat: Beat<'_>) -> Result<Finished> {
    let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
    run(&Exec { argv: &argv, env: &BTreeMap::new(), timeout_ms }, beat)
}

fn wait(child: &mut Child, timeout_ms: u64, tail: &mut Tail, beat: Beat<'_>) -> io::Result<Ending> {
    let began = Instant::now();
    let mut beat_at = BEAT_INTERVAL;
    let mut pause = PAUSE_MIN;
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
        if tail.closed {
            thread::sleep(pause);
        } else if tail.collect_for(pause) {
            // Most programs close their output by ending: look again at once.
            pause = PAUSE_MIN;
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
struct Tail {
    reader: PipeReader,
    bytes: Vec<u8>,
    /// Nothing more can come.
    closed: bool,
}

impl Tail {
    /// Of a pipe, from which nothing is waited for.
    fn of(reader: PipeReader) -> io::Result<Self> {
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { reader, bytes: Vec::new(), closed: false })
    }

    /// Takes what is there.
    fn collect(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..READS_MAX {
            match self.reader.read(&mut buffer) {
                Ok(count @ 1..) => {
                    self.bytes.extend_from_slice(&buffer[..count]);
                    let len = self.bytes.len();
                    if len > 2 * OUTPUT_BYTES_MAX {
                        let cut = whole_line_from(&self.bytes, len - OUTPUT_BYTES_MAX);
                        self.bytes.drain(..cut);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // An error ends it like the end itself: what was read until then is what there is.
                Ok(0) | Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    /// Takes what comes, as soon as something does, or after so long; says whether nothing more can come.
    fn collect_for(&mut self, limit: Duration) -> bool {
        let mut readable = [PollFd::new(self.reader.as_fd(), PollFlags::POLLIN)];
        // Whether it waited makes no difference to what is there.
        let _ = ppoll(&mut readable, Some(TimeSpec::from_duration(limit)), None);
        self.collect();
        self.closed
    }

    /// The last line that is whole.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }

    /// What a command that has ended printed is in the pipe by now, all of it, however late this process gets to read it. A daemon
    /// that it left behind may hold the pipe for ever: nobody waits for that.
    fn finish(mut self) -> String {
        self.collect();
        let cut = whole_line_from(&self.bytes, self.bytes.len().saturating_sub(OUTPUT_BYTES_MAX));
        String::from_utf8_lossy(&self.bytes[cut..]).into_owned()
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
