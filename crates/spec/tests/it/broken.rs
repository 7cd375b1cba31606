//! Files under `tests/broken`, each with a mistake, and what is said of them (`tests/snapshots`).
//! `INSTA_UPDATE=always cargo test -p bascule-spec` writes what is said anew.

use std::fs;
use std::path::{Path, PathBuf};

use bascule_spec::{Diagnostics, load};

use crate::{Memory, SMALL, public_key};

#[test]
fn every_mistake_is_shown_with_its_place_its_reason_and_its_remedy() {
    let cases = cases();
    assert!(cases.len() >= 22, "{} files", cases.len());
    for (name, diagnostics) in cases {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, diagnostics.render(false));
        });
    }
}

#[test]
fn every_mistake_has_a_line_that_exists_and_a_remedy() {
    for (name, diagnostics) in cases() {
        assert!(!diagnostics.is_empty(), "{name} is not broken");
        for diagnostic in &diagnostics {
            assert!(diagnostic.line >= 1 && diagnostic.column >= 1, "{name}: {diagnostic}");
            assert!(!diagnostic.message.is_empty() && !diagnostic.help.trim().is_empty(), "{name}: {diagnostic}");
            let plain = format!("{}:{}:{}: ", diagnostic.file.display(), diagnostic.line, diagnostic.column);
            assert!(diagnostics.to_string().contains(&plain), "{name}: {diagnostic}");
        }
        assert!(!name.contains("three") || diagnostics.len() == 3, "{name}: {diagnostics}");
    }
}

#[test]
fn mistakes_are_sorted_by_file_and_position() {
    for (name, diagnostics) in cases() {
        let places: Vec<_> = diagnostics.iter().map(|found| (&found.file, found.line, found.column)).collect();
        assert!(places.is_sorted(), "{name}: {places:?}");
    }
}

#[test]
fn a_mistake_in_an_overlay_points_into_the_overlay() {
    let diagnostics = diagnostics("overlay_value");
    let overlay = diagnostics.iter().filter(|found| found.file.ends_with("env/test.toml"));
    assert_eq!(overlay.map(|found| found.line).collect::<Vec<_>>(), [7, 10]);
    assert!(diagnostics.iter().any(|found| found.file.ends_with("platform.toml")), "{diagnostics}");
}

#[test]
fn columns_are_counted_in_characters_and_spans_in_bytes() {
    let diagnostics = diagnostics("unicode");
    let found = diagnostics.iter().find(|found| found.message.contains("WORKERS")).unwrap();
    assert_eq!(found.column, 42);
    assert_eq!(found.span.len(), 1);
}

#[test]
fn colour_is_only_there_when_it_is_asked_for() {
    let diagnostics = diagnostics("unknown_key");
    assert!(!diagnostics.render(false).contains('\u{1b}'));
    assert!(diagnostics.render(true).contains('\u{1b}'));
}

#[test]
fn a_program_reads_the_same_as_a_person() {
    let json = serde_json::to_value(diagnostics("unknown_key")).unwrap();
    let first = &json[0];
    assert_eq!(first["file"], "/etc/shop/platform.toml");
    assert_eq!(first["message"], "`replica` is not a key of [component.api]");
    assert_eq!(first["help"], "did you mean `replicas`?");
    assert_eq!((&first["line"], &first["column"]), (&24.into(), &1.into()));
}

#[test]
fn a_private_key_is_never_repeated() {
    let secret = "b3BlbnNzaC1rZXktdjE";
    let keys = format!("authorized_keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\\n{secret}\"]");
    let file = SMALL.replace("authorized_keys_file = \"operators.pub\"", &keys);
    let diagnostics = Memory::new(&file, "").load().unwrap_err();
    assert!(diagnostics.to_string().contains("this is a private key"), "{diagnostics}");
    let said = format!("{diagnostics} {diagnostics:?} {}", diagnostics.render(false));
    assert!(!said.contains(secret), "{said}");
    assert_eq!(diagnostics.iter().next().unwrap().line, 9);
}

#[test]
fn an_unknown_environment_is_answered_with_those_that_exist() {
    let files = Memory::new(SMALL, "");
    let platform_file = Path::new("/etc/shop/platform.toml");
    let diagnostics = load(&files, platform_file, "stagign").unwrap_err();
    let message = "there is no environment `stagign`: no file `env/stagign.toml` beside this one";
    let help =
        "did you mean `staging`? there are `staging` and `test`; a new one is a file beside them, which may be empty";
    assert_eq!(diagnostics.to_string(), format!("/etc/shop/platform.toml:1:1: {message}\n  help: {help}"));
    for no_name in ["../env/test", "Test", "test.secrets", ""] {
        let diagnostics = load(&files, platform_file, no_name).unwrap_err();
        assert!(diagnostics.to_string().contains("cannot be the name of an environment"), "{diagnostics}");
    }
}

#[test]
fn a_platform_file_that_is_not_there_is_a_mistake_too() {
    let diagnostics = load(&Memory::default(), Path::new("platform.toml"), "test").unwrap_err();
    assert_eq!(diagnostics.len(), 1, "{diagnostics}");
    assert!(diagnostics.render(false).contains("platform.toml:1:1"), "{diagnostics}");
    assert!(diagnostics.to_string().contains("the file cannot be read: no such file"), "{diagnostics}");
}

#[test]
fn keys_of_the_list_and_of_the_file_add_up() {
    let both = format!("authorized_keys = [\"{}\"]\nauthorized_keys_file", public_key());
    let platform = crate::loaded(&SMALL.replace("authorized_keys_file", &both), "");
    assert_eq!(platform.ssh.authorized_keys.len(), 2);
}

fn cases() -> Vec<(String, Diagnostics)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let names = paths.iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.map(|name| (name.clone(), diagnostics(&name))).collect()
}

fn diagnostics(name: &str) -> Diagnostics {
    let platform = fs::read_to_string(folder().join(name).with_extension("toml")).unwrap();
    let overlay = fs::read_to_string(folder().join("env").join(name).with_extension("toml")).unwrap_or_default();
    match Memory::new(&platform, &overlay).load() {
        Ok(_) => panic!("nothing was found wrong with {name}"),
        Err(diagnostics) => diagnostics,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}
