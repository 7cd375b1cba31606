//! What a sound file says of the front door.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_spec::{FrontCertificate, GivenCertificate, allocate};

use crate::{CERTIFICATE, SMALL, loaded};

const SHARED: &str = "[load_balancer]\ninstances = 2\naddress = \"10.20.0.10\"\n";

#[test]
fn the_virtual_address_is_given_to_no_instance() {
    let platform = loaded(SMALL, SHARED);
    assert_eq!(platform.load_balancer.address, Some(Ipv4Addr::new(10, 20, 0, 10)));
    let given = allocate(&platform, &BTreeMap::new()).unwrap();
    assert_eq!(given["lb-1"], Ipv4Addr::new(10, 20, 0, 11));
}

#[test]
fn a_virtual_address_that_an_instance_has_already_is_refused_with_its_name() {
    let existing = BTreeMap::from([("lb-1".to_owned(), Ipv4Addr::new(10, 20, 0, 10))]);
    let error = allocate(&loaded(SMALL, SHARED), &existing).unwrap_err().to_string();
    assert!(error.contains("10.20.0.10") && error.contains("lb-1"), "{error}");
}

#[test]
fn a_given_certificate_is_known_with_its_end_and_its_key_is_one_of_the_secrets() {
    let overlay = "[load_balancer.tls]\ncertificate_file = \"front.pem\"\n";
    let platform = loaded(SMALL, overlay);
    let tls = platform.load_balancer.tls.clone().unwrap();
    let given = GivenCertificate { chain: CERTIFICATE.to_owned(), key: "front_key".to_owned(), expires_s: END_S };
    assert_eq!((tls.port, tls.certificate), (443, FrontCertificate::Given(given)));
    assert_eq!(platform.secrets().into_iter().collect::<Vec<_>>(), ["front_key"]);
}

#[test]
fn a_certificate_of_the_environments_own_needs_names_and_no_secret() {
    let overlay = "[load_balancer.tls]\nnames = [\"shop.example\", \"*.shop.example\"]\n";
    let platform = loaded(SMALL, overlay);
    let names = ["shop.example", "*.shop.example"].map(str::to_owned).to_vec();
    assert_eq!(platform.load_balancer.tls.clone().unwrap().certificate, FrontCertificate::Own { names });
    assert!(platform.secrets().is_empty());
}

/// `openssl x509 -enddate` says so.
const END_S: u64 = 2_110_880_256;
