//! One world undisturbed, and one in which everything goes wrong: in the end they have to be the same.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bascule_incus::{Incus as _, StopMode};

use crate::artifacts::Artifacts;
use crate::chaos::{Chaos, Planted};
use crate::course::{Act, Before, Course, MILLION};
use crate::dice::Dice;
use crate::promise::{plan_equals_apply, unchanged};
use crate::verbs::{Ended, Verb};
use crate::watch::{Property, Violation};
use crate::{World, outline};

/// How often a verb may be run again, with nothing in its way, before it counts as one that does not converge.
const ROUNDS_MAX: usize = 4;

/// A seed that found something.
#[derive(Debug)]
pub struct Failed {
    pub seed: u64,
    pub violation: Violation,
    course: String,
    log: Vec<String>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replay = "cargo test --profile checked -p bascule-world --test level2 seeds";
        // In front, since the rest is long and logs are cut.
        writeln!(f, "to replay it: SEED={} {replay}\n{}\n{}", self.seed, self.violation, self.course)?;
        for said in &self.log {
            writeln!(f, "{said}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failed {}

/// Plays what a seed draws, in a time of its own.
///
/// # Errors
/// The first property that did not hold.
pub fn simulate(seed: u64, planted: Option<Planted>) -> Result<(), Box<Failed>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut dice = Dice::new(seed);
    let course = Course::draw(&mut dice);
    let mut log = Vec::new();
    let played = runtime.expect("a runtime").block_on(play(&course, dice, planted, &mut log));
    played.map_err(|violation| Box::new(Failed { seed, violation, course: course.to_string(), log }))
}

async fn play(
    course: &Course,
    mut dice: Dice,
    planted: Option<Planted>,
    log: &mut Vec<String>,
) -> Result<(), Violation> {
    let artifacts = Arc::new(Artifacts::new());
    let mut world =
        |planted| World::with(&course.platform, course.warm_up_ms, artifacts.clone(), Chaos::new(dice.more(), planted));
    let (calm, stormy) = (world(None), world(planted));
    for act in &course.acts {
        calm.prepare(act).await;
        let wanted = calm.undisturbed(&act.verb).await?;
        if !wanted.is_ok() {
            log.push(format!("--- {:?}, undisturbed\n{}{:?}", act.verb, outline(&wanted.events), wanted.error));
        }
        calm.is_sound()?;
        stormy.prepare(act).await;
        let disturbed = stormy.disturbed(act, &wanted).await;
        log.push(format!("--- {:?}, disturbed\n{}{:?}", act.verb, outline(&disturbed.events), disturbed.error));
        stormy.is_sound()?;
        stormy.settle(&act.verb, &disturbed, &wanted, &calm.served(), log).await?;
        stormy.is_sound()?;
    }
    let up = course.acts[0].verb.up();
    let ended = stormy.undisturbed(&up).await?;
    log.push(format!("--- the last up\n{}", outline(&ended.events)));
    unchanged(&stormy.run(&up, None).await)?;
    calm.undisturbed(&up).await?;
    same(&calm.state().await, &stormy.state().await)
}

impl World {
    /// What happens to the world before a verb.
    async fn prepare(&self, act: &Act) {
        let instance = |n: usize| self.machine_of(&act.verb, n);
        match &act.before {
            None => {}
            Some(Before::Rotation) => self.rotate_secrets(),
            Some(Before::Sickness(commit)) => self.make_sick(commit),
            Some(Before::PowerOff(n)) if act.verb.is_of_hosts() => self.machines.lose_power(instance(*n), 0),
            Some(Before::PowerOff(n)) => self.stop(instance(*n)).await,
            Some(Before::Removed(n, path)) => {
                if let Some(host) = self.machines.host(instance(*n)).filter(|host| host.machine.content(path).is_some())
                {
                    host.machine.remove_path(path);
                }
            }
            Some(Before::Died(n, unit)) => self.die(instance(*n), unit),
        }
    }

    /// The machine of this number, of those that a verb works on.
    fn machine_of(&self, verb: &Verb, n: usize) -> &str {
        match verb.is_of_hosts() {
            true => &self.platform.hosts[n % self.platform.hosts.len()].name,
            false => &self.platform.instances[n % self.platform.instances.len()].name,
        }
    }

    /// Runs a verb with nothing in its way. An `up` has to do exactly what `plan` said before, unless an agent that a killed
    /// run left behind does some of it in between.
    async fn undisturbed(&self, verb: &Verb) -> Result<Ended, Violation> {
        let has_left_behind = self.machines.has_left_behind();
        let planned = match verb {
            Verb::Up => Some(self.plan().await),
            Verb::HostUp => Some(self.run(&Verb::HostPlan, None).await),
            _ => None,
        };
        let ended = self.run(verb, None).await;
        if let Some(error) = ended.error.as_ref().filter(|error| error.starts_with("the lock is held by")) {
            return Err(Violation { property: Property::LockOfTheLiving, seen: error.clone() });
        }
        if let Some(planned) = planned.filter(|_| !has_left_behind) {
            plan_equals_apply(&planned, &ended)?;
        }
        if ended.is_ok() {
            self.mended_by(verb);
        }
        Ok(ended)
    }

    fn mended_by(&self, verb: &Verb) {
        match verb {
            Verb::Up | Verb::HostUp => self.watch.mended(),
            _ => self.watch.mended_in_passing(),
        }
    }

    async fn disturbed(&self, act: &Act, undisturbed: &Ended) -> Ended {
        let share = |share: u64, of: usize| usize::try_from(share * of as u64 / MILLION).unwrap_or_default();
        let disturbance = act.disturbance;
        let kill_after = disturbance.kill.map(|kill| share(kill, undisturbed.events.len()));
        let power_off = disturbance.power_off.map(|(n, at)| {
            let (name, is_host) = (self.machine_of(&act.verb, n).to_owned(), act.verb.is_of_hosts());
            let machines = self.machines.clone();
            let (incus, watch, project) = (self.incus.clone(), self.watch.clone(), self.platform.incus.project.clone());
            let at = Duration::from_millis(undisturbed.took_ms * at / MILLION);
            tokio::spawn(async move {
                tokio::time::sleep(at).await;
                if is_host {
                    return machines.lose_power(&name, machines.chaos.power_loss_seed());
                }
                watch.taken(&name);
                // There may be no such instance yet.
                let _ = incus.stop(&project, &name, StopMode::Force).await;
                watch.look();
            })
        });
        self.chaos.reign(disturbance.chaos);
        let other = async {
            let Some((is_same, wait_s)) = disturbance.race else { return };
            // Twice back is forth again.
            let verb = if is_same && act.verb != Verb::Rollback { act.verb.clone() } else { act.verb.up() };
            self.run_as("bob", &verb, None, Duration::from_secs(wait_s)).await;
        };
        let (ended, ()) = tokio::join!(self.run(&act.verb, kill_after), other);
        self.chaos.reign(false);
        if let Some(power_off) = power_off {
            power_off.abort();
        }
        tokio::time::sleep(Duration::from_millis(disturbance.pause_ms)).await;
        ended
    }

    /// A deploy is recorded that did not end.
    fn is_deploying(&self) -> bool {
        let profiles = self.incus.profiles_of(&self.platform.incus.project);
        profiles
            .iter()
            .flat_map(|profile| profile.config.values())
            .any(|value| value.contains(r#""state":"deploying""#))
    }

    /// Runs a verb again, as a person would, until it has done what it does in an undisturbed world.
    async fn settle(
        &self,
        verb: &Verb,
        disturbed: &Ended,
        wanted: &Ended,
        served: &BTreeMap<String, String>,
        log: &mut Vec<String>,
    ) -> Result<(), Violation> {
        // Refused, because something does not run, is not tried.
        let was_tried =
            |ended: &Ended| !ended.error.as_ref().is_some_and(|error| error.starts_with("the platform is not up"));
        let is_there = |ended: &Ended| {
            ended.is_ok() == wanted.is_ok() && was_tried(ended) && self.served() == *served && !self.is_deploying()
        };
        if disturbed.is_ok() && is_there(disturbed) {
            self.mended_by(verb);
            return Ok(());
        }
        let mut seen = String::new();
        for round in 0..ROUNDS_MAX {
            // What does not run has to be brought up first. And a rollback is not repeated blindly: the way back from it
            // is one, too.
            if *verb == Verb::Rollback || round > 0 {
                let up = self.undisturbed(&verb.up()).await?;
                log.push(format!("--- up, first\n{}{:?}", outline(&up.events), up.error));
                if *verb == Verb::Rollback && is_there(&up) {
                    return Ok(());
                }
            }
            let mut ended = self.undisturbed(verb).await?;
            if let (Verb::Rollback, false, true, Some(commit)) =
                (verb, ended.is_ok(), wanted.is_ok(), served.values().next())
            {
                // What was in the way may have left the colour marked as failed; the tool says so, and a deploy is the way.
                ended = self.undisturbed(&Verb::Deploy(commit.clone())).await?;
            }
            log.push(format!("--- {verb:?}, again\n{}{:?}", outline(&ended.events), ended.error));
            if is_there(&ended) {
                return Ok(());
            }
            seen = format!("{verb:?} ends {:?}, serving {:?} instead of {served:?}", ended.error, self.served());
        }
        Err(Violation { property: Property::Converges, seen })
    }
}

fn same(calm: &BTreeMap<String, String>, stormy: &BTreeMap<String, String>) -> Result<(), Violation> {
    let differs = calm.keys().chain(stormy.keys()).find(|key| calm.get(*key) != stormy.get(*key));
    differs.map_or(Ok(()), |key| {
        let told = |state: &BTreeMap<String, String>| state.get(key).map_or("absent", String::as_str).to_owned();
        let seen = format!("{key} is {} in a calm world, and here {}", told(calm), told(stormy));
        Err(Violation { property: Property::Converges, seen })
    })
}
