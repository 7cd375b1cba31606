use bascule_plan::Symlink;

use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::{Pending, Touches};
use crate::place::{beside, make_parents, swap_in};
use crate::system::Kind;
use crate::unit_record::owe_readers_of;

impl Converge for Symlink {
    fn check(&self, cx: &Context<'_>, _: &Pending) -> Result<Verdict, Failure> {
        let target = &self.target;
        Ok(match cx.system.metadata(&self.path)?.map(|meta| meta.kind) {
            None => Verdict::Differs("does not exist".to_owned()),
            Some(Kind::Symlink { target: present }) if present == *target => {
                Verdict::Right(format!("points to {target}"))
            }
            Some(Kind::Symlink { target: present }) => Verdict::Differs(format!("points to {present}, not {target}")),
            Some(Kind::File) => Verdict::Differs("is a file, not a symlink".to_owned()),
            Some(Kind::Directory | Kind::Other) => {
                return Err(Failure::new(format!("{} is something else than a symlink; it is left alone", self.path)));
            }
        })
    }

    fn apply(&self, cx: &Context<'_>, _: Progress<'_>) -> Result<Applied, Failure> {
        make_parents(cx.system, &self.path)?;
        let staged = beside(&self.path, "new");
        cx.system.remove(&staged)?;
        cx.system.symlink(&self.target, &staged)?;
        owe_readers_of(&self.path, cx.system)?;
        swap_in(cx.system, &staged, &self.path)?;
        Ok(Applied::check_again())
    }

    fn touches(&self) -> Touches {
        Touches::Path(self.path.clone())
    }
}
