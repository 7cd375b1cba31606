use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use bascule_spec::{AllocateError, Platform, allocate};
use proptest::prelude::*;

use crate::{SMALL, loaded};

#[test]
fn a_new_platform_is_given_addresses_from_ten_upward_in_the_order_of_its_instances() {
    let given = allocate(&loaded(SMALL, ""), &BTreeMap::new()).unwrap();
    assert_eq!(given["lb-1"], Ipv4Addr::new(10, 20, 0, 10));
    assert_eq!(given["web-green-2"], Ipv4Addr::new(10, 20, 0, 14));
}

#[test]
fn a_small_subnet_is_used_from_after_the_gateway() {
    let given = allocate(&loaded(SMALL, "[network]\nsubnet = \"10.20.0.16/28\"\n"), &BTreeMap::new()).unwrap();
    assert_eq!(given["lb-1"], Ipv4Addr::new(10, 20, 0, 18));
    assert_eq!(given["web-green-2"], Ipv4Addr::new(10, 20, 0, 22));
}

#[test]
fn the_address_of_an_instance_that_left_the_platform_is_not_given_again() {
    let existing = BTreeMap::from([("old-1".to_owned(), Ipv4Addr::new(10, 20, 0, 10))]);
    let given = allocate(&loaded(SMALL, ""), &existing).unwrap();
    assert_eq!(given["lb-1"], Ipv4Addr::new(10, 20, 0, 11));
    assert!(!given.contains_key("old-1"));
}

#[test]
fn a_pin_that_contradicts_an_existing_address_names_both() {
    let platform = loaded(SMALL, "[load_balancer]\naddresses = [\"10.20.0.5\"]\n");
    let existing = BTreeMap::from([("lb-1".to_owned(), Ipv4Addr::new(10, 20, 0, 10))]);
    let error = allocate(&platform, &existing).unwrap_err().to_string();
    assert!(error.contains("10.20.0.10") && error.contains("10.20.0.5"), "{error}");
}

#[test]
fn a_pin_on_the_address_of_another_instance_is_refused() {
    let platform = loaded(SMALL, "[load_balancer]\naddresses = [\"10.20.0.5\"]\n");
    let existing = BTreeMap::from([("old-1".to_owned(), Ipv4Addr::new(10, 20, 0, 5))]);
    assert!(matches!(allocate(&platform, &existing), Err(AllocateError::Taken { holder, .. }) if holder == "old-1"));
}

#[test]
fn a_subnet_that_was_changed_under_an_instance_is_refused() {
    let existing = BTreeMap::from([("lb-1".to_owned(), Ipv4Addr::new(10, 99, 0, 10))]);
    assert!(matches!(allocate(&loaded(SMALL, ""), &existing), Err(AllocateError::Outside { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn addresses_are_inside_the_subnet_and_no_two_are_the_same(
        replicas in 1_u32..20, balancers in 1_u32..4, prefix in 24_u8..=26, gone in prop::collection::btree_set(2_u8..60, 0..8),
    ) {
        let platform = platform(replicas, balancers, prefix);
        let gone = gone.into_iter().map(|last| (format!("gone-{last}"), Ipv4Addr::new(10, 20, 0, last)));
        let existing: BTreeMap<String, Ipv4Addr> = gone.collect();
        let Ok(given) = allocate(&platform, &existing) else { return Ok(()) };
        prop_assert_eq!(given.len(), platform.instances.len());
        let distinct: BTreeSet<_> = given.values().chain(existing.values()).collect();
        prop_assert_eq!(distinct.len(), given.len() + existing.len());
        prop_assert!(given.values().all(|address| platform.network.is_usable(*address)));
    }

    #[test]
    fn no_address_moves_when_the_platform_grows_or_shrinks(before in 1_u32..20, after in 1_u32..20, balancers in 1_u32..4) {
        let first = allocate(&platform(before, 1, 24), &BTreeMap::new()).unwrap();
        let second = allocate(&platform(after, balancers, 24), &first).unwrap();
        for (name, address) in &second {
            prop_assert!(first.get(name).is_none_or(|earlier| earlier == address), "{name} moved");
        }
        let kept: BTreeMap<_, _> = first.into_iter().chain(second.clone()).collect();
        prop_assert_eq!(allocate(&platform(after, balancers, 24), &kept).unwrap(), second);
    }
}

fn platform(replicas: u32, balancers: u32, prefix: u8) -> Platform {
    let overlay = format!(
        "[network]\nsubnet = \"10.20.0.0/{prefix}\"\n[load_balancer]\ninstances = {balancers}\n[component.web]\nreplicas = {replicas}\n"
    );
    loaded(SMALL, &overlay)
}
