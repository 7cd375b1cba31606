//! What is said of hosts, and made for them, before any of them was asked.

use std::fs;

use super::Shop;

const HOSTS: &str = "\n[hosts.h1]\naddress = \"127.0.0.1\"\n\n[hosts.h2]\naddress = \"127.0.0.2\"\n";

fn shop() -> Shop {
    let shop = Shop::new();
    shop.write("env/lab.toml", HOSTS);
    shop
}

/// A shop whose operators come to the first of the two by HTTPS, where nobody listens.
fn elsewhere() -> Shop {
    let shop = shop();
    shop.edit(
        "socket = \"/nonexistent/incus.socket\"",
        "address = \"127.0.0.1:1\"\nserver_certificate_file = \"a.pem\"\nclient_certificate_file = \"b.pem\"",
    );
    shop
}

#[test]
fn an_environment_without_machines_says_how_to_name_one() {
    for verb in [&["up"][..], &["plan"], &["pin", "h1"]] {
        let ran = Shop::new().run(&[&["host"], verb].concat());
        ran.expect(2, &["no hosts that could be set up", "[hosts.NAME]", "`address`"]);
    }
}

#[test]
fn an_unknown_host_is_answered_with_those_there_are() {
    for verb in ["up", "plan", "pin"] {
        shop().run(&["host", verb, "h3"]).expect(2, &["there is no host `h3`", "there are: h1, h2"]);
    }
}

#[test]
fn a_host_whose_key_nobody_has_compared_is_not_connected_to() {
    let ran = shop().run(&["host", "up", "h1"]);
    ran.expect(2, &["the key of the host h1 is not pinned", "bascule host pin h1"]);
}

#[test]
fn each_of_several_hosts_has_its_own_failure() {
    shop().run(&["host", "plan"]).expect(1, &["the key of the host h1", "the key of the host h2"]);
}

#[test]
fn a_pin_that_is_no_key_is_told_with_its_line() {
    let shop = shop();
    shop.write("env/lab.known_hosts", "h1 ssh-ed25519 damaged\n");
    shop.run(&["host", "up", "h1"]).expect(2, &["lab.known_hosts, line 1: not a pinned key"]);
}

#[test]
fn a_daemon_elsewhere_is_not_asked_without_its_certificate() {
    let shop = elsewhere();
    for verb in ["plan", "up", "status"] {
        shop.run(&[verb]).expect(2, &["the daemon's certificate", "a.pem cannot be read", "bascule host up"]);
    }
}

#[test]
fn host_up_makes_the_operators_certificate_and_other_verbs_say_so() {
    let shop = elsewhere();
    // Any certificate does for the daemon's: nobody is there to show one.
    let first = made(&shop);
    shop.write("a.pem", &first);
    shop.run(&["status"]).expect(3, &["cannot reach Incus at https://127.0.0.1:1"]);

    fs::remove_file(shop.path("b.pem")).unwrap();
    for verb in ["plan", "up", "status"] {
        shop.run(&[verb])
            .expect(2, &["the operators' certificate", "b.pem cannot be read", "`bascule host up` makes it"]);
    }
    // The key is there already: it stays.
    let key = client_key(&shop);
    let second = made(&shop);
    assert!(first != second && client_key(&shop) == key);
    shop.run(&["status"]).expect(3, &["cannot reach Incus at https://127.0.0.1:1"]);

    let again = shop.run(&["host", "up", "h1"]);
    assert!(!again.stdout.contains("certificate was made"), "{again:?}");
    assert_eq!(fs::read_to_string(shop.path("b.pem")).unwrap(), second);
}

/// The certificate that `host up` makes before it asks a host, which is refused here: nobody has compared its key.
fn made(shop: &Shop) -> String {
    let ran = shop.run(&["host", "up", "h1"]);
    ran.expect(2, &["the operators' certificate was made: b.pem", "commit it", "lab.secrets.age", "is not pinned"]);
    fs::read_to_string(shop.path("b.pem")).unwrap()
}

fn client_key(shop: &Shop) -> String {
    shop.secrets().value("bascule/incus/client.key").unwrap().to_owned()
}

#[test]
fn host_plan_makes_nothing() {
    let shop = elsewhere();
    shop.run(&["host", "plan", "h1"]).expect(2, &["`bascule host up` makes b.pem", "is not pinned"]);
    assert!(!shop.path("b.pem").exists());
    assert!(shop.secrets().value("bascule/incus/client.key").is_err());
}

#[test]
fn a_certificate_is_not_trusted_whose_key_nobody_has() {
    let shop = elsewhere();
    shop.write("b.pem", "-----BEGIN CERTIFICATE-----");
    for verb in ["plan", "up"] {
        let ran = shop.run(&["host", verb, "h1"]);
        ran.expect(2, &["the key of the operators' certificate b.pem", "bascule secrets set bascule/incus/client.key"]);
    }
}
