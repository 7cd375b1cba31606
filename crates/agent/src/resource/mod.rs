//! One file a kind of resource: how it is checked, and how it is made right.

mod archive;
mod command;
mod directory;
mod file;
mod packages;
mod symlink;
mod sysctl;
mod unit;
mod user;
mod wait;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;

use bascule_plan::Resource;
use bascule_plan::agent::{Evidence, Request};

use crate::pending::{Pending, Touches};
use crate::system::{Finished, System, SystemError, UnitStatus};

/// What every kind of resource can do.
pub(crate) trait Converge {
    /// Looks, and changes nothing. `pending` holds what earlier steps would change first.
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure>;

    /// Makes it right. Called only after a check found that it differs, and safe after a run that was killed anywhere.
    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure>;

    /// What a change of it means for later steps.
    fn touches(&self) -> Touches {
        Touches::Nothing
    }
}

pub(crate) type Progress<'a> = &'a mut dyn FnMut(String);

/// What a check found, and why.
#[derive(Debug)]
pub(crate) enum Verdict {
    Right(String),
    Differs(String),
    /// Owner or mode only: whoever reads it reads the same.
    DiffersInAccess(String),
}

/// How an apply that did not fail ended.
#[derive(Debug)]
pub(crate) enum Applied {
    /// Done, as far as it can tell: the check has the last word, and this explains what it says if it disagrees.
    CheckAgain(Evidence),
    /// Done, and known to be: another check would tell nothing. Why.
    Settled(String),
}

impl Applied {
    pub(crate) fn check_again() -> Self {
        Self::CheckAgain(Evidence::default())
    }
}

/// Why a step failed, for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) evidence: Evidence,
}

impl Failure {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), evidence: Evidence::default() }
    }

    /// With the end of a command's output.
    pub(crate) fn of_command(what: &str, finished: &Finished) -> Self {
        Self { reason: format!("{what} {}", finished.ending), evidence: output_evidence(finished) }
    }
}

pub(crate) fn output_evidence(finished: &Finished) -> Evidence {
    let output = finished.output.trim_end();
    Evidence { last_answer: (!output.is_empty()).then(|| output.to_owned()), ..Evidence::default() }
}

impl From<SystemError> for Failure {
    fn from(error: SystemError) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            reason = format!("{reason}: {inner}");
            cause = inner.source();
        }
        Self::new(reason)
    }
}

/// What checks and applies work with.
pub(crate) struct Context<'a> {
    pub(crate) system: &'a dyn System,
    secrets: &'a BTreeMap<String, String>,
    /// In a check nothing changes: the state of all units is asked for once.
    units: Option<UnitCache<'a>>,
}

struct UnitCache<'a> {
    names: Vec<&'a str>,
    known: RefCell<Option<BTreeMap<&'a str, UnitStatus>>>,
}

impl<'a> Context<'a> {
    pub(crate) fn for_check(system: &'a dyn System, request: &'a Request) -> Self {
        let names = request.steps.iter().filter_map(|step| match &step.resource {
            Resource::Unit(unit) => Some(unit.name.as_str()),
            _ => None,
        });
        let units = UnitCache { names: names.collect(), known: RefCell::new(None) };
        Self { system, secrets: &request.secrets, units: Some(units) }
    }

    pub(crate) fn for_apply(system: &'a dyn System, request: &'a Request) -> Self {
        Self { system, secrets: &request.secrets, units: None }
    }

    pub(crate) fn secret(&self, name: &str) -> Result<&'a str, Failure> {
        let value = self.secrets.get(name);
        value.map(String::as_str).ok_or_else(|| Failure::new(format!("the secret {name} was not given")))
    }

    pub(crate) fn unit(&self, name: &str) -> Result<UnitStatus, Failure> {
        if let Some(cache) = &self.units {
            let mut known = cache.known.borrow_mut();
            if known.is_none() {
                let statuses = self.system.units(&cache.names)?;
                *known = Some(cache.names.iter().copied().zip(statuses).collect());
            }
            if let Some(status) = known.as_ref().and_then(|known| known.get(name)) {
                return Ok(status.clone());
            }
        }
        let status = self.system.units(&[name])?.into_iter().next();
        status.ok_or_else(|| Failure::new(format!("systemd said nothing of {name}")))
    }
}

pub(crate) fn converge(resource: &Resource) -> &dyn Converge {
    match resource {
        Resource::Packages(packages) => packages,
        Resource::User(user) => user,
        Resource::Directory(directory) => directory,
        Resource::File(file) => file,
        Resource::Symlink(symlink) => symlink,
        Resource::Archive(archive) => archive,
        Resource::Sysctl(sysctl) => sysctl,
        Resource::Unit(unit) => unit,
        Resource::Command(command) => command,
        Resource::Wait(wait) => wait,
    }
}
