#![allow(clippy::unwrap_used)]

mod archives;
mod certificates;
mod commands;
mod files;
mod generations;
mod killed;
mod packages_and_users;
mod real;
mod secrets;
mod units;
mod waits;

use std::collections::BTreeMap;

use bascule_plan::agent::{Mode, Outcome, Report, Request, SecretValue};
use bascule_plan::{
    Archive, Blob, Command, Content, Directory, File, FingerprintKey, Resource, Secret, Step, Symlink, Unit, UnitState,
};
use sha2::{Digest, Sha256};

use crate::fake::Machine;
use crate::system::System;

/// What was said of one step at its end.
#[derive(Debug)]
struct Said {
    outcome: Outcome,
    reason: String,
    evidence: bascule_plan::agent::Evidence,
}

fn request(mode: Mode, resources: &[Resource]) -> Request {
    let step = |(index, resource): (usize, &Resource)| Step {
        id: format!("test/{index}"),
        title: format!("step {index}"),
        resource: resource.clone(),
    };
    let secrets = BTreeMap::from([("token".to_owned(), secret("token", "hunter2-hunter2"))]);
    let steps = resources.iter().enumerate().map(step).collect();
    Request { mode, generation: None, steps, secrets, certificates: BTreeMap::new() }
}

fn secret(name: &str, value: &str) -> SecretValue {
    SecretValue { value: value.to_owned(), fingerprint_key: FingerprintKey::derive("test", name) }
}

/// Runs to the end, and gives what was said of each step.
fn agent(machine: &Machine, mode: Mode, resources: &[Resource]) -> Vec<Said> {
    let run = machine.agent(&request(mode, resources));
    assert!(!run.killed);
    ends(&run.reports)
}

fn check(machine: &Machine, resources: &[Resource]) -> Vec<Said> {
    agent(machine, Mode::Check, resources)
}

fn apply(machine: &Machine, resources: &[Resource]) -> Vec<Said> {
    agent(machine, Mode::Apply, resources)
}

/// On any system, for one resource.
fn one(system: &dyn System, mode: Mode, resource: &Resource) -> Said {
    let mut reports = Vec::new();
    crate::run(&request(mode, std::slice::from_ref(resource)), system, &mut |report| reports.push(report));
    ends(&reports).pop().unwrap()
}

fn ends(reports: &[Report]) -> Vec<Said> {
    assert_eq!(reports.last(), Some(&Report::Done), "a whole stream ends with Done");
    let end = |report: &Report| match report.clone() {
        Report::End { outcome, reason, evidence, .. } => Some(Said { outcome, reason, evidence }),
        _ => None,
    };
    reports.iter().filter_map(end).collect()
}

fn outcomes(said: &[Said]) -> Vec<Outcome> {
    said.iter().map(|said| said.outcome).collect()
}

/// Checks, applies, checks and applies again: what was predicted happens, and then there is nothing to do.
fn converges(machine: &Machine, resource: Resource) -> Said {
    let resources = [resource];
    let before = machine.paths_below("/");
    let predicted = check(machine, &resources).pop().unwrap();
    assert_eq!(predicted.outcome, Outcome::WouldChange, "{predicted:?}");
    assert_eq!(machine.paths_below("/"), before, "a check changes nothing");
    let applied = apply(machine, &resources).pop().unwrap();
    assert_eq!(applied.outcome, Outcome::Changed, "{applied:?}");
    assert_eq!(applied.reason, predicted.reason, "the plan said why");
    assert_eq!(outcomes(&check(machine, &resources)), [Outcome::Unchanged]);
    assert_eq!(outcomes(&apply(machine, &resources)), [Outcome::Unchanged]);
    applied
}

fn file(path: &str, text: &str) -> Resource {
    Resource::File(text_file(path, text))
}

fn text_file(path: &str, text: &str) -> File {
    let content = Content::Text(text.to_owned());
    File {
        path: path.to_owned(),
        content,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        mode: 0o644,
        validate: vec![],
    }
}

fn validated(path: &str, text: &str, validate: &[&str]) -> Resource {
    Resource::File(File { validate: words(validate), ..text_file(path, text) })
}

fn secret_file(path: &str, owner: &str) -> Resource {
    let (owner, group) = (owner.to_owned(), owner.to_owned());
    let fingerprint = FingerprintKey::derive("test", "token").fingerprint(b"hunter2-hunter2");
    let content = Content::Secret(Secret { name: "token".to_owned(), fingerprint });
    Resource::File(File { content, owner, group, mode: 0o400, ..text_file(path, "") })
}

fn directory(path: &str, owner: &str, mode: u32) -> Resource {
    Resource::Directory(Directory { path: path.to_owned(), owner: owner.to_owned(), group: owner.to_owned(), mode })
}

fn symlink(path: &str, target: &str) -> Resource {
    Resource::Symlink(Symlink { path: path.to_owned(), target: target.to_owned() })
}

fn unit(name: &str, state: UnitState, inputs: &[&str], reload_inputs: &[&str]) -> Resource {
    Resource::Unit(Unit { name: name.to_owned(), state, inputs: words(inputs), reload_inputs: words(reload_inputs) })
}

fn command(argv: &[&str], unless: &[&str]) -> Resource {
    Resource::Command(Command {
        argv: words(argv),
        unless: words(unless),
        reads: vec![],
        env: BTreeMap::new(),
        timeout_ms: 5_000,
    })
}

/// An archive step and the bytes of its blob.
fn archive(path: &str, name: &str, bytes: &[u8]) -> (Archive, Vec<u8>) {
    let sha256 = crate::digest::hex(&Sha256::digest(bytes));
    let blob = Blob { sha256, bytes: bytes.len() as u64, name: name.to_owned() };
    (Archive { path: path.to_owned(), blob }, bytes.to_vec())
}

/// A `tar.gz` of files; a name that ends in `*` is a program.
fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    pack(|builder| {
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(if name.ends_with('*') { 0o700 } else { 0o666 });
            builder.append_data(&mut header, name.trim_end_matches('*'), content.as_bytes()).unwrap();
        }
    })
}

fn pack(fill: impl FnOnce(&mut tar::Builder<flate2::write::GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    fill(&mut builder);
    builder.into_inner().unwrap().finish().unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
