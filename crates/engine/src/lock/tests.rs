#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use bascule_incus::fake::FakeIncus;
use bascule_incus::{Client, DEFAULT_SOCKET, Profile};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::nothing::{Nothing, engine};

/// Of a name that `scripts/sweep-tests` sweeps away, since one test is on a real Incus.
const PROJECT: &str = "bascule-test-lock";

/// Tokio's paused time, and a wall clock that may go wrong by so much.
#[derive(Debug)]
struct Paused {
    began: Instant,
    wrong_by_ms: AtomicI64,
}

impl Clock for Paused {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    fn unix_ms(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.monotonic_ms()).unwrap() + self.wrong_by_ms.load(Ordering::Relaxed)
    }
}

/// One Incus, and when its test began.
struct Ground {
    incus: Arc<dyn Incus>,
    began: Instant,
}

/// An operator's machine: the same Incus, a clock of its own.
fn run_with_clock(ground: &Ground, wrong_by: Duration) -> Run {
    let Ground { incus, began } = ground;
    let wrong_by_ms = AtomicI64::new(i64::try_from(wrong_by.as_millis()).unwrap());
    let engine = engine(incus.clone());
    let engine = Engine { clock: Arc::new(Paused { began: *began, wrong_by_ms }), ..engine };
    engine.run(PROJECT, mpsc::unbounded_channel().0)
}

fn run(ground: &Ground) -> Run {
    run_with_clock(ground, Duration::ZERO)
}

async fn ground() -> Ground {
    let incus = Arc::new(FakeIncus::new(Arc::new(Nothing)));
    incus.create_project(PROJECT, BTreeMap::new()).await.unwrap();
    Ground { incus, began: Instant::now() }
}

fn claim(who: &str) -> Claim {
    Claim {
        who: who.to_owned(),
        doing: "up".to_owned(),
        process: format!("process of {who}"),
        has_ended: |process| process.contains("zoe"),
        wait: Duration::ZERO,
    }
}

/// What its holder may still do.
async fn change(run: Run, lock: &Lock) -> bascule_incus::Result<()> {
    run.under(lock).incus().patch_project_config(PROJECT, [("user.mark".to_owned(), Some("x".to_owned()))].into()).await
}

