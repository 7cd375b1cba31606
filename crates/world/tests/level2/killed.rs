use std::time::Duration;

use bascule_plan::agent::Outcome;
use bascule_plan::event::{Event, ThingKind};
use bascule_roles::Existing;
use bascule_world::{Ended, HOSTS, Verb, World};

const PLATFORM: &str = include_str!("../scenarios/blue-green.txt");

fn world() -> World {
    World::new(PLATFORM.split_once("---\n").unwrap().0)
}

fn commit(letter: &str) -> String {
    letter.repeat(40)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}

fn assert_ok(ended: &Ended) {
    assert!(ended.is_ok(), "{}\n{:?}", bascule_world::outline(&ended.events), ended.error);
}

#[test]
fn up_killed_after_any_event_and_run_again_leads_to_the_same_world() {
    block_on(async {
        let undisturbed = world();
        let ended = undisturbed.up().await;
        assert_ok(&ended);
        let wanted = undisturbed.state().await;
        for event in 0..ended.events.len() {
            let world = world();
            let killed = world.run(&Verb::Up, Some(event)).await;
            assert!(killed.killed || killed.is_ok(), "event {event}");
            assert_ok(&world.up().await);
            assert_eq!(world.state().await, wanted, "killed after event {event}");
            assert_eq!(world.up().await.changed(), 0, "a third run after a kill at event {event}");
            assert_eq!(world.is_sound(), Ok(()), "killed after event {event}");
        }
    });
}

#[test]
fn a_deploy_killed_after_any_event_never_takes_the_old_release_away_and_ends_when_run_again() {
    block_on(async {
        let undisturbed = world();
        assert_ok(&undisturbed.up().await);
        assert_ok(&undisturbed.deploy(&commit("a")).await);
        let ended = undisturbed.deploy(&commit("b")).await;
        assert_ok(&ended);
        let wanted = undisturbed.state().await;
        for event in 0..ended.events.len() {
            let world = world();
            assert_ok(&world.up().await);
            assert_ok(&world.deploy(&commit("a")).await);
            world.run(&Verb::Deploy(commit("b")), Some(event)).await;
            let served = world.served();
            assert_eq!(served.len(), 2, "killed after event {event}: {served:?}");
            assert!(served.values().all(|served| [commit("a"), commit("b")].contains(served)), "{served:?}");
            assert_ok(&world.deploy(&commit("b")).await);
            assert_eq!(world.state().await, wanted, "killed after event {event}");
            assert_eq!(world.up().await.changed(), 0, "an `up` after a kill at event {event}");
            assert_eq!(world.is_sound(), Ok(()), "killed after event {event}");
        }
    });
}

#[test]
fn a_rollback_killed_after_any_event_ends_when_run_up() {
    block_on(async {
        let undisturbed = world();
        assert_ok(&undisturbed.up().await);
        assert_ok(&undisturbed.deploy(&commit("a")).await);
        assert_ok(&undisturbed.deploy(&commit("b")).await);
        let ended = undisturbed.rollback().await;
        assert_ok(&ended);
        for event in 0..ended.events.len() {
            let world = world();
            assert_ok(&world.up().await);
            assert_ok(&world.deploy(&commit("a")).await);
            assert_ok(&world.deploy(&commit("b")).await);
            world.run(&Verb::Rollback, Some(event)).await;
            // Whatever was decided when it was killed, `up` makes it so, for all components alike.
            assert_ok(&world.up().await);
            let served: Vec<String> = world.served().into_values().collect();
            assert_eq!(served.len(), 2, "killed after event {event}");
            assert_eq!(served[0], served[1], "killed after event {event}");
            assert_eq!(world.is_sound(), Ok(()), "killed after event {event}");
        }
    });
}

#[test]
fn a_second_up_changes_nothing_and_asks_every_instance_once() {
    for platform in [PLATFORM, include_str!("../scenarios/multi-instance.txt")] {
        let world = World::new(platform.split_once("---\n").unwrap().0);
        block_on(async {
            assert_ok(&world.up().await);
            assert_ok(&world.deploy(&commit("a")).await);
            let before = world.incus.calls().len();
            let ended = world.up().await;
            assert_eq!(ended.changed(), 0, "{}", bascule_world::outline(&ended.events));
            let calls = world.incus.calls();
            let execs = calls[before..].iter().filter(|call| call.verb == "exec").map(|call| call.object.clone());
            let execs: Vec<String> = execs.collect();
            let mut instances: Vec<&String> = world.platform.instances.iter().map(|instance| &instance.name).collect();
            let mut asked: Vec<&String> = execs.iter().collect();
            instances.sort();
            asked.sort();
            assert_eq!(asked, instances, "each of them once");
        });
    }
}

#[test]
fn what_plan_says_would_change_is_what_up_changes() {
    block_on(async {
        let world = world();
        assert_ok(&world.up().await);
        assert_ok(&world.deploy(&commit("a")).await);
        world.stop("api-blue-1").await;
        world.rotate_secrets();
        let planned = world.plan().await;
        let done = world.up().await;
        assert_ok(&done);
        assert!(done.changed() > 0);
        assert_eq!(bascule_world::plan_equals_apply(&planned, &done), Ok(()));
    });
}

