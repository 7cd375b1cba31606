use std::collections::BTreeMap;

use bascule_plan::{Content, File};

use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::{Pending, Touches};
use crate::place::{stage_file, swap_in};
use crate::system::{Access, Kind, Meta, System};
use crate::unit_record::owe_readers_of;

impl Converge for File {
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure> {
        let planned = content(self, cx)?;
        let (access, present) = match present(&self.path, cx, pending)? {
            Ok(present) => present,
            Err(why) => return Ok(Verdict::Differs(why)),
        };
        let content = if present == planned.as_bytes() { None } else { Some(difference(&present, &self.content, cx)?) };
        Ok(verdict(content, &access, &wanted(self), || "content and mode are as planned".to_owned()))
    }

    fn apply(&self, cx: &Context<'_>, _: Progress<'_>) -> Result<Applied, Failure> {
        replace(cx.system, &self.path, content(self, cx)?.as_bytes(), &wanted(self), &self.validate)
    }

    fn touches(&self) -> Touches {
        Touches::Path(self.path.clone())
    }
}

/// Owner and mode of the file at a path, and what is in it; otherwise why there is none.
pub(super) fn present(
    path: &str,
    cx: &Context<'_>,
    pending: &Pending,
) -> Result<Result<(Access, Vec<u8>), String>, Failure> {
    if let Some(changed) = pending.affecting(path) {
        return Ok(Err(format!("lies where {changed} changes above")));
    }
    let Some(meta) = cx.system.metadata(path)? else {
        return Ok(Err("does not exist".to_owned()));
    };
    match meta.kind {
        Kind::File => Ok(Ok((meta.access, cx.system.read(path)?))),
        Kind::Symlink { target } => Ok(Err(format!("is a symlink to {target}, not a file"))),
        Kind::Directory | Kind::Other => {
            Err(Failure::new(format!("{path} is something else than a file; it is left alone")))
        }
    }
}

/// From what is wrong with a file's content, if anything, and its owner and mode.
pub(super) fn verdict(
    content: Option<String>,
    access: &Access,
    wanted: &Access,
    right: impl FnOnce() -> String,
) -> Verdict {
    let access = (access != wanted).then(|| format!("is {access}, not {wanted}"));
    match (content, access) {
        (None, None) => Verdict::Right(right()),
        (None, Some(access)) => Verdict::DiffersInAccess(access),
        (Some(content), None) => Verdict::Differs(content),
        (Some(content), Some(access)) => Verdict::Differs(format!("{content}; {access}")),
    }
}

/// Puts new content at a path; whoever reads it is owed a start, unless it is what was there.
pub(super) fn replace(
    system: &dyn System,
    path: &str,
    content: &[u8],
    access: &Access,
    validate: &[String],
) -> Result<Applied, Failure> {
    let same = matches!(system.metadata(path)?, Some(Meta { kind: Kind::File, .. })) && system.read(path)? == content;
    let staged = stage_file(system, path, content, access, validate)?;
    if !same {
        owe_readers_of(path, system)?;
    }
    swap_in(system, &staged, path)?;
    Ok(Applied::check_again())
}

fn content<'a>(file: &'a File, cx: &'a Context<'_>) -> Result<&'a str, Failure> {
    match &file.content {
        Content::Text(text) => Ok(text),
        Content::Secret(secret) => Ok(&cx.secret(&secret.name)?.value),
    }
}

fn wanted(file: &File) -> Access {
    Access { owner: file.owner.clone(), group: file.group.clone(), mode: file.mode }
}

/// Of a secret not even how many lines: its shape is part of it.
fn difference(present: &[u8], planned: &Content, cx: &Context<'_>) -> Result<String, Failure> {
    Ok(match planned {
        Content::Text(text) => describe_difference(present, text),
        Content::Secret(secret) => {
            let before = cx.secret(&secret.name)?.fingerprint_key.fingerprint(present);
            format!("it is {before}, not {}", secret.fingerprint)
        }
    })
}

/// How many planned lines are not there, or are too many; never what they say.
fn describe_difference(present: &[u8], planned: &str) -> String {
    let present = String::from_utf8_lossy(present);
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    planned.lines().for_each(|line| *counts.entry(line).or_default() += 1);
    present.lines().for_each(|line| *counts.entry(line).or_default() -= 1);
    let new: i64 = counts.values().filter(|count| **count > 0).sum();
    let gone: i64 = -counts.values().filter(|count| **count < 0).sum::<i64>();
    match new.max(gone) {
        0 => "content differs (order or line ends)".to_owned(),
        lines => format!("content differs ({lines} of {} lines)", planned.lines().count().max(present.lines().count())),
    }
}
