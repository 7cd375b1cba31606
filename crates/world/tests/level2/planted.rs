//! Each property finds a bug that was planted for it: a property that cannot fail proves nothing.

use bascule_world::{Planted, Property, simulate};

/// One of the first seeds has to find it by this property; what one bug breaks, another property may see, too.
fn is_found(planted: Planted, by: Property) {
    const SEEDS_MAX: u64 = 300;
    let found = (0..SEEDS_MAX).filter_map(|seed| simulate(seed, Some(planted)).err());
    let failed = found.into_iter().find(|failed| failed.violation.property == by);
    let failed = failed.unwrap_or_else(|| panic!("{planted:?} was not found as {by:?} by {SEEDS_MAX} seeds"));
    assert!(failed.to_string().contains(&format!("SEED={} cargo test", failed.seed)), "{failed}");
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_since_a_run_does_not_converge() {
    is_found(Planted::LyingDisk, Property::Converges);
}

#[test]
fn a_plan_that_leaves_something_out_is_found_since_apply_does_more() {
    is_found(Planted::SilentPlan, Property::PlanEqualsApply);
}

#[test]
fn lines_without_leases_are_found_since_nobody_serves() {
    is_found(Planted::NoLeases, Property::KeepsServing);
}

#[test]
fn a_lease_that_two_may_hold_is_found_since_two_are_down_at_once() {
    is_found(Planted::WideLeases, Property::OneAtATime);
}

#[test]
fn a_switch_without_an_intent_is_found_since_load_balancers_run_ahead() {
    is_found(Planted::NoIntent, Property::OneColour);
}

#[test]
fn a_tool_that_does_not_ask_for_the_lock_is_found_since_it_changes_something_without() {
    is_found(Planted::NoLock, Property::OneHolder);
}

#[test]
fn a_dead_tool_that_renews_its_lease_is_found_since_nobody_else_gets_the_lock() {
    is_found(Planted::Undead, Property::LockOfTheLiving);
}

#[test]
fn a_service_that_keeps_its_old_secret_is_found_since_a_rotation_does_not_converge() {
    is_found(Planted::StaleSecrets, Property::Converges);
}

#[test]
fn a_host_that_is_left_half_done_is_found_since_host_up_does_not_converge() {
    is_found(Planted::Begun, Property::Converges);
}
