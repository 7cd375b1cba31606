use bascule_plan::Packages;

use super::{Applied, Context, Converge, Failure, Progress, Verdict, output_evidence};
use crate::pending::Pending;
use crate::system::{Apt, Finished};

const ATTEMPTS_MAX: u32 = 4;
const FIRST_PAUSE_MS: u64 = 2_000;

impl Converge for Packages {
    fn check(&self, cx: &Context<'_>, _: &Pending) -> Result<Verdict, Failure> {
        let missing = missing(self, cx)?;
        let total = self.names.len();
        Ok(match missing.len() {
            0 => Verdict::Right(format!("all {total} are installed")),
            count => Verdict::Differs(format!("{count} of {total} not installed: {}", missing.join(", "))),
        })
    }

    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure> {
        let missing = missing(self, cx)?;
        let mut apt = |action: Apt<'_>, doing: &str| {
            progress(doing.to_owned());
            cx.system.apt(action, &mut |line| progress(format!("{doing}: {line}")))
        };
        if !cx.system.apt_has_lists()? {
            demand(&apt(Apt::Update, "fetches the package lists")?, "apt-get update")?;
        }
        let mut pause_ms = FIRST_PAUSE_MS;
        for attempt in 1.. {
            if cx.system.dpkg_interrupted()? {
                demand(&apt(Apt::Configure, "finishes an interrupted installation")?, "dpkg --configure -a")?;
            }
            let finished = apt(Apt::Install(&missing), "installs")?;
            if finished.success() {
                return Ok(Applied::CheckAgain(output_evidence(&finished)));
            }
            if attempt == ATTEMPTS_MAX {
                return Err(Failure::of_command("apt-get install", &finished));
            }
            // The lists may be older than the archive, or another apt may have cleaned the cache away under this one.
            cx.system.sleep_ms(pause_ms);
            pause_ms *= 2;
            let doing = format!("tries again ({}): fetches the package lists", finished.last_line());
            // Its failure shows in the next attempt, with the reason that matters.
            let _ = apt(Apt::Update, &doing)?;
        }
        Ok(Applied::check_again())
    }
}

fn missing(packages: &Packages, cx: &Context<'_>) -> Result<Vec<String>, Failure> {
    let installed = cx.system.installed_packages()?;
    Ok(packages.names.iter().filter(|name| !installed.contains(*name)).cloned().collect())
}

fn demand(finished: &Finished, what: &str) -> Result<(), Failure> {
    if finished.success() { Ok(()) } else { Err(Failure::of_command(what, finished)) }
}
