//! What must be true at every moment, looked at after everything that happens in the world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bascule_incus::Profile;
use bascule_incus::fake::{Call, FakeIncus};
use bascule_spec::{Component, Instance, Platform, Role, Topology};

use crate::machines::Machines;

/// A property that did not hold, and how that was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {seen}")]
pub struct Violation {
    pub property: Property,
    pub seen: String,
}

/// What has to be true of every run, whatever happens in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Run again, it gets to where an undisturbed run gets.
    Converges,
    /// What `plan` says would change is what `up` changes.
    PlanEqualsApply,
    /// Of a group that must keep serving, no two members are down at once because of us.
    OneAtATime,
    /// Where no fault took it, a component answers through every load balancer.
    KeepsServing,
    /// Load balancers follow what is recorded, in the order of its generations, for all components alike.
    OneColour,
    /// Only who holds the lock changes anything.
    OneHolder,
    /// Who is dead does not keep the lock.
    LockOfTheLiving,
}

impl std::fmt::Display for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Converges => "it does not converge",
            Self::PlanEqualsApply => "plan and apply differ",
            Self::OneAtATime => "two of a group are down at once",
            Self::KeepsServing => "nobody serves",
            Self::OneColour => "two colours are half live",
            Self::OneHolder => "somebody changes something without the lock",
            Self::LockOfTheLiving => "the dead hold the lock",
        })
    }
}

#[derive(Debug)]
pub(crate) struct Watch {
    platform: Platform,
    incus: FakeIncus,
    machines: Arc<Machines>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    violation: Option<Violation>,
    /// What was recorded as active at each generation.
    recorded: BTreeMap<u64, String>,
    /// The last generation that a load balancer ran with.
    generations: BTreeMap<String, u64>,
    /// Replicas and load balancers that have been in service.
    served: BTreeSet<String>,
    /// Instances that a fault took: of their groups nothing is promised until they were mended.
    taken: BTreeSet<String>,
    /// Those of them that were mended and have not been seen in service yet, until when that may take.
    recovering: BTreeMap<String, u64>,
    eyes_closed: bool,
}

impl Watch {
    pub(crate) fn new(platform: &Platform, incus: FakeIncus, machines: Arc<Machines>) -> Arc<Self> {
        let watch = Arc::new(Self { platform: platform.clone(), incus, machines, seen: Mutex::default() });
        // Set once, right after the machines were made.
        let _ = watch.machines.watch.set(Arc::downgrade(&watch));
        watch
    }

