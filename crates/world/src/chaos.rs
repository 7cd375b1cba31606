//! What goes wrong, as a seed decides: answers that are late, lost, refused, cut off or asked for twice, agents that are
//! killed in the middle of a step, machines that lose their power there. And bugs, planted to see that they are found.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bascule_agent::fake::Machine;
use bascule_incus::fake::{Call, Fault, Travel};
use bascule_plan::{LineItem, Plan, Resource, Step};

use crate::dice::Dice;

/// One call in so many goes wrong while there is chaos, and one step in so many.
const CALLS_PER_FAULT: u64 = 50;
const READS_PER_FAULT: u64 = 150;
/// A host is called seldom, and for long.
const CONNECTIONS_PER_BREAK: u64 = 4;
const STEPS_PER_PERIL: u64 = 150;
/// Most steps make fewer changes than this; then nothing happens.
const CHANGES_MAX: u64 = 12;

#[derive(Debug)]
pub(crate) struct Chaos {
    dice: Mutex<Dice>,
    reigns: AtomicBool,
    planted: Option<Planted>,
}

/// A bug that one property has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Disks say that they have synced, and have not.
    LyingDisk,
    /// `plan` says nothing of one file.
    SilentPlan,
    /// Lines take no leases.
    NoLeases,
    /// Two lines may hold a lease at a time.
    WideLeases,
    /// A switch does not record its intent.
    NoIntent,
    /// The tool does not ask for the lock.
    NoLock,
    /// Services are not told when a secret of theirs changed.
    StaleSecrets,
    /// A host that was begun counts as done.
    Begun,
    /// A tool that was killed goes on renewing its lease.
    Undead,
}

/// In the middle of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peril {
    /// The agent is killed before its change of this number.
    Killed(u64),
    /// The machine loses its power before the agent's change of this number, and boots again.
    PowerLoss(u64),
}

impl Chaos {
    pub(crate) fn new(dice: Dice, planted: Option<Planted>) -> Self {
        Self { dice: Mutex::new(dice), reigns: AtomicBool::new(false), planted }
    }

    /// Chaos begins or ends. What a planted bug does, it always does.
    pub(crate) fn reign(&self, reigns: bool) {
        self.reigns.store(reigns, Ordering::Relaxed);
    }

    pub(crate) fn has_planted(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    fn reigns(&self) -> bool {
        self.reigns.load(Ordering::Relaxed)
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of_step(&self) -> Option<Peril> {
        let mut dice = self.dice();
        if !self.reigns() || !dice.one_in(STEPS_PER_PERIL) {
            return None;
        }
        let change = dice.below(CHANGES_MAX);
        Some(if dice.one_in(2) { Peril::Killed(change) } else { Peril::PowerLoss(change) })
    }

    pub(crate) fn power_loss_seed(&self) -> u64 {
        self.dice().below(u64::MAX)
    }

    /// How long a step takes beside what it waits for.
    pub(crate) fn step_ms(&self) -> u64 {
        if self.reigns() { 1 + self.dice().below(40) } else { 1 }
    }

    pub(crate) fn made(&self, machine: &Machine) {
        if self.planted == Some(Planted::LyingDisk) {
            machine.lies_about_syncs();
        }
    }

    pub(crate) fn before(&self, call: &Call) -> Fault {
        if self.planted == Some(Planted::NoIntent) && call.detail.contains("user.bascule.active") {
            return Fault::Forgotten;
        }
        let mut dice = self.dice();
        if !self.reigns() || !dice.one_in(CALLS_PER_FAULT) {
            return Fault::None;
        }
        match dice.below(4) {
            0 => Fault::Error("Server is shutting down".to_owned()),
            1 => Fault::Lost,
            2 => Fault::Cut(dice.index(40)),
            _ => Fault::Twice,
        }
    }

    pub(crate) fn unreadable(&self) -> Option<String> {
        let fails = self.reigns() && self.dice().one_in(READS_PER_FAULT);
        fails.then(|| "database is locked".to_owned())
    }

    pub(crate) fn travel(&self) -> Travel {
        if !self.reigns() {
            return Travel::default();
        }
        let mut dice = self.dice();
        let mut way = || {
            let slow = dice.one_in(20);
            Duration::from_millis(dice.below(if slow { 5_000 } else { 30 }))
        };
        Travel { there: way(), back: way(), arrives_alone: true }
    }

    /// After how many pieces of its output the connection to a host breaks.
    pub(crate) fn breaks_after(&self) -> Option<usize> {
        let mut dice = self.dice();
        (self.reigns() && dice.one_in(CONNECTIONS_PER_BREAK)).then(|| dice.index(100))
    }

    /// What a planted bug makes of a plan; `is_shown` when it is only for showing.
    pub(crate) fn spoil(&self, plan: &mut Plan, is_shown: bool) {
        match self.planted {
            Some(Planted::SilentPlan) if is_shown => {
                for line in &mut plan.lines {
                    line.items
                        .retain(|item| item.step().is_none_or(|step| step.id != "component/service/credential-token"));
                }
            }
            Some(Planted::StaleSecrets) => {
                let steps = plan.lines.iter_mut().flat_map(|line| &mut line.items);
                for item in steps {
                    if let LineItem::Step(Step { resource: Resource::Unit(unit), .. }) = item {
                        unit.inputs.retain(|input| !input.contains("/credentials/"));
                    }
                }
            }
            Some(Planted::NoLeases) => {
                for line in &mut plan.lines {
                    line.items.retain(|item| !matches!(item, LineItem::Take(_) | LineItem::Release(_)));
                }
            }
            Some(Planted::WideLeases) => plan.leases.values_mut().for_each(|lease| lease.capacity = 2),
            _ => {}
        }
    }
}
