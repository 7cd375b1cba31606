//! What a source does, as far as its tokens tell: the paths it names, the methods it calls, where it prints.
//!
//! Comments and strings are no tokens, so they may name what they like.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::tokens::{Token, tokens, without_tests};

/// What reaches out of a function's arguments. `std::net` has addresses, too, which are only values.
const IMPURE: [&str; 13] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
];
/// Methods of `Path` that look at the disk.
const IMPURE_METHODS: [&str; 9] = [
    "canonicalize",
    "exists",
    "is_dir",
    "is_file",
    "metadata",
    "read_dir",
    "read_link",
    "symlink_metadata",
    "try_exists",
];
const PRINTING_MACROS: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];
/// What asks a stream about itself, and writes nothing.
const QUESTIONS: [&str; 2] = ["is_terminal", "size"];

/// A source without its tests.
pub(super) struct Source {
    tokens: Vec<Token>,
    /// Modules in files of their own that are there for tests only.
    test_modules: Vec<String>,
}

impl Source {
    fn parse(text: &str) -> Self {
        let (tokens, test_modules) = without_tests(tokens(text));
        Self { tokens, test_modules }
    }

    /// Every place that reaches out of its function's arguments.
    pub(super) fn impurities(&self) -> Vec<String> {
        let paths = self.paths();
        // What a `use` brought in is another name of it in the whole file.
        let names: BTreeMap<&str, &str> =
            paths.iter().filter_map(|path| Some((path.brings.as_deref()?, path.full.as_str()))).collect();
        let mut found = Vec::new();
        for path in &paths {
            let (first, rest) = path.full.split_once("::").unwrap_or((&path.full, ""));
            let full = match names.get(first) {
                Some(name) if path.brings.is_none() && !rest.is_empty() => format!("{name}::{rest}"),
                Some(name) if path.brings.is_none() => (*name).to_owned(),
                _ => path.full.clone(),
            };
            if IMPURE.iter().any(|impure| is_within(&full, impure)) {
                found.push(format!("line {}: {full}", path.line));
            }
        }
        let calls = self.tokens.windows(3).filter(|three| three[0].text == "." && three[2].text == "(");
        let calls = calls.filter(|three| IMPURE_METHODS.contains(&three[1].text.as_str()));
        found.extend(calls.map(|three| format!("line {}: .{}()", three[1].line, three[1].text)));
        found.extend(self.prints());
        found
    }

    /// Every place that writes to standard output or standard error.
    pub(super) fn prints(&self) -> Vec<String> {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let places = (0..self.tokens.len()).filter(|&at| {
            let asks = text(at + 3) == "." && QUESTIONS.contains(&text(at + 4));
            match text(at) {
                // With an argument it is the builder of a command, which says where a child writes.
                "stdout" | "stderr" => text(at + 1) == "(" && text(at + 2) == ")" && !asks,
                word => PRINTING_MACROS.contains(&word) && text(at + 1) == "!",
            }
        });
        places.map(|at| format!("line {}: {}", self.tokens[at].line, text(at))).collect()
    }

    fn paths(&self) -> Vec<Named> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let is_use = self.tokens[at].text == "use";
            let start = at + usize::from(is_use);
            at = self.path(start, "", is_use, &mut paths).max(at + 1);
        }
        paths
    }

    /// Reads the path that begins at a token, with all branches of its braces; answers with where it ended.
    fn path(&self, mut at: usize, before: &str, is_use: bool, paths: &mut Vec<Named>) -> usize {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let mut full = before.to_owned();
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        if text(at) == "::" {
            at += 1;
        }
        loop {
            match text(at) {
                "{" if is_use => {
                    at += 1;
                    while !matches!(text(at), "}" | "") {
                        at = self.path(at, &full, is_use, paths).max(at + 1);
                        at += usize::from(text(at) == ",");
                    }
                    return at + 1;
                }
                "self" if !full.is_empty() => {}
                segment if segment == "*" && is_use || is_word(segment) => {
                    full = if full.is_empty() { segment.to_owned() } else { format!("{full}::{segment}") };
                }
                _ => return at,
            }
            at += 1;
            if text(at) != "::" {
                break;
            }
            at += 1;
        }
        let last = full.rsplit("::").next().map(str::to_owned);
        let renamed = is_use && text(at) == "as";
        let brings = if renamed { Some(text(at + 1).to_owned()) } else { last };
        paths.push(Named { full, line, brings: brings.filter(|_| is_use) });
        at + if renamed { 2 } else { 0 }
    }
}

