use std::collections::BTreeMap;

use bascule_plan::{Content, File};

use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::{Pending, Touches};
use crate::place::{stage_file, swap_in};
use crate::system::{Access, Kind, Meta};
use crate::unit_record::owe_readers_of;

impl Converge for File {
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure> {
        let content = content(self, cx)?;
        if let Some(changed) = pending.affecting(&self.path) {
            return Ok(Verdict::Differs(format!("lies where {changed} changes above")));
        }
        let Some(meta) = cx.system.metadata(&self.path)? else {
            return Ok(Verdict::Differs("does not exist".to_owned()));
        };
        match meta.kind {
            Kind::File => {}
            Kind::Symlink { target } => return Ok(Verdict::Differs(format!("is a symlink to {target}, not a file"))),
            Kind::Directory | Kind::Other => {
                return Err(Failure::new(format!("{} is something else than a file; it is left alone", self.path)));
            }
        }
        let present = cx.system.read(&self.path)?;
        let content = (present != content.as_bytes()).then(|| match &self.content {
            Content::Text(text) => describe_difference(&present, text),
            // Not even how many lines: a secret's shape is part of it.
            Content::Secret(_) => "content differs".to_owned(),
        });
        let access = (meta.access != wanted(self)).then(|| format!("is {}, not {}", meta.access, wanted(self)));
        Ok(match (content, access) {
            (None, None) => Verdict::Right("content and mode are as planned".to_owned()),
            (None, Some(access)) => Verdict::DiffersInAccess(access),
            (Some(content), None) => Verdict::Differs(content),
            (Some(content), Some(access)) => Verdict::Differs(format!("{content}; {access}")),
        })
    }

    fn apply(&self, cx: &Context<'_>, _: Progress<'_>) -> Result<Applied, Failure> {
        let content = content(self, cx)?.as_bytes();
        let same = matches!(cx.system.metadata(&self.path)?, Some(Meta { kind: Kind::File, .. }))
            && cx.system.read(&self.path)? == content;
        let staged = stage_file(cx.system, &self.path, content, &wanted(self), &self.validate)?;
        if !same {
            owe_readers_of(&self.path, cx.system)?;
        }
        swap_in(cx.system, &staged, &self.path)?;
        Ok(Applied::check_again())
    }

    fn touches(&self) -> Touches {
        Touches::Path(self.path.clone())
    }
}

fn content<'a>(file: &'a File, cx: &'a Context<'_>) -> Result<&'a str, Failure> {
    match &file.content {
        Content::Text(text) => Ok(text),
        Content::Secret(name) => cx.secret(name),
    }
}

fn wanted(file: &File) -> Access {
    Access { owner: file.owner.clone(), group: file.group.clone(), mode: file.mode }
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
