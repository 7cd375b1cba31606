//! One lock for each environment: whoever changes it holds the newest **generation**, a profile that nobody else could
//! create.
//!
//! Incus has no compare-and-swap (an ETag is checked in one transaction and written in another), but of two creations of
//! one name exactly one succeeds. So a generation is taken by creating `bascule-lock-GENERATION`, and given back by
//! writing into it that it is free. It stays there as a mark, so that no generation is ever given twice.
//!
//! - A holder renews its lease while it works ([`Lock::while_held`]). A lease that has run out and is not renewed while a
//!   newcomer watches belongs to the dead: the newcomer creates the next generation. Clocks that differ can make it
//!   watch, never take.
//! - Every change first makes sure that its generation is still the newest ([`Fenced`]), and agents refuse what comes
//!   from an older one: a holder that slept past its lease changes nothing more.

mod fenced;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bascule_incus::{Error as IncusError, Incus};
use futures_util::future::{self, Either};

use crate::{Clock, Engine, Run};
use fenced::Fenced;

pub use record::{Holder, LockOf, LockState};

/// A lease that is not renewed for so long has run out.
const LEASE: Duration = Duration::from_secs(20);
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A lease that has run out is watched for so long before it is taken: longer than its holder takes to renew it.
const WATCH: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(500);

/// Who wants the lock, and what for.
#[derive(Clone, Debug)]
pub struct Claim {
    /// A person and a machine: `ada@laptop`.
    pub who: String,
    /// The verb.
    pub doing: String,
    /// Names the process in a way that no other process, on any machine, ever has.
    pub process: String,
    /// Whether a process so named has certainly ended. False where that cannot be told, as for another machine's.
    pub has_ended: fn(&str) -> bool,
    /// How long to wait for a holder that lives.
    pub wait: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the lock is held by {}", holder.sentence(*now_ms))]
    Held { holder: Holder, now_ms: i64 },
    #[error("the lock was lost: {0}")]
    Lost(String),
    #[error("the lock cannot be read or written")]
    Incus(#[from] IncusError),
    #[error("the lock's record {profile} cannot be understood; it was not written by this tool")]
    Record { profile: String, source: serde_json::Error },
}

/// The lock, held. Dropped without [`Lock::release`], it is free when its lease has run out.
#[derive(Clone, Debug)]
pub struct Lock {
    /// Not fenced: it is what the fence asks.
    incus: Arc<dyn Incus>,
    clock: Arc<dyn Clock>,
    project: String,
    of: LockOf,
    holder: Holder,
}

impl Run {
    /// Who holds the lock, if anybody does. Nobody does where there is no project yet.
    pub async fn lock_state(&self) -> Result<LockState, LockError> {
        record::newest(&*self.engine.incus, &self.project, self.lock_of).await
    }