#[test]
fn a_switch_that_was_killed_is_finished_before_another_deploy_takes_the_old_colour_apart() {
    block_on(async {
        let undisturbed = world();
        assert_ok(&undisturbed.up().await);
        assert_ok(&undisturbed.deploy(&commit("a")).await);
        let ended = undisturbed.deploy(&commit("b")).await;
        let switch = ended.events.iter().position(|event| matches!(event, Event::Switch { .. })).unwrap();

        let world = world();
        assert_ok(&world.up().await);
        assert_ok(&world.deploy(&commit("a")).await);
        assert!(world.run(&Verb::Deploy(commit("b")), Some(switch)).await.killed);
        assert_eq!(world.served()["api"], commit("a"), "only the intent was recorded");
        let ended = world.deploy(&commit("c")).await;
        assert_ok(&ended);
        let place = |wanted: &dyn Fn(&Event) -> bool| ended.events.iter().position(wanted).unwrap();
        let finished = place(
            &|event| matches!(event, Event::StepEnded { step, outcome: Outcome::Changed, .. } if step == "load_balancer/switch/traffic"),
        );
        let taken_apart =
            place(&|event| matches!(event, Event::Thing { kind: ThingKind::Instance, outcome: Outcome::Changed, .. }));
        assert!(finished < taken_apart, "{}", bascule_world::outline(&ended.events));
        assert_eq!(world.served()["api"], commit("c"));
    });
}

#[test]
fn a_rotation_of_secrets_killed_after_any_event_keeps_serving_and_ends_when_run_again() {
    block_on(async {
        let released = async || {
            let world = world();
            assert_ok(&world.up().await);
            assert_ok(&world.deploy(&commit("a")).await);
            world.rotate_secrets();
            world
        };
        let undisturbed = released().await;
        let ended = undisturbed.up().await;
        assert_ok(&ended);
        assert!(ended.changed() > 0);
        let wanted = undisturbed.state().await;
        for event in 0..ended.events.len() {
            let world = released().await;
            world.run(&Verb::Up, Some(event)).await;
            assert_eq!(world.served()["api"], commit("a"), "killed after event {event}");
            assert_ok(&world.up().await);
            assert_eq!(world.state().await, wanted, "killed after event {event}");
            assert_eq!(world.up().await.changed(), 0, "a third run after a kill at event {event}");
            assert_eq!(world.served()["api"], commit("a"), "killed after event {event}");
            assert_eq!(world.is_sound(), Ok(()), "killed after event {event}");
        }
    });
}

/// Three replicas of a program that speaks TLS, behind a load balancer; the certificates of all of them are due at once.
async fn due() -> World {
    const TWO_THIRDS_OF_THEIR_TIME: Duration = Duration::from_hours(61 * 24);
    let rolling = include_str!("../scenarios/multi-instance.txt").split_once("---\n").unwrap().0;
    let world = World::new(&rolling.replace("port = 8080\n", "port = 8080\ntls = true\n"));
    assert_ok(&world.up().await);
    assert_ok(&world.deploy(&commit("a")).await);
    tokio::time::sleep(TWO_THIRDS_OF_THEIR_TIME).await;
    world
}

#[test]
fn a_renewal_killed_after_any_event_keeps_serving_and_ends_when_run_again() {
    block_on(async {
        let undisturbed = due().await;
        let ended = undisturbed.run(&Verb::Renew, None).await;
        assert_ok(&ended);
        let certificates = undisturbed.platform.instances.len() + undisturbed.platform.replicas("api", None).count();
        assert!(ended.changed() > certificates as u64, "{}", bascule_world::outline(&ended.events));
        assert_eq!(undisturbed.run(&Verb::Renew, None).await.changed(), 0, "renewed twice");
        assert_eq!(undisturbed.up().await.changed(), 0, "something is left for `up`");
        for event in 0..ended.events.len() {
            let world = due().await;
            world.run(&Verb::Renew, Some(event)).await;
            assert_eq!(world.served()["api"], commit("a"), "killed after event {event}");
            assert_ok(&world.run(&Verb::Renew, None).await);
            assert_eq!(world.up().await.changed(), 0, "an `up` after a kill at event {event}");
            assert_eq!(world.served()["api"], commit("a"), "killed after event {event}");
            assert_eq!(world.is_sound(), Ok(()), "killed after event {event}");
        }
    });
}

#[test]
fn a_renewal_leaves_alone_what_does_not_run_and_does_not_take_the_last_replica() {
    block_on(async {
        let world = due().await;
        world.stop("api-2").await;
        let ended = world.run(&Verb::Renew, None).await;
        let failed: Vec<&str> = (ended.events.iter())
            .filter_map(|event| match event {
                Event::Failure(failure) => failure.instance.as_deref(),
                _ => None,
            })
            .collect();
        assert_eq!(failed, ["api-1", "api-3"], "{}", bascule_world::outline(&ended.events));
        assert_eq!(world.facts().await.unwrap().instances["api-2"], Existing::Stopped);
        assert_eq!(world.is_sound(), Ok(()));
        assert_ok(&world.up().await);
        assert_eq!(world.run(&Verb::Renew, None).await.changed(), 0, "`up` has renewed all");
    });
}

#[test]
fn host_up_killed_after_any_event_and_run_again_leads_to_the_same_hosts() {
    let bare = || {
        let instances = PLATFORM.split_once("---\n").unwrap().0;
        World::new(&format!("{instances}{HOSTS}"))
    };
    block_on(async {
        let undisturbed = bare();
        let ended = undisturbed.host_up().await;
        assert_ok(&ended);
        let wanted = undisturbed.state().await;
        for event in 0..ended.events.len() {
            let world = bare();
            let killed = world.run(&Verb::HostUp, Some(event)).await;
            assert!(killed.killed || killed.is_ok(), "event {event}");
            assert_ok(&world.host_up().await);
            assert_eq!(world.state().await, wanted, "killed after event {event}");
            assert_eq!(world.host_up().await.changed(), 0, "a third run after a kill at event {event}");
        }
    });
}