fn who_holds(refused: Result<Lock, LockError>) -> String {
    match refused {
        Err(LockError::Held { holder, .. }) => holder.who,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_the_first_has_the_lock_and_the_second_is_told_who() {
    let ground = ground().await;
    let lock = run(&ground).lock(&claim("ada")).await.unwrap();
    assert_eq!(who_holds(run(&ground).lock(&claim("bob")).await), "ada");
    change(run(&ground), &lock).await.unwrap();
    lock.release().await.unwrap();
    let next = run(&ground).lock(&claim("bob")).await.unwrap();
    assert_eq!(next.holder.generation, lock.holder.generation + 1, "a generation is given once");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_gets_the_lock_when_it_is_given_back() {
    let ground = ground().await;
    let lock = run(&ground).lock(&claim("ada")).await.unwrap();
    let bob = run(&ground);
    let patient = Claim { wait: Duration::from_mins(5), ..claim("bob") };
    let (waited, ()) = tokio::join!(bob.lock(&patient), async {
        lock.while_held(tokio::time::sleep(Duration::from_mins(2))).await.unwrap();
        lock.release().await.unwrap();
    });
    assert_eq!(waited.unwrap().holder.who, "bob");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_sleeps_past_its_lease_loses_the_lock_and_changes_nothing_more() {
    let ground = ground().await;
    let asleep = run(&ground);
    let lock = asleep.lock(&claim("ada")).await.unwrap();
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(who_holds(run(&ground).lock(&claim("bob")).await), "ada", "its lease still runs");
    tokio::time::sleep(LEASE).await;
    let taken = run(&ground).lock(&claim("bob")).await.unwrap();
    let refused = change(asleep, &lock).await.unwrap_err();
    assert!(matches!(&refused, IncusError::Withheld { why, .. } if why.contains("bob took it over")), "{refused}");
    change(run(&ground), &taken).await.unwrap();
    lock.release().await.unwrap();
    change(run(&ground), &taken).await.expect("what is lost cannot be given back");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_takes_the_lock_from_nobody_who_lives() {
    let ground = ground().await;
    let lock = run(&ground).lock(&claim("ada")).await.unwrap();
    let ahead = run_with_clock(&ground, Duration::from_hours(1));
    let (held, refused) = tokio::join!(lock.while_held(tokio::time::sleep(Duration::from_mins(1))), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        ahead.lock(&Claim { wait: Duration::from_secs(30), ..claim("bob") }).await
    });
    held.unwrap();
    assert_eq!(who_holds(refused), "ada");
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_process_has_certainly_ended_is_not_waited_for() {
    let ground = ground().await;
    run(&ground).lock(&claim("zoe")).await.unwrap();
    let began = Instant::now();
    run(&ground).lock(&claim("ada")).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_where_it_is_when_the_lock_is_taken_away() {
    let ground = ground().await;
    let lock = run(&ground).lock(&claim("ada")).await.unwrap();
    let other = run(&ground);
    let (lost, unlocked) = tokio::join!(lock.while_held(std::future::pending::<()>()), async {
        tokio::time::sleep(Duration::from_mins(3)).await;
        let generation = other.lock_state().await?.generation;
        other.unlock(generation, &claim("bob")).await
    });
    unlocked.unwrap();
    assert!(matches!(lost, Err(LockError::Lost(_))), "{lost:?}");
    assert_eq!(run(&ground).lock_state().await.unwrap().holder, None, "it is free for the next");
    run(&ground).lock(&claim("cy")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_is_over_is_not_unlocked_again() {
    let ground = ground().await;
    let lock = run(&ground).lock(&claim("ada")).await.unwrap();
    lock.release().await.unwrap();
    run(&ground).lock(&claim("bob")).await.unwrap();
    let refused = run(&ground).unlock(lock.holder.generation, &claim("cy")).await;
    assert!(matches!(refused, Err(LockError::Lost(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_looked_long_ago_does_not_get_a_generation_whose_mark_was_removed() {
    let ground = ground().await;
    let slow = run(&ground);
    let long_ago = slow.lock_state().await.unwrap();
    for who in ["ada", "bob", "cy"] {
        run(&ground).lock(&claim(who)).await.unwrap().release().await.unwrap();
    }
    let lock = run(&ground).lock(&claim("dan")).await.unwrap();
    assert!(slow.take(&long_ago, &claim("eve")).await.unwrap().is_none());
    change(run(&ground), &lock).await.unwrap();
    assert_eq!(run(&ground).lock_state().await.unwrap().generation, 4);
}

#[tokio::test(start_paused = true)]
async fn what_another_tool_wrote_into_the_profile_is_an_error_and_not_a_free_lock() {
    let ground = ground().await;
    ground
        .incus
        .create_profile(PROJECT, Profile { name: "bascule-lock-3".to_owned(), ..Profile::default() })
        .await
        .unwrap();
    let refused = run(&ground).lock(&claim("ada")).await;
    assert!(matches!(&refused, Err(LockError::Record { profile, .. }) if profile == "bascule-lock-3"), "{refused:?}");
}

/// A thousand races of four: on the fake, and on the real Incus where `BASCULE_LAB` is set (`make test` sets it).
async fn never_two_holders(ground: &Ground) {
    let holders = AtomicUsize::new(0);
    let mut won = 0;
    for race in 0..1000 {
        let contend = async |who: &str| {
            let claim = Claim { process: format!("{who} in race {race}"), ..claim(who) };
            let lock = match run(ground).lock(&claim).await {
                Ok(lock) => lock,
                Err(LockError::Held { .. }) => return 0,
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock in race {race}");
            change(run(ground), &lock).await.unwrap();
            assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1);
            lock.release().await.unwrap();
            1
        };
        let (a, b, c, d) = tokio::join!(contend("ada"), contend("bob"), contend("cy"), contend("dan"));
        assert!(a + b + c + d >= 1, "nobody got the lock in race {race}");
        won += a + b + c + d;
    }
    assert_eq!(run(ground).lock_state().await.unwrap().generation, won, "a generation for each holder");
    assert_eq!(ground.incus.profiles(PROJECT).await.unwrap().len(), 2, "one mark is left, beside `default`");
}

#[tokio::test(start_paused = true)]
async fn never_two_holders_in_a_thousand_races_on_the_fake() {
    never_two_holders(&ground().await).await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test that needs a real Incus says when there is none")]
async fn never_two_holders_in_a_thousand_races_on_the_real_incus() {
    if std::env::var_os("BASCULE_LAB").is_none() {
        eprintln!("skipped: BASCULE_LAB is not set, so no Incus is used");
        return;
    }
    let incus: Arc<dyn Incus> = Arc::new(Client::unix(DEFAULT_SOCKET).unwrap());
    let ground = Ground { incus, began: Instant::now() };
    run(&ground).make_project().await.unwrap();
    never_two_holders(&ground).await;
    for profile in ground.incus.profiles(PROJECT).await.unwrap() {
        if profile.name != "default" {
            ground.incus.delete_profile(PROJECT, &profile.name).await.unwrap();
        }
    }
    ground.incus.delete_project(PROJECT).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drill_is_in_nobodys_way_but_in_that_of_another_one() {
    let ground = ground().await;
    let drills = |who: &str| (run(&ground).locking(LockOf::Drill), claim(who));
    let ada = run(&ground).lock(&claim("ada")).await.unwrap();
    let (run_of_bob, bob) = drills("bob");
    let drill = run_of_bob.lock(&bob).await.unwrap();
    let (run_of_cyd, cyd) = drills("cyd");
    assert!(matches!(run_of_cyd.lock(&cyd).await, Err(LockError::Held { holder, .. }) if holder.who == "bob"));
    assert!(change(run(&ground), &ada).await.is_ok() && change(run_of_bob, &drill).await.is_ok());
    drill.release().await.unwrap();
    assert!(run_of_cyd.lock(&cyd).await.is_ok());
    assert_eq!(run(&ground).lock_state().await.unwrap().holder.unwrap().who, "ada");
}
