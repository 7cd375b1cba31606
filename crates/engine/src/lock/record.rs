//! What a generation's profile says, and how it is found.

use bascule_incus::{Error as IncusError, Incus, Profile};
use serde::{Deserialize, Serialize};

use super::{Claim, LockError};

const KEY: &str = "user.bascule.lock";

/// What a lock is for. One of each kind may be held in an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockOf {
    /// Whatever changes the environment.
    #[default]
    Environment,
    /// A drill, which changes nothing of it.
    Drill,
}

impl LockOf {
    fn prefix(self) -> &'static str {
        match self {
            Self::Environment => "bascule-lock-",
            Self::Drill => "bascule-drill-",
        }
    }
}

/// Whoever holds a generation. Times are milliseconds since 1970, by the holder's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    #[serde(skip)]
    pub generation: u64,
    pub who: String,
    pub doing: String,
    pub process: String,
    pub since_ms: i64,
    /// When the lease runs out, unless it is renewed.
    pub until_ms: i64,
    #[serde(default)]
    pub(super) released: bool,
}

/// The newest generation (0: there was none yet), and its holder while it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockState {
    pub generation: u64,
    pub holder: Option<Holder>,
}

impl Holder {
    pub(super) fn new(generation: u64, claim: &Claim, since_ms: i64, until_ms: i64) -> Self {
        let Claim { who, doing, process, .. } = claim.clone();
        Self { generation, who, doing, process, since_ms, until_ms, released: false }
    }

    /// Who, what and since when: `ada@laptop (deploy, for 42 s; its lease runs for 17 s unless it is renewed)`.
    pub fn sentence(&self, now_ms: i64) -> String {
        let for_s = (now_ms - self.since_ms).max(0) / 1000;
        let left_s = (self.until_ms - now_ms) / 1000;
        let lease = if left_s >= 0 {
            format!("its lease runs for {left_s} s unless it is renewed")
        } else {
            format!("its lease ran out {} s ago", -left_s)
        };
        format!("{} ({}, for {for_s} s; {lease})", self.who, self.doing)
    }
}

impl LockState {
    /// Who has the lock now, for somebody who had it before.
    pub(super) fn taken_by(&self) -> String {
        match &self.holder {
            Some(holder) => {
                format!("{} took it over for {} (generation {})", holder.who, holder.doing, self.generation)
            }
            None => format!("it was taken away and is at generation {} now", self.generation),
        }
    }
}

fn name(of: LockOf, generation: u64) -> String {
    format!("{}{generation}", of.prefix())
}

/// The generation that a profile stands for; `None` for every other profile.
pub(crate) fn generation_of(of: LockOf, profile: &Profile) -> Option<u64> {
    profile.name.strip_prefix(of.prefix())?.parse().ok()
}

pub(super) async fn newest(incus: &dyn Incus, project: &str, of: LockOf) -> Result<LockState, LockError> {
    let profiles = incus.profiles(project).await?;
    let marked = profiles.iter().filter_map(|profile| Some((generation_of(of, profile)?, profile)));
    let Some((generation, profile)) = marked.max_by_key(|(generation, _)| *generation) else {
        return Ok(LockState { generation: 0, holder: None });
    };
    let record = profile.config.get(KEY).map_or("", String::as_str);
    let holder: Holder =
        serde_json::from_str(record).map_err(|source| LockError::Record { profile: profile.name.clone(), source })?;
    Ok(LockState { generation, holder: (!holder.released).then_some(Holder { generation, ..holder }) })
}

fn profile(of: LockOf, holder: &Holder) -> Profile {
    let record = serde_json::to_string(holder).unwrap_or_else(|error| unreachable!("strings and numbers: {error}"));
    Profile {
        name: name(of, holder.generation),
        description: format!("Bascule's lock: {}, {}", holder.who, holder.doing),
        config: [(KEY.to_owned(), record)].into(),
        ..Profile::default()
    }
}

/// Of all who create one generation, one succeeds; the others get [`IncusError::AlreadyExists`].
pub(super) async fn create(incus: &dyn Incus, project: &str, of: LockOf, holder: &Holder) -> Result<(), LockError> {
    Ok(incus.create_profile(project, profile(of, holder)).await?)
}

/// Writes a generation's record anew: for its holder only.
pub(super) async fn write(incus: &dyn Incus, project: &str, of: LockOf, holder: &Holder) -> Result<(), LockError> {
    Ok(incus.put_profile(project, profile(of, holder)).await?)
}

pub(super) async fn remove(incus: &dyn Incus, project: &str, of: LockOf, generation: u64) -> Result<(), LockError> {
    match incus.delete_profile(project, &name(of, generation)).await {
        Ok(()) | Err(IncusError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes the marks of older generations: the newest one says all there is to say.
pub(super) async fn remove_before(
    incus: &dyn Incus,
    project: &str,
    of: LockOf,
    generation: u64,
) -> Result<(), LockError> {
    for profile in incus.profiles(project).await? {
        if let Some(older) = generation_of(of, &profile).filter(|older| *older < generation) {
            remove(incus, project, of, older).await?;
        }
    }
    Ok(())
}