    /// The first property that did not hold.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.seen().violation.clone()
    }

    pub(crate) fn close_eyes(&self) {
        self.seen().eyes_closed = true;
    }

    /// A fault took an instance.
    pub(crate) fn taken(&self, instance: &str) {
        self.seen().taken.insert(instance.to_owned());
    }

    /// `up` mended everything that faults took. A replica whose deploy was cut off is started, and nobody waits for load
    /// balancers to see that.
    pub(crate) fn mended(&self) {
        let until_ms = self.machines.time.now_ms() + self.machines.model.recovers_in_ms();
        let mut seen = self.seen();
        let taken = std::mem::take(&mut seen.taken);
        seen.recovering.extend(taken.into_iter().map(|instance| (instance, until_ms)));
    }

    /// Another verb did its work, which mends only whom it works on: a deploy leaves a Redis that is off as it is.
    pub(crate) fn mended_in_passing(&self) {
        let mut seen = self.seen();
        let serves = |name: &String| {
            let mut instances = self.platform.instances.iter();
            instances.any(|instance| instance.name == *name && self.serves(instance))
        };
        seen.taken.retain(|name| !serves(name));
    }

    fn serves(&self, instance: &Instance) -> bool {
        let model = &self.machines.model;
        let host = self.machines.host(&instance.name).filter(|host| host.running);
        host.is_some_and(|host| match instance.role {
            Role::LoadBalancer => host.machine.is_active("haproxy.service"),
            Role::Redis => model.is_member_up(instance),
            Role::Component { .. } => model.in_rotation(instance, self.machines.time.now_ms()).is_ok(),
            _ => true,
        })
    }

    /// An operator's process has changed something in Incus. The lock itself anybody may try to take, and the project it
    /// lives in comes before it.
    pub(crate) fn changed(&self, process: &str, call: &Call) {
        let is_lock = call.object.starts_with("bascule-lock-");
        if is_lock || call.verb == "create-project" {
            return;
        }
        let profiles = self.incus.profiles_of(&self.platform.incus.project);
        let number = |profile: &Profile| profile.name.strip_prefix("bascule-lock-")?.parse::<u64>().ok();
        let newest = profiles.iter().filter_map(|profile| Some((number(profile)?, profile))).max_by_key(|(n, _)| *n);
        let record = newest.and_then(|(_, profile)| profile.config.values().next().cloned()).unwrap_or_default();
        let holder: serde_json::Value = serde_json::from_str(&record).unwrap_or_default();
        let mut seen = self.seen();
        if seen.violation.is_none() && !seen.eyes_closed && holder["process"] != process {
            let what = format!("{process} did `{call}`, and the lock is {record:?}");
            seen.violation = Some(Violation { property: Property::OneHolder, seen: what });
        }
    }

    pub(crate) fn look(&self) {
        let mut seen = self.seen();
        if seen.violation.is_none() && !seen.eyes_closed {
            seen.violation = self.looked(&mut seen).err();
        }
    }

    fn looked(&self, seen: &mut Seen) -> Result<(), Violation> {
        let now_ms = self.machines.time.now_ms();
        seen.recovering.retain(|_, until_ms| now_ms < *until_ms);
        if self.platform.load_balancer.topology == Topology::BlueGreen {
            self.colours(seen)?;
        }
        self.load_balancers(seen)?;
        let members: Vec<&Instance> = self.platform.redis_members().collect();
        one_at_a_time("Redis", &members, |member| self.serves(member), seen)?;
        for component in &self.platform.components {
            self.component(component, seen)?;
        }
        Ok(())
    }

    /// The intent is recorded first, a generation means one colour, and no load balancer ever goes back to an older one.
    fn colours(&self, seen: &mut Seen) -> Result<(), Violation> {
        let violated = |seen: String| Err(Violation { property: Property::OneColour, seen });
        let profiles = self.incus.profiles_of(&self.platform.incus.project);
        let record = profiles.into_iter().find(|profile| profile.name == "bascule-record");
        let record = record.map(|profile| profile.config).unwrap_or_default();
        if let Some(Ok(generation)) = record.get("user.bascule.generation").map(|generation| generation.parse()) {
            let active = record.get("user.bascule.active").map_or("none", String::as_str);
            let before = seen.recorded.entry(generation).or_insert_with(|| active.to_owned());
            if before != active {
                return violated(format!("generation {generation} was recorded as {before}, and now as {active}"));
            }
        }
        for load_balancer in self.platform.load_balancers() {
            let name = load_balancer.name.as_str();
            let maps = self.machines.model.runtime_maps(name);
            let Some((active, generation)) = read_maps(&maps) else { continue };
            let last = seen.generations.entry(name.to_owned()).or_default();
            if generation < *last {
                return violated(format!("{name} went back from generation {last} to {generation}"));
            }
            *last = generation;
            // It moves the traffic first, and the generation when that was seen to work.
            let is_recorded = generation == 0 && active == "none"
                || seen.recorded.range(generation..).any(|(_, recorded)| recorded == active);
            let newest = seen.recorded.keys().next_back().copied().unwrap_or_default();
            if !is_recorded || generation > newest {
                return violated(format!(
                    "{name} sends traffic to {active} in generation {generation}; recorded are {:?}",
                    seen.recorded
                ));
            }
        }
        Ok(())
    }

    fn load_balancers(&self, seen: &mut Seen) -> Result<(), Violation> {
        let all: Vec<&Instance> = self.platform.load_balancers().collect();
        one_at_a_time("the load balancers", &all, |instance| self.serves(instance), seen)
    }

    fn component(&self, component: &Component, seen: &mut Seen) -> Result<(), Violation> {
        let now_ms = self.machines.time.now_ms();
        for load_balancer in self.platform.load_balancers() {
            let Some(pool) = self.machines.model.pool(&load_balancer.name, component) else { continue };
            let what = format!("{} behind {}", component.name, load_balancer.name);
            let answer = |replica: &Instance| self.machines.model.in_rotation(replica, now_ms).ok();
            let answers: BTreeSet<String> = pool.iter().filter_map(|replica| answer(replica)).collect();
            // A first release is complete when every replica has served; one replica alone has no choice.
            let is_complete = pool.len() > 1 && pool.iter().all(|replica| seen.served.contains(&replica.name));
            if answers.is_empty() && is_complete && !took_any(&pool, seen) {
                return Err(Violation { property: Property::KeepsServing, seen: what });
            }
            one_at_a_time(&what, &pool, |replica| answer(replica).is_some(), seen)?;
            if self.platform.load_balancer.topology == Topology::BlueGreen && answers.len() > 1 {
                let seen = format!("{what} answers with {answers:?}");
                return Err(Violation { property: Property::OneColour, seen });
            }
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of those that have served, at most one does not; a group of one has no choice.
fn one_at_a_time(
    what: &str,
    group: &[&Instance],
    serves: impl Fn(&Instance) -> bool,
    seen: &mut Seen,
) -> Result<(), Violation> {
    let (up, down): (Vec<&Instance>, Vec<&Instance>) = group.iter().copied().partition(|instance| serves(instance));
    seen.served.extend(up.iter().map(|instance| instance.name.clone()));
    seen.recovering.retain(|name, _| up.iter().all(|instance| instance.name != *name));
    let down: Vec<&str> =
        down.iter().map(|instance| instance.name.as_str()).filter(|name| seen.served.contains(*name)).collect();
    if down.len() > 1 && !took_any(group, seen) {
        let seen = format!("{} of {what}", down.join(" and "));
        return Err(Violation { property: Property::OneAtATime, seen });
    }
    Ok(())
}

fn took_any(group: &[&Instance], seen: &Seen) -> bool {
    group.iter().any(|instance| seen.taken.contains(&instance.name) || seen.recovering.contains_key(&instance.name))
}

/// The colour and the generation that HAProxy's maps say.
fn read_maps(maps: &str) -> Option<(&str, u64)> {
    let value = |key: &str| maps.lines().find_map(|line| line.strip_prefix(key));
    Some((value("active ")?, value("generation ")?.parse().ok()?))
}
