//! What Bascule needs of the machine it runs on: looked at in `machine`, judged here, by functions of what was found.

mod hosts;
mod image;
mod incus;
mod input;
mod kernel;
mod machine;
#[cfg(test)]
pub(crate) mod tests;

use bascule_plan::event::{Finding, Verdict};

pub(crate) use machine::{Machine, look};

/// Every check, in the order in which things have to be mended.
pub(crate) fn judge(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![input::platform(machine)];
    findings.extend(input::secrets(machine));
    findings.push(incus::daemon(machine));
    // Of an Incus that does not answer nothing more can be said.
    if let Ok(incus) = &machine.incus {
        findings.push(incus::pool(machine, incus));
        findings.extend(incus::room(machine, incus));
        findings.push(incus::bridge(incus));
    }
    findings.extend(hosts::ways(machine));
    findings.push(image::base(machine));
    // Elsewhere they are the host's, which `host up` sees to.
    if !machine.incus_is_elsewhere() {
        findings.extend(kernel::all(machine));
    }
    findings
}

fn ok(check: &str, found: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), verdict: Verdict::Ok, found: found.into(), why: None, remedy: None }
}

fn missing(check: &str, found: String, why: &str, remedy: String) -> Finding {
    Finding { verdict: Verdict::Missing, why: Some(why.to_owned()), remedy: Some(remedy), ..ok(check, found) }
}

fn warning(check: &str, found: String, why: &str, remedy: String) -> Finding {
    Finding { verdict: Verdict::Warning, ..missing(check, found, why, remedy) }
}

/// Bytes as a person counts them.
fn gib(bytes: u64) -> String {
    let tenths = bytes / (GIB / 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

const GIB: u64 = 1 << 30;