    /// Takes the lock; the project must exist. A holder that lives is waited for as long as the claim says, and events
    /// tell, once for each, whom.
    pub async fn lock(&self, claim: &Claim) -> Result<Lock, LockError> {
        let until_ms = self.now_ms() + millis(claim.wait);
        let mut told = None;
        loop {
            let found = self.lock_state().await?;
            let Some(holder) = &found.holder else {
                if let Some(lock) = self.take(&found, claim).await? {
                    return Ok(lock);
                }
                continue;
            };
            // The answer to our own creation got lost.
            if holder.process == claim.process {
                return Ok(self.held(holder.clone()));
            }
            if self.is_dead(&found, holder, claim).await? {
                self.note(format!("taking the lock over from {}, which is dead: {}", holder.who, holder.doing));
                if let Some(lock) = self.take(&found, claim).await? {
                    return Ok(lock);
                }
                continue;
            }
            if self.now_ms() >= until_ms {
                return Err(LockError::Held { holder: holder.clone(), now_ms: self.unix_ms() });
            }
            if told.replace(found.generation) != Some(found.generation) {
                self.progress(None, format!("waiting for the lock: {}", holder.sentence(self.unix_ms())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A holder is dead when its process has certainly ended, or when its lease has run out and goes on so while we watch.
    async fn is_dead(&self, found: &LockState, holder: &Holder, claim: &Claim) -> Result<bool, LockError> {
        if (claim.has_ended)(&holder.process) {
            return Ok(true);
        }
        if self.unix_ms() <= holder.until_ms {
            return Ok(false);
        }
        let silent = format!("{} has not renewed its lease of the lock; watching whether it is dead", holder.who);
        self.progress(None, silent);
        tokio::time::sleep(WATCH).await;
        Ok(self.lock_state().await? == *found)
    }

    /// Creates the generation after the one that was found. `None`: somebody else was quicker.
    async fn take(&self, found: &LockState, claim: &Claim) -> Result<Option<Lock>, LockError> {
        let (incus, project) = (&*self.engine.incus, self.project.as_str());
        let now_ms = self.unix_ms();
        let holder = Holder::new(found.generation + 1, claim, now_ms, now_ms + millis_i64(LEASE));
        let of = self.lock_of;
        match record::create(incus, project, of, &holder).await {
            Ok(()) => {}
            Err(LockError::Incus(IncusError::AlreadyExists { .. })) => return Ok(None),
            Err(error) => return Err(error),
        }
        // The mark of a generation is removed when it is old, and whoever looked before that can create it again.
        if self.lock_state().await?.generation > holder.generation {
            record::remove(incus, project, of, holder.generation).await?;
            return Ok(None);
        }
        record::remove_before(incus, project, of, holder.generation).await?;
        Ok(Some(self.held(holder)))
    }

    /// Ends a holder's generation without its consent, by making the next one and leaving it free.
    pub async fn unlock(&self, generation: u64, claim: &Claim) -> Result<(), LockError> {
        let moved_on = || LockError::Lost(format!("generation {generation} is not the newest any more"));
        if self.lock_state().await?.generation != generation {
            return Err(moved_on());
        }
        let now_ms = self.unix_ms();
        let free = Holder { released: true, ..Holder::new(generation + 1, claim, now_ms, now_ms) };
        match record::create(&*self.engine.incus, &self.project, self.lock_of, &free).await {
            Err(LockError::Incus(IncusError::AlreadyExists { .. })) => Err(moved_on()),
            created => created,
        }
    }

    fn held(&self, holder: Holder) -> Lock {
        let Engine { incus, clock, .. } = &self.engine;
        Lock { incus: incus.clone(), clock: clock.clone(), project: self.project.clone(), of: self.lock_of, holder }
    }

    /// Incus without the fence, for the one change that does away with the lock.
    pub(crate) fn unfenced(&self) -> &dyn Incus {
        self.lock.as_ref().map_or(&*self.engine.incus, |lock| &*lock.incus)
    }
}

impl Lock {
    /// The engine, whose every change first makes sure that this lock is still held.
    pub(crate) fn guard(&self, engine: Engine) -> Engine {
        let generation = self.holder.generation;
        let incus = Arc::new(Fenced::new(self.incus.clone(), &self.project, self.of, generation));
        Engine { incus, generation: Some(generation), ..engine }
    }

    /// Does the work and renews the lease meanwhile. When somebody has taken the lock, the work is dropped where it is.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T, LockError> {
        let work = std::pin::pin!(work);
        let lost = std::pin::pin!(self.renew());
        match future::select(work, lost).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right((lost, _)) => Err(lost),
        }
    }

    /// Renews the lease until it is lost. Incus not answering for a while is no loss: nothing can be changed meanwhile.
    async fn renew(&self) -> LockError {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match record::newest(&*self.incus, &self.project, self.of).await {
                Ok(newest) if newest.generation != self.holder.generation => return LockError::Lost(newest.taken_by()),
                Ok(_) => {
                    let until_ms = self.clock.unix_ms() + millis_i64(LEASE);
                    let holder = Holder { until_ms, ..self.holder.clone() };
                    let _ = record::write(&*self.incus, &self.project, self.of, &holder).await;
                }
                Err(_) => {}
            }
        }
    }

    /// Gives the lock back, if it is still held. Its profile stays, as the mark of the generation.
    pub async fn release(&self) -> Result<(), LockError> {
        let newest = record::newest(&*self.incus, &self.project, self.of).await?;
        if newest.generation != self.holder.generation {
            return Ok(());
        }
        record::write(&*self.incus, &self.project, self.of, &Holder { released: true, ..self.holder.clone() }).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis_i64(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
