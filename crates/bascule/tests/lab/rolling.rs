use crate::lab::{A, B, BROKEN, Lab, said};
use crate::load::{Load, Plan};

fn load(lab: &Lab) -> Load {
    let paths = vec!["/api/v1/status", "/", "/stream/tracks/7/segment", "/version.json"];
    Load::start(Plan { base: lab.front_door(), paths, requests_per_s: 300, websockets: 4 })
}

#[test]
fn a_rolling_deploy_and_a_rollback_under_load_fail_no_request() {
    let (_guard, lab) = Lab::rolling();
    let load = load(&lab);
    let commit = lab.other();
    lab.ok(&["deploy", commit]);
    assert_eq!(lab.active(), commit);
    lab.ok(&["rollback"]);
    let seen = load.stop();
    crate::releases::assert_unharmed(&seen);
    // Each replica's sockets are told that it restarts.
    assert!(seen.closed_for_restart > 0);
    assert!([A, B].iter().all(|commit| seen.commits.contains_key(*commit)), "{:?}", seen.commits);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
}

#[test]
fn a_broken_release_stops_at_the_first_replica_which_goes_back() {
    let (_guard, lab) = Lab::rolling();
    let before = lab.active();
    let load = load(&lab);
    let output = lab.run(&["deploy", BROKEN]);
    let seen = load.stop();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(seen.failed.is_empty(), "{:?}", &seen.failed[..seen.failed.len().min(5)]);
    assert_eq!(lab.active(), before);
    assert_eq!(lab.summary(&["up"])["changed"], 0);
    assert!(lab.status().values().all(|status| status["healthy"] == true));
}

#[test]
fn one_track_is_always_served_by_one_replica_and_tracks_are_spread() {
    let (_guard, lab) = Lab::rolling();
    let ask = |track: usize, count: usize| {
        let before = served(&lab);
        for segment in 0..count {
            let url = format!("{}/stream/tracks/{track}/{segment}", lab.front_door());
            crate::faults::reqwest_get(&url);
        }
        let after = served(&lab);
        let delta: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        assert_eq!(delta.iter().sum::<u64>(), count as u64, "{delta:?}");
        delta.iter().position(|served| *served == count as u64).unwrap_or_else(|| panic!("track {track}: {delta:?}"))
    };
    let replicas: std::collections::BTreeSet<usize> = (1..=12).map(|track| ask(track, 5)).collect();
    assert_eq!(replicas.len(), 2, "all twelve tracks on one replica");
}

/// How many requests each server of the pool has answered.
fn served(lab: &Lab) -> Vec<u64> {
    let stats = lab
        .shell("lb-1", "echo 'show stat' | socat - /run/haproxy/admin.sock | grep '^stream,stream-' | cut -d, -f2,8");
    stats.lines().map(|line| line.split_once(',').unwrap().1.parse().unwrap()).collect()
}
