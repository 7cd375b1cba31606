//! The book: what it says is true, and what it tells to type works. Pages that need an Incus are for the lab's tests.

#[path = "../shared/book/mod.rs"]
mod shared;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use shared::{Shell, Stage, folder, links, pages};

use crate::valid::valid;

#[test]
fn every_page_is_in_the_table_of_contents() {
    let listed: BTreeSet<_> = pages().into_iter().map(|page| page.path).collect();
    let mut there = BTreeSet::new();
    for part in ["", "tutorial", "how-to", "reference", "explanation"] {
        for entry in fs::read_dir(folder().join(part)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") && name != "SUMMARY.md" {
                there.insert(Path::new(part).join(name));
            }
        }
    }
    assert_eq!(listed, there);
}

#[test]
fn every_link_of_the_book_leads_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(folder().join(&page.path)).unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = folder().join(page.path.parent().unwrap()).join(path);
            let target = if path.is_empty() { folder().join(&page.path) } else { target };
            let there =
                fs::read_to_string(&target).is_ok_and(|text| anchor.is_empty() || anchors(&text).contains(anchor));
            if !there {
                broken.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn a_heading_is_an_anchor() {
    assert_eq!(
        anchors("# One `two`\n\ntext\n\n## [network] subnet, & more\n"),
        ["one-two", "network-subnet--more"].map(str::to_owned).into()
    );
}

/// The headings of a page, as mdBook makes anchors of them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(piece) | Event::Code(piece) => heading.iter_mut().for_each(|heading| heading.push_str(&piece)),
            Event::End(TagEnd::Heading(_)) => anchors.extend(heading.take().map(|heading| slug(&heading))),
            _ => {}
        }
    }
    anchors
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(char::is_whitespace, "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn every_block_is_of_a_kind_that_a_test_reads() {
    let platform = jsonschema::validator_for(&bascule_spec::schema()).unwrap();
    for page in pages() {
        for block in &page.blocks {
            let place = format!("{}:{}", page.path.display(), block.line);
            assert!(block.unknown.is_empty(), "{place}: {:?} says nothing to a test", block.unknown);
            match block.language.as_str() {
                "console" => assert!(block.text.starts_with("$ "), "{place}: it begins with no command"),
                "json" => block.text.lines().for_each(|line| _ = valid(serde_json::from_str(line).unwrap())),
                "toml" => {
                    let value: serde_json::Value = toml_edit::de::from_str(&block.text).unwrap();
                    let wrong: Vec<String> = platform.iter_errors(&value).map(|error| error.to_string()).collect();
                    assert!(wrong.is_empty(), "{place}: {wrong:#?}");
                }
                "text" => assert!(
                    !is_command(&block.text)
                        || page.path.starts_with("reference")
                        || WITH_COMMANDS_NOT_RUN.iter().any(|known| page.path == Path::new(known)),
                    "{place}: a command that no test runs"
                ),
                _ => assert!(block.file.is_some(), "{place}: {} that is in no file is never tried", block.language),
            }
        }
    }
}

/// The pages that show commands which want what a test has not: machines of their own, a pipeline. The introduction names
/// them.
const WITH_COMMANDS_NOT_RUN: [&str; 7] = [
    "how-to/prepare-your-servers.md",
    "how-to/drive-it-from-a-pipeline.md",
    "how-to/run-redis.md",
    "how-to/run-postgresql.md",
    "how-to/back-up-postgresql.md",
    "how-to/run-an-object-store.md",
    "how-to/run-an-edge-cache.md",
];

fn is_command(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("$ ") || line.starts_with("bascule "))
}

#[test]
fn what_the_book_tells_to_type_works() {
    let tool = Path::new(env!("CARGO_BIN_EXE_bascule"));
    let mut run = 0;
    for page in pages().iter().filter(|page| !page.needs_lab()) {
        let folder = tempfile::TempDir::new().unwrap();
        Shell::start(folder.path(), tool, Stage::default()).follow(page);
        run += page.blocks.iter().filter(|block| block.language == "console").count();
    }
    assert!(run >= 5, "only {run} blocks were run");
}

#[test]
fn a_page_that_is_wrong_is_found() {
    let tool = Path::new(env!("CARGO_BIN_EXE_bascule"));
    let fails = |text: &str| {
        let page = shared::Page::parse("page.md".into(), text);
        let folder = tempfile::TempDir::new().unwrap();
        std::panic::catch_unwind(|| Shell::start(folder.path(), tool, Stage::default()).follow(&page)).is_err()
    };
    assert!(!fails(
        "```toml file=a/b.toml\nname = 1\n```\n\n```console\n$ cd a\n$ cat b.toml\nname = 1\n$ false\n$ echo $?\n1\n```\n"
    ));
    assert!(!fails("```console\n$ cat <<X\n> two\n> X\ntwo\n```\n"));
    assert!(fails("```console\n$ false\n```\n"), "a command that fails");
    assert!(fails("```console\n$ echo one\ntwo\n```\n"), "other output");
    assert!(fails("```console\n$ bascule --version\nbascule 9.9.9\n```\n"), "another version");
}
