//! Many worlds, each drawn from a seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 400;

#[test]
fn whatever_goes_wrong_every_property_holds() {
    let (first, count) = match setting("SEED") {
        Some(seed) => (seed, 1),
        None => (0, setting("SEEDS").unwrap_or(SEEDS)),
    };
    let (next, failed) = (AtomicU64::new(first), Mutex::new(None));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    if let Err(failure) = bascule_world::simulate(seed, None) {
                        *failed.lock().unwrap() = Some(failure);
                    }
                }
            });
        }
    });
    if let Some(failure) = failed.into_inner().unwrap() {
        panic!("{failure}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a failing seed is replayed by saying it on the command line")]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}
