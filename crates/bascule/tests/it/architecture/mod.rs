//! `ARCHITECTURE.md` as a test: which crate may depend on which, and what a crate must not do.
//!
//! Who adds an arrow or an exception adds it to a table here, and says why.

mod manifests;
mod sources;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use manifests::Manifest;
use sources::Source;

/// Each crate with the crates of this workspace that it may depend on.
const ARROWS: [(&str, &[&str]); 13] = [
    ("bascule-spec", &[]),
    ("bascule-plan", &[]),
    ("bascule-roles", &["bascule-plan", "bascule-spec"]),
    ("bascule-pki", &["bascule-plan"]),
    ("bascule-agent", &["bascule-pki", "bascule-plan"]),
    ("bascule-incus", &[]),
    ("bascule-secrets", &["bascule-plan"]),
    ("bascule-engine", &["bascule-incus", "bascule-plan"]),
    ("bascule-release", &["bascule-engine", "bascule-incus", "bascule-plan", "bascule-roles", "bascule-spec"]),
    ("bascule", &PRODUCT),
    // Level 2 of the tests: nothing depends on it but tests.
    ("bascule-world", &PRODUCT),
    ("bascule-bench-scale", &["bascule-roles", "bascule-world"]),
    // The customer.
    ("veza-api", &[]),
];

const PRODUCT: [&str; 9] = [
    "bascule-agent",
    "bascule-engine",
    "bascule-incus",
    "bascule-pki",
    "bascule-plan",
    "bascule-release",
    "bascule-roles",
    "bascule-secrets",
    "bascule-spec",
];

/// Crates whose functions depend on their arguments only.
const PURE: [&str; 4] = ["bascule-spec", "bascule-plan", "bascule-pki", "bascule-roles"];

/// What pure crates may depend on beside each other, and for what. None of these does I/O as it is used here.
const PURE_DEPENDENCIES: [(&str, &str); 15] = [
    ("annotate-snippets", "draws diagnostics as text"),
    ("hmac", "keyed digests of bytes"),
    ("ipnet", "subnets as values"),
    ("jsonschema", "checks a value; without its default features it fetches no schema from a disk or a network"),
    ("minijinja", "fills templates that are in the program; without its default features it loads none"),
    ("p256", "signs and checks with the randomness it is given; without its default features it fetches none"),
    ("rand_core", "the trait by which randomness is given"),
    ("schemars", "makes a schema from types"),
    ("serde", "types to data"),
    ("serde_json", "data to text"),
    ("sha2", "digests of bytes"),
    ("ssh-key", "parses public keys; without its default features it has no disk and no random numbers"),
    ("strsim", "compares words"),
    ("thiserror", "derives errors"),
    ("x509-cert", "certificates to bytes and back"),
];
/// Parses TOML and keeps its places: only `spec` reads the platform file.
const SPEC_ONLY: &str = "toml_edit";
/// Those of them that could do I/O with their default features.
const WITHOUT_DEFAULT_FEATURES: [&str; 4] = ["jsonschema", "minijinja", "p256", "ssh-key"];

/// Who writes to standard output or standard error beside the renderers, and why.
const PRINTERS: [(&str, &str); 2] = [
    ("crates/agent/src/serve.rs", "the agent's answer to the engine, which called it"),
    ("crates/bascule/src/terminal.rs", "the bytes of a command that has this terminal for itself"),
];

#[test]
fn every_arrow_between_crates_is_in_the_table() {
    let wrong: Vec<String> = workspace().iter().flat_map(|(_, manifest)| manifest.wrong_arrows(&ARROWS)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_crate_is_in_the_table_and_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut names: Vec<String> = workspace().into_iter().map(|(_, manifest)| manifest.name).collect();
    for name in names.iter().filter(|name| name.starts_with("bascule")) {
        let short = name.trim_start_matches("bascule-");
        assert!(map.contains(&format!("\n| `{short}` |")), "ARCHITECTURE.md has no row for {short}");
    }
    let mut known: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    names.sort();
    known.sort_unstable();
    assert_eq!(names, known);
}

#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    for (_, manifest) in workspace().iter().filter(|(_, manifest)| PURE.contains(&manifest.name.as_str())) {
        for name in manifest.dependencies.iter().filter(|name| !PURE.contains(&name.as_str())) {
            let listed = PURE_DEPENDENCIES.iter().any(|(allowed, _)| allowed == name);
            let allowed = listed || (name == SPEC_ONLY && manifest.name == "bascule-spec");
            assert!(allowed, "{} depends on {name}: if that does no I/O, add it with its reason", manifest.name);
        }
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for name in WITHOUT_DEFAULT_FEATURES {
        assert!(manifests::lacks_default_features(&workspace, name), "{name} has its default features");
    }
}

#[test]
fn pure_crates_do_no_io() {
    for name in PURE {
        for (path, source) in sources(name) {
            let found = source.impurities();
            assert!(found.is_empty(), "{name} is pure, but {}: {found:#?}", path.display());
        }
    }
}

#[test]
fn only_renderers_print() {
    let mut unused: BTreeMap<&str, &str> = PRINTERS.into();
    for (folder, _) in workspace().iter().filter(|(folder, _)| folder.starts_with("crates")) {
        for (path, source) in sources::of(&root(), folder) {
            let path = path.to_str().unwrap();
            let found = source.prints();
            let excepted = !found.is_empty() && unused.remove(path).is_some();
            let allowed = excepted || path.starts_with("crates/bascule/src/render/");
            assert!(allowed || found.is_empty(), "only renderers print, but {path}: {found:#?}");
        }
    }
    assert!(unused.is_empty(), "these need no exception any more: {unused:#?}");
}

#[test]
fn the_tool_does_not_know_its_customer() {
    for (folder, _) in workspace().iter().filter(|(folder, _)| folder.starts_with("crates")) {
        for path in sources::files(&root().join(folder).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            assert!(!names_the_customer(&text), "{} names the customer", path.display());
        }
    }
}

#[test]
fn a_planted_name_of_the_customer_is_found() {
    assert!(names_the_customer("# as in Veza"));
    assert!(!names_the_customer("# as in any shop"));
}

fn names_the_customer(text: &str) -> bool {
    text.to_lowercase().contains("veza")
}

/// Every crate of the workspace: its folder below the root, and its manifest.
fn workspace() -> Vec<(String, Manifest)> {
    let crates = manifests::members(&root());
    assert!(crates.len() >= ARROWS.len(), "only {} crates were found", crates.len());
    crates
}

/// The sources of a crate without its tests; at least one.
fn sources(name: &str) -> Vec<(PathBuf, Source)> {
    let folder = workspace().into_iter().find(|(_, manifest)| manifest.name == name).unwrap().0;
    let sources = sources::of(&root(), &folder);
    assert!(!sources.is_empty(), "no source of {name} was found");
    sources
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
