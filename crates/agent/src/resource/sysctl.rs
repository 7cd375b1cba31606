use bascule_plan::Sysctl;

use super::{Applied, Context, Converge, Failure, Progress, Verdict};
use crate::pending::{Pending, Touches};
use crate::place::put_file;
use crate::system::{Access, Kind};

impl Converge for Sysctl {
    fn check(&self, cx: &Context<'_>, _: &Pending) -> Result<Verdict, Failure> {
        let Some(value) = cx.system.sysctl(&self.key)? else {
            return Err(Failure::new(format!("this kernel has no setting {}", self.key)));
        };
        let mut differs = Vec::new();
        if normal(&value) != normal(&self.value) {
            differs.push(format!("is {}, not {}", normal(&value), normal(&self.value)));
        }
        let kept = match cx.system.metadata(&file(self))?.map(|meta| meta.kind) {
            Some(Kind::File) => cx.system.read(&file(self))? == line(self).as_bytes(),
            _ => false,
        };
        if !kept {
            differs.push("is not kept over a reboot".to_owned());
        }
        Ok(match differs.is_empty() {
            true => Verdict::Right(format!("is {}, also after a reboot", normal(&self.value))),
            false => Verdict::Differs(differs.join(", ")),
        })
    }

    fn apply(&self, cx: &Context<'_>, _: Progress<'_>) -> Result<Applied, Failure> {
        put_file(cx.system, &file(self), line(self).as_bytes(), &Access::root(0o644), &[])?;
        cx.system.set_sysctl(&self.key, &self.value)?;
        Ok(Applied::check_again())
    }

    fn touches(&self) -> Touches {
        Touches::Path(file(self))
    }
}

/// The kernel separates the numbers of one value by tabs.
fn normal(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn file(sysctl: &Sysctl) -> String {
    format!("/etc/sysctl.d/60-bascule-{}.conf", sysctl.key.replace('/', "."))
}

fn line(sysctl: &Sysctl) -> String {
    format!("{} = {}\n", sysctl.key, normal(&sysctl.value))
}
