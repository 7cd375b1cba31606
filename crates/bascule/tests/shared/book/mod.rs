//! The book in `docs`, as its tests read it: pages, their fenced blocks, and a shell that does what they say.

mod expected;
mod shell;

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

pub(crate) use shell::{Shell, Stage};

/// A page of the book.
pub(crate) struct Page {
    /// Below `docs/src`.
    pub(crate) path: PathBuf,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block: its text, and what stands behind the fence.
pub(crate) struct Block {
    pub(crate) line: usize,
    pub(crate) language: String,
    /// `file=NAME`: a reader is told to write it there.
    pub(crate) file: Option<String>,
    /// `lab`: its commands need an Incus.
    pub(crate) lab: bool,
    /// What behind the fence is none of these.
    pub(crate) unknown: Vec<String>,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn parse(path: PathBuf, text: &str) -> Self {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (event, range) in Parser::new(text).into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    let line = text[..range.start].lines().count() + 1;
                    open = Some(Block::open(line, &info));
                }
                Event::Text(piece) => open.iter_mut().for_each(|block| block.text.push_str(&piece)),
                Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
                _ => {}
            }
        }
        Self { path, blocks }
    }

    /// Its commands are run by the tests with a real Incus, all others by the tests without.
    pub(crate) fn needs_lab(&self) -> bool {
        self.blocks.iter().any(|block| block.lab)
    }
}

impl Block {
    fn open(line: usize, info: &str) -> Self {
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default().to_owned();
        let mut block = Self { line, language, file: None, lab: false, unknown: Vec::new(), text: String::new() };
        for word in words {
            match word.split_once('=') {
                Some(("file", name)) => block.file = Some(name.to_owned()),
                None if word == "lab" => block.lab = true,
                _ => block.unknown.push(word.to_owned()),
            }
        }
        block
    }
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src").canonicalize().unwrap()
}

/// All pages, in the order of the table of contents.
pub(crate) fn pages() -> Vec<Page> {
    let summary = fs::read_to_string(folder().join("SUMMARY.md")).unwrap();
    let pages: Vec<Page> = links(&summary)
        .into_iter()
        .map(|link| {
            let text = fs::read_to_string(folder().join(&link)).unwrap_or_else(|error| panic!("{link}: {error}"));
            Page::parse(link.into(), &text)
        })
        .collect();
    assert!(pages.len() > 10, "the table of contents has {} pages", pages.len());
    pages
}

/// Where the links of a page lead, as they are written.
pub(crate) fn links(text: &str) -> Vec<String> {
    let links = Parser::new(text).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    });
    links.collect()
}
