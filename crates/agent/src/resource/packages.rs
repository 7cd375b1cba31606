use std::collections::BTreeMap;

use bascule_plan::Packages;

use super::{Applied, Context, Converge, Failure, Progress, Verdict, output_evidence};
use crate::pending::{Pending, Touches};
use crate::system::{Apt, Finished};

const ATTEMPTS_MAX: u32 = 4;
const FIRST_PAUSE_MS: u64 = 2_000;
/// How long unattended upgrades, or an apt that outlived its agent, may take.
const OTHERS_TIMEOUT_MS: u64 = 10 * 60_000;
const OTHERS_POLL_MS: u64 = 500;
const PROGRESS_INTERVAL_MS: u64 = 5_000;

impl Converge for Packages {
    fn check(&self, cx: &Context<'_>, _: &Pending) -> Result<Verdict, Failure> {
        let installed = cx.installed_packages()?;
        let missing = missing(self, &installed);
        let total = self.names.len();
        Ok(match missing.len() {
            0 => Verdict::Right(versions(self, &installed)),
            count => Verdict::Differs(format!("{count} of {total} not installed: {}", missing.join(", "))),
        })
    }

    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure> {
        let mut pause_ms = FIRST_PAUSE_MS;
        for attempt in 1.. {
            wait_for_others(cx, progress)?;
            // Another apt may be what a killed agent left behind: then it has done this one's work.
            let missing = missing(self, &cx.system.installed_packages()?);
            if missing.is_empty() && !cx.system.dpkg_interrupted()? {
                break;
            }
            let finished = install(&missing, cx, progress)?;
            if finished.success() {
                return Ok(Applied::CheckAgain(output_evidence(&finished)));
            }
            if attempt == ATTEMPTS_MAX {
                return Err(Failure::of_command("installing", &finished));
            }
            progress(format!("tries again in {} s: {}", pause_ms / 1000, finished.last_line()));
            cx.system.sleep_ms(pause_ms);
            pause_ms *= 2;
            // The lists may be older than the archive, or another apt may have cleaned the cache away under this one. A
            // failure of this shows in the next attempt, with the reason that matters.
            let _ = apt(Apt::Update, "fetches the package lists", cx, progress)?;
        }
        Ok(Applied::check_again())
    }

    fn touches(&self) -> Touches {
        Touches::Anything
    }
}

/// Runs what is needed in order, up to the first that fails.
fn install(missing: &[String], cx: &Context<'_>, progress: Progress<'_>) -> Result<Finished, Failure> {
    if !cx.system.apt_has_lists()? {
        let finished = apt(Apt::Update, "fetches the package lists", cx, progress)?;
        if !finished.success() {
            return Ok(finished);
        }
    }
    if cx.system.dpkg_interrupted()? {
        let finished = apt(Apt::Configure, "finishes an interrupted installation", cx, progress)?;
        if !finished.success() {
            return Ok(finished);
        }
    }
    apt(Apt::Install(missing), "installs", cx, progress)
}

fn apt(action: Apt<'_>, doing: &str, cx: &Context<'_>, progress: Progress<'_>) -> Result<Finished, Failure> {
    progress(doing.to_owned());
    Ok(cx.system.apt(action, &mut |line| progress(format!("{doing}: {line}")))?)
}

fn wait_for_others(cx: &Context<'_>, progress: Progress<'_>) -> Result<(), Failure> {
    let began_ms = cx.system.now_ms();
    let mut told_ms = None;
    while cx.system.dpkg_locked()? {
        let now_ms = cx.system.now_ms();
        if now_ms - began_ms >= OTHERS_TIMEOUT_MS {
            let seconds = OTHERS_TIMEOUT_MS / 1000;
            return Err(Failure::new(format!("another apt or dpkg has been at work for {seconds} s")));
        }
        if told_ms.is_none_or(|told| now_ms - told >= PROGRESS_INTERVAL_MS) {
            told_ms = Some(now_ms);
            progress("waits for another apt or dpkg that is at work".to_owned());
        }
        cx.system.sleep_ms(OTHERS_POLL_MS);
    }
    Ok(())
}

fn missing(packages: &Packages, installed: &BTreeMap<String, String>) -> Vec<String> {
    packages.names.iter().filter(|name| !installed.contains_key(*name)).cloned().collect()
}

/// `haproxy 3.0.11-1, socat 1.8.0.3-1`: what a person asks first of an installed package.
fn versions(packages: &Packages, installed: &BTreeMap<String, String>) -> String {
    let version = |name: &String| Some(format!("{name} {}", installed.get(name)?));
    packages.names.iter().filter_map(version).collect::<Vec<_>>().join(", ")
}
