#![allow(clippy::unwrap_used)]

use bascule_plan::{Authority, Certificate, Usage};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const NOW_S: u64 = 1_700_000_000;

/// An authority, and a certificate that is wanted of it.
fn authority_and_wanted(seed: u64) -> (Pair, Certificate) {
    let pair = make_authority("Shop internal", NOW_S, &mut StdRng::seed_from_u64(seed)).unwrap();
    let wanted = Certificate {
        path: "/etc/tls/web-1.pem".to_owned(),
        owner: "root".to_owned(),
        group: "root".to_owned(),
        mode: 0o600,
        authority: Authority { certificate: pair.certificate.clone(), key: "bascule/ca/internal.key".to_owned() },
        names: vec!["web-1".to_owned(), "web-1.incus".to_owned()],
        addresses: vec![[10, 99, 0, 11].into()],
        usage: Usage::Server,
        lifetime_days: 90,
    };
    (pair, wanted)
}

fn issued(pair: &Pair, wanted: &Certificate, now_s: u64) -> String {
    issue(wanted, &pair.key, now_s, &mut StdRng::seed_from_u64(7)).unwrap()
}

fn why(pem: &str, wanted: &Certificate, now_s: u64) -> String {
    match judge(pem, wanted, now_s) {
        Judgement::Renew(why) => why,
        right @ Judgement::Right { .. } => panic!("{right:?}"),
    }
}

#[test]
fn what_was_issued_as_wanted_is_right_until_a_third_is_left() {
    let (pair, wanted) = authority_and_wanted(1);
    let pem = issued(&pair, &wanted, NOW_S);
    assert_eq!(judge(&pem, &wanted, NOW_S), Judgement::Right { left_days: 90 });
    assert_eq!(judge(&pem, &wanted, NOW_S + 60 * DAY_S), Judgement::Right { left_days: 30 });
    assert_eq!(why(&pem, &wanted, NOW_S + 60 * DAY_S + 1), "has 29 of 90 days left");
    assert_eq!(why(&pem, &wanted, NOW_S + 91 * DAY_S), "has expired");
    assert_eq!(expiry(&pem), Some(NOW_S + 90 * DAY_S));
}

#[test]
fn a_clock_that_is_a_little_behind_takes_it_too() {
    let (pair, wanted) = authority_and_wanted(1);
    let pem = issued(&pair, &wanted, NOW_S);
    assert_eq!(judge(&pem, &wanted, NOW_S - BACKDATED_S), Judgement::Right { left_days: 90 });
    assert_eq!(why(&pem, &wanted, NOW_S - BACKDATED_S - 1), "begins only 1 s from now");
}

#[test]
fn every_other_name_address_usage_or_lifetime_asks_for_a_new_one() {
    let (pair, wanted) = authority_and_wanted(1);
    let pem = issued(&pair, &wanted, NOW_S);
    let other = |change: &dyn Fn(&mut Certificate)| {
        let mut other = wanted.clone();
        change(&mut other);
        why(&pem, &other, NOW_S)
    };
    assert_eq!(
        other(&|wanted| wanted.names.truncate(1)),
        "is for 10.99.0.11 web-1 web-1.incus, not for 10.99.0.11 web-1"
    );
    assert!(other(&|wanted| wanted.addresses = vec![[10, 99, 0, 12].into()]).contains("not for 10.99.0.12"));
    assert_eq!(other(&|wanted| wanted.usage = Usage::Client), "was not issued for a client");
    assert_eq!(other(&|wanted| wanted.usage = Usage::Peer), "was not issued for a server and client");
    assert_eq!(other(&|wanted| wanted.lifetime_days = 30), "lives 90 days more, which is more than the 30 planned");
}

#[test]
fn a_certificate_of_another_authority_of_the_same_name_is_not_believed() {
    let (pair, wanted) = authority_and_wanted(1);
    let (_, of_another) = authority_and_wanted(2);
    let pem = issued(&pair, &wanted, NOW_S);
    assert_eq!(why(&pem, &of_another, NOW_S), "was not issued by the platform's authority");
}

#[test]
fn a_certificate_that_was_tampered_with_is_not_believed() {
    let (pair, wanted) = authority_and_wanted(1);
    let pem = issued(&pair, &wanted, NOW_S);
    // Two names of one length change places: still a well-formed certificate, with a signature over something else.
    let mut renamed = wanted.clone();
    renamed.names = vec!["web-2".to_owned(), "web-2.incus".to_owned()];
    let other = issued(&pair, &renamed, NOW_S);
    let forged = forge(&pem, &other);
    assert_eq!(why(&forged, &wanted, NOW_S), "was not issued by the platform's authority");
}

/// The body of the first certificate under the signature of the second.
fn forge(body: &str, signature: &str) -> String {
    use p256::pkcs8::LineEnding;
    use x509_cert::der::{Decode, DecodePem, Encode, EncodePem};
    let read = |pem: &str| x509_cert::Certificate::from_pem(&pem[..pem.find("-----BEGIN PRIVATE").unwrap()]).unwrap();
    let (one, other) = (read(body), read(signature));
    let parts = [
        one.tbs_certificate().to_der().unwrap(),
        one.signature_algorithm().to_der().unwrap(),
        other.signature().to_der().unwrap(),
    ]
    .concat();
    let length = u16::try_from(parts.len()).unwrap().to_be_bytes();
    let der = [[0x30, 0x82, length[0], length[1]].as_slice(), &parts].concat();
    let forged = x509_cert::Certificate::from_der(&der).unwrap();
    forged.to_pem(LineEnding::LF).unwrap() + &body[body.find("-----BEGIN PRIVATE").unwrap()..]
}

