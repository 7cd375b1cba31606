//! One file a kind of resource: how it is checked, and how it is made right.

mod archive;
mod certificate;
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
use std::rc::Rc;

use bascule_plan::Resource;
use bascule_plan::agent::{Evidence, Request, SecretValue};

use crate::pending::{Pending, Touches};
use crate::system::{Finished, System, SystemError, UnitStatus};

/// What every kind of resource can do.
pub(crate) trait Converge {
    /// Looks, and changes nothing. `pending` holds what earlier steps would change first.
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure>;

    /// Makes it right. Called only after a check found that it differs, and safe after a run that was killed anywhere.
    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure>;

    /// The last second, since 1970, at which what is there is good, where that has an end.
    fn expires_s(&self, _: &Context<'_>) -> Option<u64> {
        None
    }

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
    /// Time has to pass, and nothing changes by it: steps after this one look for themselves.
    Waits(String),
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
    secrets: &'a BTreeMap<String, SecretValue>,
    certificates: &'a BTreeMap<String, String>,
    /// The units of all steps: whoever asks for one of them soon asks for the others.
    unit_names: Vec<&'a str>,
    /// What is known of units since the last change. To ask costs a process, for one as for all of them.
    units: RefCell<BTreeMap<String, UnitStatus>>,
    /// The installed packages, with their versions, until something changes.
    packages: RefCell<Option<Rc<BTreeMap<String, String>>>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(system: &'a dyn System, request: &'a Request) -> Self {
        let unit_names = request.steps.iter().filter_map(|step| match &step.resource {
            Resource::Unit(unit) => Some(unit.name.as_str()),
            _ => None,
        });
        let Request { secrets, certificates, .. } = request;
        Self {
            system,
            secrets,
            certificates,
            unit_names: unit_names.collect(),
            units: RefCell::default(),
            packages: RefCell::default(),
        }
    }

    pub(crate) fn secret(&self, name: &str) -> Result<&'a SecretValue, Failure> {
        self.secrets.get(name).ok_or_else(|| Failure::new(format!("the secret {name} was not given")))
    }

    /// The new certificate for a path, with its key.
    pub(crate) fn certificate(&self, path: &str) -> Result<&'a str, Failure> {
        let pem = self.certificates.get(path);
        pem.map(String::as_str).ok_or_else(|| Failure::new(format!("no certificate for {path} was given")))
    }

    /// The state of a unit, as it was after the last change at the earliest.
    pub(crate) fn unit(&self, name: &str) -> Result<UnitStatus, Failure> {
        if let Some(known) = self.units.borrow().get(name) {
            return Ok(known.clone());
        }
        if self.unit_names.contains(&name) { self.ask(&self.unit_names, name) } else { self.ask(&[name], name) }
    }

    /// The state of a unit right now.
    pub(crate) fn unit_now(&self, name: &str) -> Result<UnitStatus, Failure> {
        self.forget();
        self.ask(&[name], name)
    }

    pub(crate) fn installed_packages(&self) -> Result<Rc<BTreeMap<String, String>>, Failure> {
        if let Some(known) = &*self.packages.borrow() {
            return Ok(Rc::clone(known));
        }
        let installed = Rc::new(self.system.installed_packages()?);
        *self.packages.borrow_mut() = Some(Rc::clone(&installed));
        Ok(installed)
    }

    /// To be called when something may have changed, or time has passed.
    pub(crate) fn forget(&self) {
        self.units.borrow_mut().clear();
        *self.packages.borrow_mut() = None;
    }

    fn ask(&self, names: &[&str], name: &str) -> Result<UnitStatus, Failure> {
        let statuses = self.system.units(names)?;
        let mut units = self.units.borrow_mut();
        units.extend(names.iter().map(|&name| name.to_owned()).zip(statuses));
        units.get(name).cloned().ok_or_else(|| Failure::new(format!("systemd said nothing of {name}")))
    }
}

pub(crate) fn converge(resource: &Resource) -> &dyn Converge {
    match resource {
        Resource::Packages(packages) => packages,
        Resource::User(user) => user,
        Resource::Directory(directory) => directory,
        Resource::File(file) => file,
        Resource::Certificate(certificate) => &**certificate,
        Resource::Symlink(symlink) => symlink,
        Resource::Archive(archive) => archive,
        Resource::Sysctl(sysctl) => sysctl,
        Resource::Unit(unit) => unit,
        Resource::Command(command) => command,
        Resource::Wait(wait) => wait,
    }
}
