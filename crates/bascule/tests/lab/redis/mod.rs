//! Redis loses its members one after the other, in every way, while somebody writes.

mod group;

use std::time::Duration;

use group::{Group, MEMBERS, Writes};

use crate::lab::{now_ms, said};

/// What comes back by itself, or by `up` alone, and what `up` then has to say: nothing.
fn is_whole_again(group: &Group) {
    group.wait_until_whole();
    let master = group.master();
    assert_eq!(group.lab.summary(&["up"])["changed"], 0);
    assert_eq!(group.master(), master, "`up` would undo what Sentinels decided");
}

#[test]
fn a_master_that_is_killed_is_replaced_and_no_write_that_two_replicas_confirmed_is_lost() {
    const KILLS: usize = 20;
    let group = Group::up();
    let writes = Writes::start(&group, 2);
    let mut gaps_ms = Vec::new();
    for kill in 0..KILLS {
        let master = group.master();
        // In every fourth round a replica stands still, so that one alone confirms anything, until the master is gone.
        let lagging = (kill % 4 == 3).then(|| group.replica());
        let signal = |replica: &str, signal: &str| {
            group.lab.ok(&["exec", replica, "--", "systemctl", "kill", &format!("--signal={signal}"), "redis-server"]);
        };
        if let Some(replica) = &lagging {
            signal(replica, "STOP");
            std::thread::sleep(Duration::from_secs(2));
        }
        group.lab.incus(&["stop", "--force", &master]);
        let killed = now_ms();
        if let Some(replica) = &lagging {
            signal(replica, "CONT");
        }
        gaps_ms.push(writes.accepted_again_after(killed));
        group.lab.incus(&["start", &master]);
        group.wait_until_whole();
        assert_ne!(group.master(), master, "it came back as the master");
    }
    let (seen, lost) = writes.end();
    gaps_ms.sort_unstable();
    println!(
        "redis: {KILLS} masters killed; writes again after {} ms (median), {} ms (worst); lost of those that were confirmed: {lost:?} of {seen:?}",
        gaps_ms[KILLS / 2],
        gaps_ms[KILLS - 1]
    );
    assert!(seen.get("2").is_some_and(|written| *written > 1_000), "{seen:?}");
    assert!(seen.get("1").is_some_and(|written| *written > 0), "nobody lagged: {seen:?}");
    assert_eq!(lost.get("2"), None, "{lost:?} of {seen:?}");
    is_whole_again(&group);
}

#[test]
fn a_switchover_and_restarts_lose_no_write_that_was_answered() {
    let group = Group::up();
    let writes = Writes::start(&group, 0);
    let before = group.master();
    group.lab.ok(&["redis", "switchover"]);
    assert_ne!(group.master(), before);
    group.wait_until_whole();
    // Whoever is the master hands over before it stops.
    for _ in 0..2 {
        let master = group.master();
        group.lab.ok(&["exec", &master, "--", "systemctl", "restart", "redis-server"]);
        group.wait_until_whole();
        assert_ne!(group.master(), master);
    }
    group.lab.incus(&["restart", &group.master()]);
    group.wait_until_whole();
    // A setting that wants a restart of each.
    group.change("[redis]\nvolume = \"1GiB\"\ndata_max = \"144MiB\"\n");
    let summary = group.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    is_whole_again(&group);
    let (seen, lost) = writes.end();
    println!(
        "redis: a switchover, restarts of the master and of its machine, and a rolled setting: lost {lost:?} of {seen:?}"
    );
    assert!(lost.is_empty(), "{lost:?} of {seen:?}");
}

