use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::expected::is_as_shown;
use super::{Block, Page};

/// The end of a command's output, and its exit code. No page says this.
const MARK: &str = "--- the command ended with";
/// No command of the book takes longer, on a slow machine either.
const LIMIT: Duration = Duration::from_secs(600);

/// How what a page says differs from what is done in a test.
#[derive(Default)]
pub(crate) struct Stage {
    /// Text of the page and what stands for it: an address range that is the test's own.
    pub(crate) swaps: Vec<(&'static str, &'static str)>,
    /// A file of the page, and what is added to it: names that are the test's own.
    pub(crate) added: Option<(&'static str, &'static str)>,
}

/// A reader's shell: one for as many pages as follow each other.
pub(crate) struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    stage: Stage,
    /// What it was told so far, for whoever has to find out what went wrong.
    log: String,
}

impl Shell {
    /// A shell in a folder that finds the tool first, and nothing of whoever runs the test.
    #[expect(clippy::disallowed_methods, reason = "what is tested are commands")]
    pub(crate) fn start(folder: &Path, tool: &Path, stage: Stage) -> Self {
        let bin = folder.join(".bin");
        fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(tool, bin.join("bascule")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).current_dir(folder).env_clear();
        command.env("PATH", format!("{}:{path}", bin.display())).env("HOME", folder).env("LC_ALL", "C.UTF-8");
        // A compiler that is found by a wrapper in the reader's home.
        for name in ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
            command.env(name, "ada");
        }
        for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
            command.env(name, "ada@example.org");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "exec 2>&1").unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.split(b'\n') {
                let line = String::from_utf8_lossy(&line.unwrap_or_default()).into_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, lines, stage, log: String::new() }
    }

    /// Does what a page says, from top to bottom.
    pub(crate) fn follow(&mut self, page: &Page) {
        for block in &page.blocks {
            let place = format!("{}:{}", page.path.display(), block.line);
            match (&block.file, block.language.as_str()) {
                (Some(name), _) => self.write(name, block),
                (None, "console") => commands(&block.text).iter().for_each(|command| self.expect(&place, command)),
                (None, _) => {}
            }
        }
    }

    fn write(&mut self, name: &str, block: &Block) {
        let mut text = self.swapped(&block.text);
        if let Some((_, added)) = self.stage.added.filter(|(file, _)| *file == name) {
            text.push_str(added);
        }
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if block.language == "sh" { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self.log.push_str(&format!("(wrote {})\n", path.display()));
    }

    /// Where the shell is now.
    fn folder(&mut self) -> PathBuf {
        let (said, _) = self.run("pwd");
        said.trim().into()
    }

    fn expect(&mut self, place: &str, command: &Typed) {
        let (said, status) = self.run(&self.swapped(&command.text));
        let mut back = said.clone();
        for (page, test) in &self.stage.swaps {
            back = back.replace(test, page);
        }
        self.log.push_str(&format!("$ {}\n{back}", command.text));
        assert!(status == 0 || command.may_fail, "{place}: it ended with {status}\n{}", self.log);
        let shown: Vec<&str> = command.shown.iter().map(String::as_str).collect();
        if !shown.is_empty() {
            let said: Vec<&str> = back.lines().collect();
            assert!(is_as_shown(&shown, &said), "{place}: the page shows\n{}\nbut\n{}", shown.join("\n"), self.log);
        }
    }

    fn swapped(&self, text: &str) -> String {
        self.stage.swaps.iter().fold(text.to_owned(), |text, (page, test)| text.replace(page, test))
    }

    /// Runs a command in this very shell, without its input; gives what it said, and its exit code.
    fn run(&mut self, command: &str) -> (String, i32) {
        let whole =
            format!("{{ {command}\n}} </dev/null\nstatus=$?; printf '\\n%s %s\\n' '{MARK}' $status; (exit $status)\n");
        self.stdin.write_all(whole.as_bytes()).unwrap();
        let mut said: Vec<String> = Vec::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("`{command}` never ended\n{}{}", self.log, said.join("\n")));
            if let Some(status) = line.strip_prefix(MARK) {
                // The line break before the mark.
                if said.last().is_some_and(String::is_empty) {
                    said.pop();
                }
                let said = said.into_iter().map(|line| line + "\n").collect();
                return (said, status.trim().parse().unwrap());
            }
            said.push(line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command of a page.
struct Typed {
    text: String,
    /// The page asks for its exit code next.
    may_fail: bool,
    shown: Vec<String>,
}

/// The commands of a block: `$ ` begins one, `> ` goes on with it, what stands between is what they say.
fn commands(text: &str) -> Vec<Typed> {
    let mut commands: Vec<Typed> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), line.strip_prefix("> "), commands.last_mut()) {
            (Some(text), ..) => commands.push(Typed { text: text.to_owned(), may_fail: false, shown: Vec::new() }),
            (None, Some(more), Some(last)) if last.shown.is_empty() => last.text.push_str(&format!("\n{more}")),
            (None, _, Some(last)) => last.shown.push(line.to_owned()),
            (None, _, None) => panic!("`{line}` is the output of no command"),
        }
    }
    let asked: Vec<bool> = commands.iter().skip(1).map(|next| next.text.starts_with("echo $?")).collect();
    commands.iter_mut().zip(asked).for_each(|(command, asked)| command.may_fail = asked);
    commands
}
