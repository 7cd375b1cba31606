use bascule_plan::Directory;

use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::Pending;
use crate::place::{make_parents, parent};
use crate::system::{Access, Kind};

impl Converge for Directory {
    fn check(&self, cx: &Context<'_>, _: &Pending) -> Result<Verdict, Failure> {
        let Some(meta) = cx.system.metadata(&self.path)? else {
            return Ok(Verdict::Differs("does not exist".to_owned()));
        };
        if meta.kind != Kind::Directory {
            return Err(Failure::new(format!("{} is something else than a directory; it is left alone", self.path)));
        }
        Ok(match meta.access == wanted(self) {
            true => Verdict::Right("exists, owner and mode are as planned".to_owned()),
            false => Verdict::Differs(format!("is {}, not {}", meta.access, wanted(self))),
        })
    }

    fn apply(&self, cx: &Context<'_>, _: Progress<'_>) -> Result<Applied, Failure> {
        make_parents(cx.system, &self.path)?;
        if cx.system.metadata(&self.path)?.is_none() {
            // Closed until it belongs to whom it should.
            cx.system.make_dir(&self.path, 0o700)?;
            cx.system.sync_dir(parent(&self.path))?;
        }
        cx.system.set_access(&self.path, &wanted(self))?;
        Ok(Applied::check_again())
    }
}

fn wanted(directory: &Directory) -> Access {
    Access { owner: directory.owner.clone(), group: directory.group.clone(), mode: directory.mode }
}