#[test]
fn a_master_that_is_frozen_or_cut_off_takes_no_more_writes_and_returns_as_a_replica() {
    let group = Group::up();
    let writes = Writes::start(&group, 2);
    let frozen = group.master();
    group.lab.incus(&["pause", &frozen]);
    let began = now_ms();
    let gap_ms = writes.accepted_again_after(began);
    group.lab.incus(&["resume", &frozen]);
    is_whole_again(&group);
    assert_ne!(group.master(), frozen);

    let cut = group.master();
    group.lab.cut_off(&cut);
    let began = now_ms();
    let gap_of_cut_ms = writes.accepted_again_after(began);
    // It goes on for itself, and knows that nobody hears it.
    std::thread::sleep(Duration::from_secs(4));
    let refused = group.lab.shell(&cut, "/usr/local/lib/bascule/redis-ask 127.0.0.1 6379 SET alone 1");
    assert!(refused.starts_with("NOREPLICAS"), "{refused}");
    group.lab.connect(&cut);
    is_whole_again(&group);
    assert_ne!(group.master(), cut);
    let (seen, lost) = writes.end();
    println!(
        "redis: writes again {gap_ms} ms after the master froze, {gap_of_cut_ms} ms after it was cut off; lost {lost:?} of {seen:?}"
    );
    assert_eq!(lost.get("2"), None, "{lost:?} of {seen:?}");
}

#[test]
fn a_member_that_lost_its_disk_gets_all_data_again_and_never_empties_the_others() {
    let group = Group::up();
    let writes = Writes::start(&group, 2);
    std::thread::sleep(Duration::from_secs(3));
    for wiped in [group.replica(), group.master()] {
        group.lab.incus(&["stop", "--force", &wiped]);
        group.lab.wipe(&wiped);
        group.lab.incus(&["delete", &wiped]);
        let summary = group.lab.summary(&["up"]);
        assert_eq!(summary["failed"], 0, "{summary}");
        is_whole_again(&group);
        assert_ne!(group.master(), wiped);
    }
    let (seen, lost) = writes.end();
    assert_eq!(lost.get("2"), None, "{lost:?} of {seen:?}");
}

#[test]
fn all_members_stop_and_come_back_by_themselves_with_all_data() {
    let group = Group::up();
    let writes = Writes::start(&group, 2);
    std::thread::sleep(Duration::from_secs(2));
    let file = writes.stop();
    // What was written a second ago is on the disks.
    std::thread::sleep(Duration::from_secs(2));
    group.lab.incus(&[&["stop", "--force"][..], &MEMBERS].concat());
    group.lab.incus(&[&["start"][..], &MEMBERS].concat());
    is_whole_again(&group);
    let (seen, lost) = group.check(&file);
    assert!(lost.is_empty(), "{lost:?} of {seen:?}");
}

#[test]
fn passwords_are_replaced_while_somebody_writes() {
    let group = Group::up();
    let writes = Writes::start(&group, 0);
    group.lab.ok(&["secrets", "rotate", "bascule/redis/member"]);
    let summary = group.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    assert_eq!(group.lab.summary(&["up"])["changed"], 0);
    let (seen, lost) = writes.end();
    assert!(lost.is_empty(), "{lost:?} of {seen:?}");
    // So does what tells Prometheus.
    let metrics = "curl --silent http://127.0.0.1:9121/metrics | grep '^redis_up '";
    assert_eq!(group.lab.shell("redis-1", metrics).trim(), "redis_up 1");
    // The members still find each other: the new master is found by them all.
    let master = group.master();
    group.lab.ok(&["redis", "switchover"]);
    is_whole_again(&group);
    assert_ne!(group.master(), master);
    // Who comes with the old password, or none, or from elsewhere, is not let in.
    let refused = group.lab.run(&[
        "exec",
        "redis-1",
        "--",
        "redis-cli",
        "--tls",
        "--cacert",
        "/etc/bascule/authority.pem",
        "PING",
    ]);
    assert!(said(&refused).contains("NOAUTH"), "{}", said(&refused));
    let knock = format!("timeout 3 bash -c '</dev/tcp/{}/6379'", group.lab.address("redis-1"));
    assert_ne!(group.lab.run(&["exec", "web-1", "--", "sh", "-c", &knock]).status.code(), Some(0));
}

#[test]
fn a_member_that_cannot_be_started_holds_back_nobody() {
    let group = Group::up();
    // All others come after the first.
    let first = MEMBERS[0];
    if group.master() == first {
        group.lab.ok(&["redis", "switchover"]);
        group.wait_until_whole();
    }
    group.lab.incus(&["stop", "--force", first]);
    assert_eq!(group.lab.up_without(first), [first]);
    let summary = group.lab.summary(&["up"]);
    assert_eq!(summary["failed"], 0, "{summary}");
    is_whole_again(&group);
}
