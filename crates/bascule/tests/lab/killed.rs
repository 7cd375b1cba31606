//! SIGKILL after events that are drawn anew in every run, under load: traffic never stops, and the next run converges.

use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_core::UnwrapErr;

use crate::lab::{Lab, events};
use crate::load::Load;
use crate::releases::{assert_unharmed, traffic};

const SAMPLES: usize = 2;

/// What a verb has to do is made anew before every run of it.
struct Work {
    verb: fn(&Lab) -> Vec<String>,
    prepare: fn(&Lab),
}

const WORK: [Work; 3] = [
    Work { verb: |lab| words(&["deploy", lab.other()]), prepare: |_| {} },
    Work { verb: |_| words(&["rollback"]), prepare: |lab| drop(lab.ok(&["deploy", lab.other()])) },
    // A rotation: rolls through all replicas.
    Work { verb: |_| words(&["up"]), prepare: |lab| drop(lab.ok(&["secrets", "rotate", "operator_token"])) },
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
#[ignore = "long: left out by --short"]
fn a_verb_killed_after_a_sample_of_its_events_under_load_is_finished_by_the_next_run() {
    let seed = std::env::var("KILL_SEED").map_or_else(|_| UnwrapErr(SysRng).next_u64(), |seed| seed.parse().unwrap());
    println!("KILL_SEED={seed} scripts/test-lab killed::   replays this");
    let mut rng = StdRng::seed_from_u64(seed);
    let (_guard, lab) = Lab::shop();
    lab.ok(&["deploy", lab.other()]);
    for Work { verb, prepare } in WORK {
        let load = Load::start(traffic(&lab));
        prepare(&lab);
        let said = verb(&lab);
        let said: Vec<&str> = said.iter().map(String::as_str).chain(["--output", "json"]).collect();
        let whole = events(&lab.run(&said)).len();
        let mut killed = 0;
        for _ in 0..SAMPLES * 3 {
            prepare(&lab);
            let said = verb(&lab);
            let said: Vec<&str> = said.iter().map(String::as_str).collect();
            let moment = rng.random_range(0..whole);
            // No two runs have the same events: this one may have ended before.
            killed += usize::from(lab.kill_at(&said, |number, _| number == moment));
            println!("{said:?} killed after event {moment} of about {whole}");
            // A rollback that is over cannot be told from one that was never begun: `up` finishes what was decided.
            lab.ok(if said[0] == "rollback" { &["up"] } else { &said });
            assert_eq!(lab.summary(&["up"])["changed"], 0, "{said:?} killed after event {moment}");
            if killed == SAMPLES {
                break;
            }
        }
        assert_eq!(killed, SAMPLES, "runs of {:?} end before they are killed", verb(&lab));
        assert_unharmed(&load.stop());
    }
}
