//! A person's own editor, on a file that never lies on a disk.
//!
//! Editors write beside a file and rename, keep a swap file or a backup next to it: so they are given a whole folder, of
//! this person's only, on a file system that is memory. (Swap space is a disk: encrypt it.)

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failed;
use crate::setup::path_of;

const PREFIX: &str = "bascule-edit.";

/// The program and its first arguments, as `$VISUAL` or `$EDITOR` name them.
#[derive(Debug)]
pub(super) struct Editor {
    words: Vec<OsString>,
}

impl Editor {
    pub(super) fn of_this_person() -> Result<Self, Failed> {
        let named = path_of("VISUAL").or_else(|| path_of("EDITOR"));
        let named = named.unwrap_or_else(|| PathBuf::from("editor")).into_os_string();
        // `code --wait` is a program and an argument.
        let words = match named.to_str() {
            Some(text) => text.split_whitespace().map(OsString::from).collect(),
            None => vec![named],
        };
        if words.is_empty() {
            return Err(Failed::usage("$EDITOR names no program", "export EDITOR=nano"));
        }
        Ok(Self { words })
    }

    #[expect(clippy::disallowed_methods, reason = "the person's own editor")]
    fn command(&self, file: &Path) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        // What these two remember of a session (registers, undo) they keep below the home directory, on a disk.
        let name = Path::new(&self.words[0]).file_name().unwrap_or_default();
        if ["vim", "nvim"].iter().any(|vim| name == *vim) {
            command.args(["-i", "NONE", "--cmd", "set noundofile nobackup noswapfile"]);
        }
        command.arg(file).kill_on_drop(true);
        command
    }
}

/// A folder in memory, which is gone with this.
#[derive(Debug)]
pub(super) struct Session {
    file: PathBuf,
    _folder: TempDir,
}

impl Session {
    pub(super) fn begin(name: &str) -> Result<Self, Failed> {
        let memory = memory().ok_or_else(|| {
            Failed::usage(
                "no file system in memory was found: the secrets would lie on a disk",
                "mount a tmpfs at /dev/shm; or change one by one, by `bascule secrets set`",
            )
        })?;
        sweep(&memory);
        let prefix = format!("{PREFIX}{}.", std::process::id());
        let only_mine = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(&prefix).permissions(only_mine).tempdir_in(&memory);
        let folder = folder.map_err(|error| cannot("no folder could be made", &memory, &error))?;
        Ok(Self { file: folder.path().join(name), _folder: folder })
    }

    /// Shows a text in the editor, and gives what was made of it.
    pub(super) async fn edit(&self, editor: &Editor, text: &str) -> Result<String, Failed> {
        self.write(text).map_err(|error| cannot("the text could not be written", &self.file, &error))?;
        // Ctrl-C is the editor's, from its first moment. Who ends this process ends the editor, and the folder goes with it.
        let signals = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(signal);
        let [Ok(mut terminated), Ok(mut hung_up), Ok(_)] = signals else {
            return Err(Failed::usage("signals cannot be waited for", "edit elsewhere"));
        };
        let program = editor.words[0].display();
        let mut child = editor.command(&self.file).spawn().map_err(|error| {
            Failed::usage(format!("the editor {program} cannot be run: {error}"), "export EDITOR=nano")
        })?;
        let ended = tokio::select! {
            ended = child.wait() => ended,
            _ = terminated.recv() => Err(io::ErrorKind::Interrupted.into()),
            _ = hung_up.recv() => Err(io::ErrorKind::Interrupted.into()),
        };
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => {
                return Err(Failed::usage(format!("{program} ended with {status}: nothing was changed"), "edit again"));
            }
            Err(_) => return Err(Failed::usage("told to end: nothing was changed", "edit again")),
        }
        fs::read_to_string(&self.file).map_err(|error| cannot("the text could not be read", &self.file, &error))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        // Made anew: an editor that writes by rename may have left another file with another mode.
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file)?;
        io::Write::write_all(&mut file, text.as_bytes())
    }
}

/// A folder of a file system in memory that this person may write to.
fn memory() -> Option<PathBuf> {
    let own = path_of("XDG_RUNTIME_DIR");
    own.into_iter().chain(["/dev/shm".into()]).find(|folder: &PathBuf| {
        statfs(folder.as_path()).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
            && nix::unistd::access(folder.as_path(), nix::unistd::AccessFlags::W_OK).is_ok()
    })
}

/// Removes what sessions left that were killed with no time to do it themselves.
fn sweep(memory: &Path) {
    for entry in fs::read_dir(memory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok());
        let Some(process) = process else { continue };
        if nix::sys::signal::kill(Pid::from_raw(process), None) == Err(nix::errno::Errno::ESRCH) {
            // Another person's cannot be removed, and is theirs to.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failed {
    Failed::usage(format!("{what}: {}: {error}", path.display()), "is there room in memory?")
}
