//! What a `Cargo.toml` says of its crate's dependencies.

use std::fs;
use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike};

/// A crate and what it depends on.
pub(super) struct Manifest {
    pub(super) name: String,
    /// What is built with it and into it, for whatever target; by their own names, not by what it calls them.
    pub(super) dependencies: Vec<String>,
    /// What its tests use beside that.
    test_dependencies: Vec<String>,
}

impl Manifest {
    fn parse(text: &str) -> Self {
        let document: DocumentMut = text.parse().unwrap();
        let targets = document.get("target").and_then(Item::as_table_like);
        let targets = targets.into_iter().flat_map(TableLike::iter).filter_map(|(_, item)| item.as_table_like());
        let tables: Vec<&dyn TableLike> = targets.chain([document.as_table() as &dyn TableLike]).collect();
        let of = |kinds: &[&str]| {
            let found =
                tables.iter().flat_map(|table| kinds.iter().filter_map(|kind| table.get(kind)?.as_table_like()));
            let mut names: Vec<String> =
                found.flat_map(TableLike::iter).map(|(key, item)| own_name(key, item)).collect();
            names.sort();
            names
        };
        Self {
            name: document["package"]["name"].as_str().unwrap().to_owned(),
            dependencies: of(&["dependencies", "build-dependencies"]),
            test_dependencies: of(&["dev-dependencies"]),
        }
    }

    /// Each dependency on a crate of the workspace that the table does not allow.
    pub(super) fn wrong_arrows(&self, table: &[(&str, &[&str])]) -> Vec<String> {
        let name = &self.name;
        let Some((_, allowed)) = table.iter().find(|(known, _)| known == name) else {
            return vec![format!("the table has no row for {name}")];
        };
        let is_ours = |other: &&String| table.iter().any(|(known, _)| known == other);
        // A test may use whatever there is on its own side of the line between the tool and its customer.
        let is_tool = |name: &str| name.starts_with("bascule");
        let wrong = self.dependencies.iter().filter(is_ours).filter(|other| !allowed.contains(&other.as_str()));
        let across = self.test_dependencies.iter().filter(is_ours).filter(|other| is_tool(name) != is_tool(other));
        wrong.chain(across).map(|other| format!("{name} must not depend on {other}")).collect()
    }
}

/// The members of the workspace, in the order of their folders.
pub(super) fn members(root: &Path) -> Vec<(String, Manifest)> {
    let workspace: DocumentMut = fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let patterns = workspace["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
    let mut folders: Vec<String> = patterns.flat_map(|pattern| expand(root, pattern)).collect();
    folders.sort();
    let manifest =
        |folder: &String| Manifest::parse(&fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap());
    folders.iter().map(|folder| (folder.clone(), manifest(folder))).collect()
}

fn expand(root: &Path, pattern: &str) -> Vec<String> {
    let Some(parent) = pattern.strip_suffix("/*") else { return vec![pattern.to_owned()] };
    let entries = fs::read_dir(root.join(parent)).unwrap().map(|entry| entry.unwrap());
    let crates = entries.filter(|entry| entry.path().join("Cargo.toml").exists());
    crates.map(|entry| format!("{parent}/{}", entry.file_name().to_str().unwrap())).collect()
}

/// Whether the workspace takes a dependency without its default features.
pub(super) fn lacks_default_features(workspace: &str, name: &str) -> bool {
    let workspace: DocumentMut = workspace.parse().unwrap();
    let dependency = workspace["workspace"]["dependencies"].get(name);
    dependency.and_then(|item| item.get("default-features")).and_then(Item::as_bool) == Some(false)
}

fn own_name(key: &str, item: &Item) -> String {
    item.get("package").and_then(Item::as_str).unwrap_or(key).to_owned()
}

#[test]
fn a_planted_arrow_is_found_however_it_is_written() {
    let table: &[(&str, &[&str])] = &[("bascule-plan", &[]), ("bascule-spec", &["bascule-plan"]), ("veza-api", &[])];
    let wrong =
        |name: &str, rest: &str| Manifest::parse(&format!("[package]\nname = \"{name}\"\n{rest}")).wrong_arrows(table);
    let arrow = ["bascule-plan must not depend on bascule-spec"];
    assert_eq!(wrong("bascule-plan", "[dependencies]\nbascule-spec.workspace = true"), arrow);
    assert_eq!(wrong("bascule-plan", "[dependencies.bascule-spec]\npath = \"../spec\""), arrow);
    assert_eq!(
        wrong("bascule-plan", "[build-dependencies]\nspec = { package = \"bascule-spec\", path = \"\" }"),
        arrow
    );
    assert_eq!(wrong("bascule-plan", "[target.'cfg(unix)'.dependencies]\nbascule-spec.workspace = true"), arrow);
    let customer = ["bascule-plan must not depend on veza-api"];
    assert_eq!(wrong("bascule-plan", "[dev-dependencies]\nveza-api = { path = \"\" }"), customer);
    let tool = ["veza-api must not depend on bascule-plan"];
    assert_eq!(wrong("veza-api", "[dependencies]\nbascule-plan.workspace = true"), tool);
    assert_eq!(wrong("bascule-new", ""), ["the table has no row for bascule-new"]);
    assert!(wrong("bascule-spec", "[dependencies]\nbascule-plan.workspace = true\nserde = \"1\"").is_empty());
    assert!(wrong("bascule-plan", "[dev-dependencies]\nbascule-spec.workspace = true").is_empty());
}

#[test]
fn planted_default_features_are_found() {
    let lacks =
        |dependency: &str| lacks_default_features(&format!("[workspace.dependencies]\n{dependency}"), "jsonschema");
    assert!(lacks("jsonschema = { version = \"1\", default-features = false }"));
    assert!(!lacks("jsonschema = { version = \"1\", default-features = true }"));
    assert!(!lacks("jsonschema = \"1\""));
    assert!(!lacks(""));
}
