//! How planning and a run without changes grow with the platform, in the modelled world of the tests: no network, no
//! disks, the tool's own code only.
//!
//! `make bench-scale` prints a line for each size, draws them, and ends with `ratio WHAT VALUE`: what twice the instances
//! cost, over what half of them cost. 2 is linear.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod chart;
mod measure;

use std::alloc::System;

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc};

use measure::{Measured, measure};

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIZES: [usize; 5] = [125, 250, 500, 1_000, 2_000];
/// What the largest platform may take to be planned.
const PLAN_MS_MAX: f64 = 1_000.0;
/// What twice the instances may cost, over what half of them cost.
const RATIO_MAX: f64 = 2.4;
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../results/scale.svg");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("instances  plan ms  no change ms  incus calls  execs  events  peak MiB");
    let mut all = Vec::new();
    for size in SIZES {
        let measured = measure(size, MEMORY)?;
        let Measured { instances, plan_ms, no_change_ms, calls, execs, events, peak_mib } = measured;
        println!(
            "{instances:9}  {plan_ms:7.1}  {no_change_ms:12.1}  {calls:11}  {execs:5}  {events:6}  {peak_mib:8.1}"
        );
        all.push(measured);
    }
    chart::draw(&all, CHART)?;
    println!("drawn to bench/results/scale.svg");
    let [.., half, whole] = &all[..] else { return Ok(()) };
    for (what, of) in MEASURES {
        println!("ratio scale_{what} {:.2}", of(whole) / of(half));
    }
    // Counts are exact; times and memory have their noise.
    let is_linear = |(_, of): &Measure| of(whole) / of(half) <= RATIO_MAX;
    match (whole.plan_ms <= PLAN_MS_MAX, MEASURES.iter().find(|measure| !is_linear(measure))) {
        (false, _) => Err(format!("{} instances are to be planned in {PLAN_MS_MAX} ms", whole.instances).into()),
        (_, Some((what, _))) => Err(format!("{what} grows faster than the platform").into()),
        _ => Ok(()),
    }
}

type Measure = (&'static str, fn(&Measured) -> f64);

/// What is compared between the largest platform and one of half its size.
const MEASURES: [Measure; 5] = [
    ("plan_time", |measured| measured.plan_ms),
    ("no_change_time", |measured| measured.no_change_ms),
    ("no_change_calls", |measured| measured.calls as f64),
    ("no_change_events", |measured| measured.events as f64),
    ("no_change_memory", |measured| measured.peak_mib),
];
