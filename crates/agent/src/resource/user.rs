use bascule_plan::User;

use super::{Applied, Context, Converge, Failure, Progress, Verdict, output_evidence};
use crate::pending::Pending;

impl Converge for User {
    fn check(&self, cx: &Context<'_>, _: &Pending) -> Result<Verdict, Failure> {
        let Some(entry) = cx.system.user(&self.name)? else {
            return Ok(Verdict::Differs("does not exist".to_owned()));
        };
        let mut differs = Vec::new();
        if entry.home != self.home {
            differs.push(format!("home is {}", entry.home));
        }
        if entry.shell != self.shell {
            differs.push(format!("shell is {}", entry.shell));
        }
        if entry.primary_group != self.name {
            differs.push(format!("primary group is {}", entry.primary_group));
        }
        for group in self.groups.iter().filter(|group| !entry.groups.contains(*group)) {
            differs.push(format!("not in group {group}"));
        }
        Ok(match differs.is_empty() {
            true => Verdict::Right("exists as planned".to_owned()),
            false => Verdict::Differs(differs.join(", ")),
        })
    }

    fn apply(&self, cx: &Context<'_>, _: Progress<'_>) -> Result<Applied, Failure> {
        let (what, finished) = match cx.system.user(&self.name)? {
            None => ("useradd", cx.system.add_user(self)?),
            Some(_) => ("usermod", cx.system.change_user(self)?),
        };
        if !finished.success() {
            return Err(Failure::of_command(what, &finished));
        }
        Ok(Applied::CheckAgain(output_evidence(&finished)))
    }
}