#[test]
fn half_a_file_and_somebody_elses_key_are_found() {
    let (pair, wanted) = authority_and_wanted(1);
    let pem = issued(&pair, &wanted, NOW_S);
    let (certificate, key) = pem.split_at(pem.find("-----BEGIN PRIVATE").unwrap());
    assert_eq!(why("", &wanted, NOW_S), "holds no certificate that can be read");
    assert_eq!(why(key, &wanted, NOW_S), "holds no certificate that can be read");
    assert_eq!(why(certificate, &wanted, NOW_S), "holds no private key that can be read");
    let foreign = format!("{certificate}{}", pair.key);
    assert_eq!(why(&foreign, &wanted, NOW_S), "its key is not the certificate's");
}

#[test]
fn nothing_is_issued_with_a_key_that_is_not_the_authoritys_or_beyond_its_end() {
    let (pair, wanted) = authority_and_wanted(1);
    let (other, _) = authority_and_wanted(2);
    let rng = &mut StdRng::seed_from_u64(7);
    let mut told = |key: &str, now_s| issue(&wanted, key, now_s, rng).unwrap_err().to_string();
    assert_eq!(told(&other.key, NOW_S), "the authority's key is not the one its certificate was made for");
    assert_eq!(told("secret", NOW_S), "the authority's key cannot be read: it is no PKCS#8 key for P-256 in PEM");
    assert_eq!(
        told(&pair.key, NOW_S + 3600 * DAY_S),
        "the authority's certificate ends 50 days from now, before the certificate for web-1 web-1.incus 10.99.0.11 would"
    );
}

#[test]
fn an_authority_whose_certificate_was_lost_is_made_again_from_its_key() {
    let (pair, mut wanted) = authority_and_wanted(1);
    let pem = issued(&pair, &wanted, NOW_S);
    let again = authority_certificate("Shop internal", &pair.key, NOW_S + DAY_S, &mut StdRng::seed_from_u64(9));
    wanted.authority.certificate = again.unwrap();
    assert_ne!(wanted.authority.certificate, pair.certificate);
    assert_eq!(judge(&pem, &wanted, NOW_S + DAY_S), Judgement::Right { left_days: 89 });
}

#[test]
fn a_name_that_would_mean_something_in_a_subject_is_refused() {
    let rng = &mut StdRng::seed_from_u64(7);
    for name in ["", "web,O=evil", "web+1", "web\u{0}"] {
        assert!(make_authority(name, NOW_S, rng).is_err(), "{name}");
    }
}

#[test]
fn a_name_that_a_subject_has_no_room_for_stands_in_full_where_clients_look() {
    let (pair, mut wanted) = authority_and_wanted(1);
    wanted.names = vec![format!("{}.{}.example", "a".repeat(60), "b".repeat(60))];
    let pem = issued(&pair, &wanted, NOW_S);
    assert_eq!(judge(&pem, &wanted, NOW_S), Judgement::Right { left_days: 90 });
}

#[test]
fn a_key_is_not_in_a_debug_print() {
    let (pair, _) = authority_and_wanted(1);
    assert!(!format!("{pair:?}").contains("PRIVATE"));
}

#[test]
fn a_client_that_is_known_by_its_fingerprint_is_a_client_only_and_signs_for_itself() {
    use p256::ecdsa::signature::Verifier;
    use p256::ecdsa::{DerSignature, VerifyingKey};
    use x509_cert::der::oid::db::rfc5280::ID_KP_CLIENT_AUTH;
    use x509_cert::der::{DecodePem, Encode};
    use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage};

    let (key, pem) = client(1);
    let certificate = x509_cert::Certificate::from_pem(&pem).unwrap();
    let body = certificate.tbs_certificate();
    assert_eq!((body.subject().to_string(), body.issuer()), ("CN=shop prod operators".to_owned(), body.subject()));
    assert_eq!(body.get_extension::<BasicConstraints>().unwrap().map(|(_, found)| found.ca), Some(false));
    let usage = body.get_extension::<ExtendedKeyUsage>().unwrap().map(|(_, found)| found.0);
    assert_eq!(usage, Some(vec![ID_KP_CLIENT_AUTH]));
    let begins_s = body.validity().not_before.to_unix_duration().as_secs();
    assert_eq!((begins_s, expiry(&pem)), (NOW_S - BACKDATED_S, Some(NOW_S + 3650 * DAY_S)));

    let key = <p256::ecdsa::SigningKey as p256::pkcs8::DecodePrivateKey>::from_pkcs8_pem(&key).unwrap();
    let signature = DerSignature::try_from(certificate.signature().as_bytes().unwrap()).unwrap();
    assert!(VerifyingKey::from(&key).verify(&body.to_der().unwrap(), &signature).is_ok());
}

#[test]
fn a_clients_certificate_wants_a_key_that_can_be_read() {
    let rng = &mut StdRng::seed_from_u64(7);
    let error = client_certificate("shop prod operators", "secret", NOW_S, rng).unwrap_err();
    assert_eq!(error.to_string(), "the client's key cannot be read: it is no PKCS#8 key for P-256 in PEM");
}

/// A key and the certificate that was made of it.
fn client(seed: u64) -> (String, String) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let key = make_key(rng).unwrap();
    let certificate = client_certificate("shop prod operators", &key, NOW_S, rng).unwrap();
    (key, certificate)
}