/// A path as it is written.
struct Named {
    full: String,
    line: usize,
    /// The name that a `use` gives it.
    brings: Option<String>,
}

/// The sources of a crate but those of its tests, by their paths below the root.
pub(super) fn of(root: &Path, folder: &str) -> Vec<(PathBuf, Source)> {
    let mut files = files(&root.join(folder).join("src"));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<(PathBuf, Source)> =
        files.into_iter().map(|path| (path.clone(), Source::parse(&fs::read_to_string(path).unwrap()))).collect();
    let tests: Vec<PathBuf> = sources
        .iter()
        .flat_map(|(path, source)| source.test_modules.iter().map(|module| module_folder(path).join(module)))
        .collect();
    let is_test = |path: &Path| tests.iter().any(|test| path.starts_with(test) || path == test.with_extension("rs"));
    let sources = sources.into_iter().filter(|(path, _)| !is_test(path));
    sources.map(|(path, source)| (path.strip_prefix(root).unwrap().to_owned(), source)).collect()
}

/// Every file below a folder.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

/// Where the modules of a file are.
fn module_folder(file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap();
    let folder = file.parent().unwrap();
    if stem == "lib" || stem == "main" || stem == "mod" { folder.to_owned() } else { folder.join(stem) }
}

/// Whether a path is this one or below it; `std::*` has everything of `std`.
fn is_within(path: &str, folder: &str) -> bool {
    let below = |path: &str, folder: &str| {
        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    below(path, folder) || path.strip_suffix("::*").is_some_and(|all| below(folder, all))
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[test]
fn planted_io_is_found_however_it_is_written() {
    let found = |source: &str| Source::parse(source).impurities();
    assert_eq!(found("fn f() {\n    std::fs::read(\"a\");\n}"), ["line 2: std::fs::read"]);
    assert_eq!(found("use ::std::{fmt, fs as disk};")[0], "line 1: std::fs");
    assert_eq!(found("use std::{\n    io::{self, Read},\n};"), ["line 2: std::io", "line 2: std::io::Read"]);
    assert_eq!(found("use std::*;"), ["line 1: std::*"]);
    assert_eq!(
        found("use std::time;\nfn f() -> bool { g(time::SystemTime::now()) }"),
        ["line 2: std::time::SystemTime::now"]
    );
    assert_eq!(found("use std::net as n;\nfn f(_: n::TcpStream) {}"), ["line 2: std::net::TcpStream"]);
    assert_eq!(found("fn f() { format!(\"{}\", std::env::var(\"A\")) }"), ["line 1: std::env::var"]);
    assert_eq!(found("fn f<T: Into<std::process::Child>>() {}"), ["line 1: std::process::Child"]);
    assert_eq!(found("async fn f() { tokio::task::yield_now().await }"), ["line 1: tokio::task::yield_now"]);
    assert_eq!(found("fn f(p: &Path) -> bool { p.join(\"a\").exists() }"), ["line 1: .exists()"]);
    assert_eq!(found("fn f() { println!() }"), ["line 1: println"]);
    assert_eq!(found("#[cfg(not(test))]\nmod m { use std::fs; }"), ["line 2: std::fs"]);
    assert_eq!(found("#[cfg(test)]\nmod m { use std::fs; }\nuse std::thread;"), ["line 3: std::thread"]);
}

#[test]
fn values_words_and_tests_are_no_io() {
    let source = r#"
        //! std::fs is what this never uses.
        use std::net::{IpAddr, Ipv4Addr};
        use std::time::Duration;
        use crate::io;
        fn f(tokio_like: u8) -> &'static str { io::Thing::default(); "std::fs::read" }
        #[cfg(test)]
        mod beside;
        #[cfg(test)]
        #[allow(dead_code)]
        pub(crate) fn g(a: [u8; 2]) { std::fs::read("a"); }
        #[cfg(test)]
        mod tests { use std::fs; fn h() { println!(); } }
    "#;
    let source = Source::parse(source);
    assert_eq!(source.impurities(), [""; 0]);
    assert_eq!(source.test_modules, ["beside"]);
}

#[test]
fn planted_prints_are_found() {
    let found = |source: &str| Source::parse(source).prints().len();
    assert_eq!(found("fn f() { println!(\"a\"); eprint!(\"b\"); dbg!(1); }"), 3);
    assert_eq!(found("use std::io;\nfn f() { io::stdout().lock(); writeln!(std::io::stderr(), \"\"); }"), 2);
    assert_eq!(found("fn f() { std::io::stdout().is_terminal(); command.stdout(piped); // println!()\n }"), 0);
}
