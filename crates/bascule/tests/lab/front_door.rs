//! The address that two load balancers share, while one of them is broken in every way there is.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::faults::reqwest_get;
use crate::lab::{Lab, incus};
use crate::visitors::Visitors;

const VISITORS: usize = 20;

#[test]
fn a_load_balancer_that_loses_its_power_costs_no_more_than_what_it_had_in_flight() {
    let (_guard, lab) = Lab::shop();
    let struck = strike(&lab, "stop --force", |lab, holder| {
        incus(&["stop", "--force", "--project", &lab.project(), holder]);
    });
    assert_ne!(lab.holder().as_ref(), Some(&struck), "nobody took the address");
    recover(&lab);
}

#[test]
fn a_load_balancer_that_is_frozen_loses_the_address_and_leaves_it_alone_when_it_wakes() {
    let (_guard, lab) = Lab::shop();
    let struck = strike(&lab, "pause", |lab, holder| {
        incus(&["pause", "--project", &lab.project(), holder]);
    });
    let holder = lab.holder();
    assert_ne!(holder.as_ref(), Some(&struck), "nobody took the address");
    let visitors = Visitors::start(VISITORS, &asked(&lab));
    incus(&["resume", "--project", &lab.project(), &struck]);
    std::thread::sleep(Duration::from_secs(5));
    let seen = visitors.stop();
    assert!(seen.failed.is_empty(), "waking up took the address away: {:?}", seen.failed.first());
    assert_eq!(lab.holder(), holder);
    recover(&lab);
}

#[test]
fn a_haproxy_that_is_stopped_in_its_tracks_loses_the_address() {
    let (_guard, lab) = Lab::shop();
    let struck = strike(&lab, "SIGSTOP", |lab, holder| {
        lab.shell(holder, "systemctl kill --signal=STOP haproxy");
    });
    assert_ne!(lab.holder().as_ref(), Some(&struck), "the address stayed with a HAProxy that does nothing");
    lab.shell(&struck, "systemctl kill --signal=CONT haproxy");
    recover(&lab);
}

#[test]
fn a_haproxy_that_is_killed_costs_no_more_than_what_it_had_in_flight() {
    let (_guard, lab) = Lab::shop();
    strike(&lab, "SIGKILL", |lab, holder| {
        lab.shell(holder, "systemctl kill --signal=KILL haproxy");
    });
    recover(&lab);
}

#[test]
fn a_load_balancer_that_missed_a_switch_takes_the_address_neither_beside_the_other_nor_after_it() {
    let (_guard, lab) = Lab::shop();
    let standby = standby(&lab);
    incus(&["stop", "--force", "--project", &lab.project(), &standby]);
    let other = lab.other();
    let said = lab.ok(&["deploy", other]);
    assert!(said.contains(&format!("{standby} does not run and is left behind")), "{said}");
    incus(&["start", "--project", &lab.project(), &standby]);

    // It boots with the map of the switch before, and sees that the other one is ahead.
    let waits = "for try in $(seq 60); do [ -s /var/lib/keepalived/newest-generation ] && break; sleep 0.5; done; cat /var/lib/keepalived/newest-generation";
    let newest = lab.shell(&standby, waits);
    let own = lab.shell(&standby, "curl -s http://127.0.0.1:8405/");
    assert!(newest.parse::<u64>().unwrap() > own.parse().unwrap(), "{newest} is not newer than {own}");
    let ahead = lab.holder().unwrap();
    assert_ne!(ahead, standby);
    assert!(reqwest_get(&asked(&lab)).contains(other));

    // Alone, it still knows that it was left behind.
    incus(&["stop", "--force", "--project", &lab.project(), &ahead]);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(lab.holder(), None, "a load balancer with an older generation took the address");
    recover(&lab);
    assert!(reqwest_get(&asked(&lab)).contains(other));
}

/// Twice what is promised, for a machine that is busy.
const SILENCE_MAX: Duration = Duration::from_secs(4);

/// Breaks the load balancer that holds the address, under load and with neighbours that ask anew, all the time, who has it;
/// the requests that fail are at most those that were in flight. Gives the name of the one that was struck.
fn strike(lab: &Lab, fault: &str, break_it: impl FnOnce(&Lab, &str)) -> String {
    let holder = lab.holder().unwrap();
    let address = lab.front_door().trim_start_matches("https://").to_owned();
    let forget = || {
        let flushed = Command::new("ip").args(["neighbour", "flush", "to", &address]).status().unwrap();
        assert!(flushed.success());
    };
    let visitors = Visitors::start(VISITORS, &asked(lab));
    std::thread::sleep(Duration::from_secs(3));
    let at = Instant::now();
    break_it(lab, &holder);
    while at.elapsed() < Duration::from_secs(12) {
        forget();
        std::thread::sleep(Duration::from_millis(200));
    }
    let seen = visitors.stop();
    let answered_after = seen.answered.iter().filter(|answer| **answer > at).count();
    println!(
        "{fault} on {holder}: {} answered, {} failed of at most {VISITORS} in flight, silent for {:.2?} to newcomers",
        seen.answered.len(),
        seen.failed.len(),
        seen.silence_after(at),
    );
    assert!(seen.failed.len() <= VISITORS, "{:?}", seen.failed);
    assert!(answered_after > VISITORS, "nobody answers any more: {:?}", seen.failed.first());
    assert!(seen.silence_after(at) < SILENCE_MAX, "silent for {:.2?}", seen.silence_after(at));
    holder
}

fn recover(lab: &Lab) {
    lab.ok(&["up"]);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
    assert!(lab.status().values().all(|status| status["healthy"] == true || status["active"] == false));
    assert!(lab.holder().is_some());
}

fn standby(lab: &Lab) -> String {
    if lab.holder().unwrap() == "lb-1" { "lb-2".to_owned() } else { "lb-1".to_owned() }
}

fn asked(lab: &Lab) -> String {
    format!("{}/api/v1/status", lab.front_door())
}
