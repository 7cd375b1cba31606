//! `bascule init`: what a newcomer begins with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use bascule_secrets::{Place, SecretsFile};
use tempfile::TempDir;

use super::{Ran, public_key};

/// A person with a home and an SSH key, in an empty folder.
struct Newcomer(TempDir);

impl Newcomer {
    fn new() -> Self {
        let newcomer = Self(TempDir::new().unwrap());
        fs::create_dir_all(newcomer.path("home/.ssh")).unwrap();
        fs::write(newcomer.path("home/.ssh/id_ed25519.pub"), public_key()).unwrap();
        newcomer
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "the tool is what is tested")]
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("HOME", self.path("home"));
        Ran::of(command.output().unwrap())
    }

    /// Every file below a folder, with its content.
    fn all(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let mut folders = vec![self.path(folder)];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match entry.is_dir() {
                    true => folders.push(entry),
                    false => files.push((entry.to_str().unwrap().to_owned(), fs::read(&entry).unwrap())),
                }
            }
        }
        files.sort();
        files
    }

    fn secrets(&self, environment: &str) -> SecretsFile {
        let place = Place::beside(&self.path("shop/platform.toml"), environment);
        SecretsFile::open(place, &self.path("home/.config/bascule/age.key")).unwrap()
    }
}

#[test]
fn a_starter_is_sound_and_its_secrets_are_drawn() {
    let newcomer = Newcomer::new();
    newcomer.run(&["init", "shop"]).expect(0, &["shop/platform.toml", "drew admin_token", "README.md"]);
    newcomer.run(&["check", "--platform", "shop/platform.toml"]).expect(0, &["shop/lab is sound: 5 instances"]);
    assert_eq!(newcomer.secrets("lab").value("admin_token").unwrap().len(), 64);
    let mode = |name: &str| fs::metadata(newcomer.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("home/.config/bascule/age.key"), 0o600);
    assert_eq!(mode("home/.config/bascule"), 0o700);
    assert_eq!(mode("shop/build"), 0o755);
    // What is to be committed says nothing that is a secret, and holds no placeholder.
    let token = newcomer.secrets("lab").value("admin_token").unwrap().to_owned();
    for (name, content) in newcomer.all("shop") {
        let text = String::from_utf8(content).unwrap();
        assert!(!text.contains(&token) && !text.contains("AGE-SECRET-KEY") && !text.contains("{{"), "{name}");
    }
}

#[test]
fn again_it_changes_nothing() {
    let newcomer = Newcomer::new();
    newcomer.run(&["init", "shop"]).expect(0, &[]);
    let before = newcomer.all(".");
    newcomer.run(&["init", "shop"]).expect(0, &["nothing changed"]);
    assert_eq!(newcomer.all("."), before);
}

#[test]
fn an_environment_that_is_added_gets_secrets_of_its_own() {
    let newcomer = Newcomer::new();
    newcomer.run(&["init", "shop"]).expect(0, &[]);
    let lab = newcomer.secrets("lab").value("admin_token").unwrap().to_owned();
    fs::write(newcomer.path("shop/env/prod.toml"), "[network]\nbridge = \"shop-prod\"\nsubnet = \"10.81.0.0/24\"\n")
        .unwrap();
    newcomer.run(&["init", "shop"]).expect(0, &["prod.secrets.age", "drew admin_token"]);
    assert_eq!(newcomer.secrets("lab").value("admin_token").unwrap(), lab);
    assert_ne!(newcomer.secrets("prod").value("admin_token").unwrap(), lab);
}

#[test]
fn a_clone_and_the_age_key_are_enough_elsewhere() {
    let newcomer = Newcomer::new();
    newcomer.run(&["init", "shop"]).expect(0, &[]);
    let elsewhere = Newcomer::new();
    copy(&newcomer.path("shop"), &elsewhere.path("shop"));
    let plan = ["plan", "--platform", "shop/platform.toml"];
    elsewhere.run(&plan).expect(2, &["there is no age key"]);
    copy(&newcomer.path("home/.config"), &elsewhere.path("home/.config"));
    let show = ["secrets", "show", "admin_token", "--platform", "shop/platform.toml"];
    let value = newcomer.secrets("lab").value("admin_token").unwrap().to_owned();
    assert_eq!(elsewhere.run(&show).stdout.trim(), value);
    elsewhere.run(&["init", "shop"]).expect(0, &["nothing changed"]);
}

#[test]
fn what_is_in_the_way_is_named_and_nothing_is_written() {
    let newcomer = Newcomer::new();
    fs::create_dir(newcomer.path("shop")).unwrap();
    fs::write(newcomer.path("shop/README.md"), "mine").unwrap();
    fs::write(newcomer.path("shop/build"), [0xff]).unwrap();
    let before = newcomer.all(".");
    newcomer.run(&["init", "shop"]).expect(2, &["has files in the way already: README.md, build"]);
    assert_eq!(newcomer.all("."), before);
}

#[test]
fn without_an_ssh_key_nothing_is_written_and_the_remedy_is_told() {
    let newcomer = Newcomer::new();
    fs::remove_dir_all(newcomer.path("home/.ssh")).unwrap();
    newcomer.run(&["init", "shop"]).expect(2, &["you have no SSH key", "ssh-keygen -t ed25519"]);
    assert!(newcomer.all(".").is_empty());
}

#[test]
fn a_platform_that_is_not_sound_is_told_before_anything_is_written() {
    let newcomer = Newcomer::new();
    newcomer.run(&["init", "shop"]).expect(0, &[]);
    let text = fs::read_to_string(newcomer.path("shop/platform.toml")).unwrap();
    fs::write(newcomer.path("shop/platform.toml"), text.replace("replicas", "replicaz")).unwrap();
    fs::remove_file(newcomer.path("shop/env/lab.secrets.age")).unwrap();
    newcomer.run(&["init", "shop"]).expect(2, &["did you mean `replicas`?"]);
    assert!(!newcomer.path("shop/env/lab.secrets.age").exists());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => _ = fs::copy(entry.path(), to.join(entry.file_name())).unwrap(),
        }
    }
}
