use bascule_world::{Ended, World};

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
        let mut undisturbed = world();
        let ended = undisturbed.up().await;
        assert_ok(&ended);
        let wanted = undisturbed.state().await;
        for event in 0..ended.events.len() {
            let mut world = world();
            world.kill_after(event);
            let killed = world.up().await;
            assert!(killed.killed || killed.is_ok(), "event {event}");
            assert_ok(&world.up().await);
            assert_eq!(world.state().await, wanted, "killed after event {event}");
            assert_eq!(world.up().await.changed(), 0, "a third run after a kill at event {event}");
        }
    });
}

#[test]
fn a_deploy_killed_after_any_event_never_takes_the_old_release_away_and_ends_when_run_again() {
    block_on(async {
        let mut undisturbed = world();
        assert_ok(&undisturbed.up().await);
        assert_ok(&undisturbed.deploy(&commit("a")).await);
        let ended = undisturbed.deploy(&commit("b")).await;
        assert_ok(&ended);
        let wanted = undisturbed.state().await;
        for event in 0..ended.events.len() {
            let mut world = world();
            assert_ok(&world.up().await);
            assert_ok(&world.deploy(&commit("a")).await);
            world.kill_after(event);
            world.deploy(&commit("b")).await;
            let served = world.served();
            assert_eq!(served.len(), 2, "killed after event {event}: {served:?}");
            assert!(served.values().all(|served| [commit("a"), commit("b")].contains(served)), "{served:?}");
            assert_ok(&world.deploy(&commit("b")).await);
            assert_eq!(world.state().await, wanted, "killed after event {event}");
            assert_eq!(world.up().await.changed(), 0, "an `up` after a kill at event {event}");
        }
    });
}

#[test]
fn a_rollback_killed_after_any_event_ends_when_run_up() {
    block_on(async {
        let mut undisturbed = world();
        assert_ok(&undisturbed.up().await);
        assert_ok(&undisturbed.deploy(&commit("a")).await);
        assert_ok(&undisturbed.deploy(&commit("b")).await);
        let ended = undisturbed.rollback().await;
        assert_ok(&ended);
        for event in 0..ended.events.len() {
            let mut world = world();
            assert_ok(&world.up().await);
            assert_ok(&world.deploy(&commit("a")).await);
            assert_ok(&world.deploy(&commit("b")).await);
            world.kill_after(event);
            world.rollback().await;
            // Whatever was decided when it was killed, `up` makes it so, for all components alike.
            assert_ok(&world.up().await);
            let served: Vec<String> = world.served().into_values().collect();
            assert_eq!(served.len(), 2, "killed after event {event}");
            assert_eq!(served[0], served[1], "killed after event {event}");
        }
    });
}

#[test]
fn a_second_up_changes_nothing_and_asks_every_instance_once() {
    block_on(async {
        let mut world = world();
        assert_ok(&world.up().await);
        assert_ok(&world.deploy(&commit("a")).await);
        let before = world.incus.calls().len();
        let ended = world.up().await;
        assert_eq!(ended.changed(), 0, "{}", bascule_world::outline(&ended.events));
        let calls = world.incus.calls();
        let execs: Vec<String> =
            calls[before..].iter().filter(|call| call.verb == "exec").map(|call| call.object.clone()).collect();
        let mut once = execs.clone();
        once.dedup();
        assert_eq!(execs.len(), world.platform.instances.len(), "{execs:?}");
        assert_eq!(execs, once);
    });
}

#[test]
fn what_plan_says_would_change_is_what_up_changes() {
    block_on(async {
        let mut world = world();
        assert_ok(&world.up().await);
        assert_ok(&world.deploy(&commit("a")).await);
        world.stop("api-blue-1").await;
        let planned = world.plan().await;
        let done = world.up().await;
        assert_ok(&done);
        assert!(planned.changed() >= done.changed() && done.changed() > 0);
    });
}
