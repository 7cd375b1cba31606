//! Certificates and keys that do not belong together are told before anything is done with them.

use bascule_spec::{Https, Ops};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::Shop;

const FRONT_DOOR: &str = "[load_balancer.tls]\ncertificate_file = \"front.pem\"\n";
const ELSEWHERE: &str = "[incus]\naddress = \"127.0.0.1:9\"\nserver_certificate_file = \"lab.incus.pem\"\n\
                         client_certificate_file = \"lab.client.pem\"\n";

/// A key, and a certificate that is its own.
fn pair() -> (String, String) {
    let rng = &mut UnwrapErr(SysRng);
    let key = bascule_pki::make_key(rng).unwrap();
    let certificate = bascule_pki::client_certificate("a test", &key, 1_800_000_000, rng).unwrap();
    (key, certificate)
}

#[test]
fn a_front_doors_key_is_that_of_its_certificate_and_is_not_drawn() {
    let shop = Shop::new();
    let (key, certificate) = pair();
    shop.write("env/lab.toml", FRONT_DOOR);
    shop.write("env/front.pem", &certificate);
    shop.run(&["plan"]).expect(2, &["lacks front_key, the private key of", "bascule secrets set front_key < FILE"]);
    shop.secret("front_key", &pair().0);
    shop.run(&["plan"]).expect(2, &["the secret front_key is not the private key of the certificate in"]);
    shop.run(&["secrets", "rotate", "front_key"]).expect(2, &["is the private key of the front door's certificate"]);
    shop.secret("front_key", "0a1b2c");
    shop.run(&["plan"]).expect(2, &["the secret front_key is no private key", "bascule secrets set front_key"]);
    shop.secret("front_key", &key);
    // Now nothing is missing but Incus.
    shop.run(&["plan"]).expect(3, &[]);
}

#[test]
fn an_authority_that_is_damaged_or_anothers_is_told_with_its_file() {
    let shop = Shop::new();
    shop.secret("bascule/ca/internal.key", &pair().0);
    shop.write("env/lab.ca.pem", "rubbish");
    shop.run(&["plan"]).expect(2, &["env/lab.ca.pem is no certificate"]);
    shop.write("env/lab.ca.pem", &pair().1);
    shop.run(&["plan"]).expect(2, &["bascule/ca/internal.key is not the private key of", "env/lab.ca.pem"]);
}

#[test]
fn what_the_ops_instance_needs_is_made_once_and_its_damaged_certificate_is_told() {
    let shop = Shop::new();
    shop.edit(&format!("[incus]\nsocket = \"{}\"\n", super::NOWHERE), "");
    shop.write("env/lab.toml", &format!("{ELSEWHERE}[ops]\naddresses = [\"10.20.0.9\"]\n"));
    let (key, certificate) = pair();
    shop.secret(Https::CLIENT_KEY, &key);
    shop.write("env/lab.client.pem", &certificate);
    shop.write("env/lab.incus.pem", &pair().1);
    // Nobody answers there; what is needed is made all the same, and once.
    shop.run(&["up"]).expect(3, &["commit it, recipients.toml and the secrets"]);
    let made = std::fs::read_to_string(shop.path("env/lab.ops.pem")).unwrap();
    let recipients = std::fs::read_to_string(shop.path("recipients.toml")).unwrap();
    assert!(recipients.contains("ops-1-lab = { recipient = \"age1"), "{recipients}");
    let drawn = shop.secrets().value(Ops::AGE_KEY).unwrap().to_owned();
    assert!(shop.secrets().readers().iter().any(|(name, _)| name == "ops-1-lab"));
    shop.run(&["up"]).expect(3, &[]);
    assert_eq!(std::fs::read_to_string(shop.path("env/lab.ops.pem")).unwrap(), made);
    assert_eq!(shop.secrets().value(Ops::AGE_KEY).unwrap(), drawn);
    // One that cannot be used is drawn again: the instance is brought another.
    shop.secret(Ops::AGE_KEY, "rubbish");
    shop.run(&["up"]).expect(3, &[]);
    assert!(shop.secrets().value(Ops::AGE_KEY).unwrap().starts_with("AGE-SECRET-KEY-1"));
    shop.write("env/lab.ops.pem", "rubbish");
    shop.run(&["up"]).expect(2, &["env/lab.ops.pem is no certificate", "remove"]);
    shop.write("env/lab.ops.pem", &made);
    shop.write("env/lab.client.pem", &pair().1);
    shop.run(&["status"]).expect(2, &["bascule/incus/client.key is not the private key of", "lab.client.pem"]);
}

#[test]
fn a_platform_that_was_brought_as_data_is_read_whole_or_not_at_all() {
    let shop = Shop::new();
    shop.write("platform.json", "{\"name\": \"shop\"");
    let ran = shop.run(&["--platform", "platform.json", "renew"]);
    ran.expect(2, &["platform.json cannot be read", "bascule up"]);
}
