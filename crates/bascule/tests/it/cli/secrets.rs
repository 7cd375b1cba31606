//! The encrypted file: what is wrong with it is told, what is in it is not; and the verbs that change it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use bascule_secrets::Identity;

use super::{Ran, Shop};

const VALUE: &str = "correct-horse-battery-staple";

#[test]
fn the_file_is_encrypted_and_a_key_that_others_may_read_is_refused() {
    let shop = Shop::new();
    shop.secret("operator_token", VALUE);
    let sealed = fs::read_to_string(shop.path("env/lab.secrets.age")).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") && !sealed.contains(VALUE), "{sealed}");
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(shop.path("home/age.key"), fs::Permissions::from_mode(mode)).unwrap();
        let ran = shop.run(&["plan"]);
        ran.expect(2, &[&format!("may be read by others (mode {mode:04o})"), "chmod 600", "age.key"]);
    }
}

#[test]
fn every_secret_that_is_used_and_not_there_is_named() {
    let shop = Shop::new();
    shop.edit("[\"operator_token\"]", "[\"operator_token\", \"mail_password\", \"signing_key\"]");
    shop.secret("mail_password", VALUE);
    let ran = shop.run(&["plan"]);
    ran.expect(2, &["lacks signing_key", "bascule secrets rotate signing_key"]);
    assert!(!ran.stdout.contains("mail_password") && !ran.stdout.contains(VALUE), "{}", ran.stdout);
    fs::remove_file(shop.path("env/lab.secrets.age")).unwrap();
    shop.run(&["plan"]).expect(2, &["lab.secrets.age lacks mail_password, operator_token, signing_key"]);
}

#[test]
fn who_has_no_key_and_who_has_another_is_told_so() {
    let shop = Shop::new();
    let elsewhere = ["plan", "--age-key", "nowhere.key"];
    shop.run(&elsewhere).expect(2, &["there is no age key nowhere.key", "--age-key"]);
    Identity::create(&shop.path("home/bob.key")).unwrap();
    let ran = shop.run(&["plan", "--age-key", "home/bob.key"]);
    ran.expect(2, &["lab.secrets.age is not encrypted for the age key home/bob.key", "bascule secrets rekey"]);
    shop.write("no.key", "nothing\n");
    fs::set_permissions(shop.path("no.key"), fs::Permissions::from_mode(0o600)).unwrap();
    shop.run(&["plan", "--age-key", "no.key"]).expect(2, &["no.key is no age key"]);
    shop.write("env/lab.secrets.age", "-----BEGIN AGE ENCRYPTED FILE-----\nYWJj\n-----END AGE ENCRYPTED FILE-----\n");
    shop.run(&["plan"]).expect(2, &["is no age file, or was changed"]);
}

#[test]
fn a_check_of_the_platform_needs_no_secrets_and_says_that_they_are_not_there() {
    let shop = Shop::new();
    fs::remove_file(shop.path("home/age.key")).unwrap();
    shop.run(&["check"]).expect(0, &["its secrets are not at hand", "there is no age key"]);
}

#[test]
fn a_value_is_set_from_standard_input_shown_and_rotated() {
    let shop = Shop::new();
    let before = shop.secrets().fingerprint("operator_token").unwrap();
    let ran = with_input(&shop, &["secrets", "set", "operator_token"], VALUE.as_bytes());
    let now = shop.secrets().fingerprint("operator_token").unwrap();
    ran.expect(0, &[&format!("operator_token: {before} → {now}"), "bascule up"]);
    assert!(!ran.stdout.contains(VALUE), "{}", ran.stdout);
    assert_eq!(shop.run(&["secrets", "show", "operator_token"]).stdout, format!("{VALUE}\n"));

    let ran = shop.run(&["secrets", "rotate", "operator_token"]);
    let drawn = shop.secrets().value("operator_token").unwrap().to_owned();
    assert!(drawn.len() == 64 && drawn != VALUE);
    ran.expect(0, &[&format!("operator_token: {now} → {}", shop.secrets().fingerprint("operator_token").unwrap())]);
    assert!(!ran.stdout.contains(&drawn), "{}", ran.stdout);
}

#[test]
fn only_the_line_feed_of_a_shell_is_taken_from_a_value() {
    let shop = Shop::new();
    for (input, value) in [("a b\n", "a b"), ("a", "a"), ("-----BEGIN\nx\n-----END\n", "-----BEGIN\nx\n-----END\n")] {
        with_input(&shop, &["secrets", "set", "key"], input.as_bytes()).expect(0, &[]);
        assert_eq!(shop.secrets().value("key").unwrap(), value);
    }
    for wrong in [&b""[..], b"\n", b"a\0b"] {
        with_input(&shop, &["secrets", "set", "key"], wrong).expect(2, &["the value of key"]);
    }
    with_input(&shop, &["secrets", "set", "bascule/fingerprint.key"], b"x")
        .expect(2, &["cannot be the name of a secret"]);
    with_input(&shop, &["secrets", "set", "Key"], b"x").expect(2, &["lower-case letters"]);
}

#[test]
fn what_is_not_there_or_the_platforms_own_is_not_rotated() {
    let shop = Shop::new();
    shop.run(&["secrets", "rotate", "operator_tokn"]).expect(2, &["there is no secret `operator_tokn`"]);
    shop.run(&["secrets", "show", "operator_tokn"]).expect_beside(2, "bascule secrets list");
    shop.run(&["secrets", "rotate", "bascule/fingerprint.key"]).expect(2, &["is the platform's own"]);
    // A component may name one that has no value yet.
    shop.edit("[\"operator_token\"]", "[\"operator_token\", \"signing_key\"]");
    shop.run(&["secrets", "rotate", "signing_key"]).expect(0, &["signing_key: new → "]);
}

#[test]
fn a_list_tells_fingerprints_users_and_readers_and_no_value() {
    let shop = Shop::new();
    shop.secret("operator_token", VALUE);
    shop.secret("old_key", VALUE);
    let ran = shop.run(&["secrets", "list", "--output", "json"]);
    ran.expect(0, &[]);
    assert!(!ran.stdout.contains(VALUE), "{}", ran.stdout);
    let events = ran.events();
    let secret = |name: &str| events.iter().find(|event| event["type"] == "secret" && event["name"] == name).unwrap();
    assert_eq!(secret("operator_token")["used_by"], serde_json::json!(["api"]));
    assert_eq!(secret("old_key")["used_by"], serde_json::json!([]));
    assert_eq!(secret("old_key")["fingerprint"].as_str().unwrap().len(), 8);
    // The same value under two names does not look the same.
    assert_ne!(secret("old_key")["fingerprint"], secret("operator_token")["fingerprint"]);
    let reader = events.iter().find(|event| event["type"] == "reader").unwrap();
    assert_eq!((&reader["name"], &reader["reads"], &reader["named"]), (&"ada".into(), &true.into(), &true.into()));
}

#[test]
fn a_rekey_lets_in_who_is_named_and_shuts_out_who_is_not() {
    let shop = Shop::new();
    let bob = Identity::create(&shop.path("home/bob.key")).unwrap();
    let ada = fs::read_to_string(shop.path("recipients.toml")).unwrap();
    let with_bob = format!("{ada}bob = {{ recipient = \"{}\", environments = [\"lab\"] }}\n", bob.recipients()[0]);
    shop.write("recipients.toml", &with_bob);
    let as_bob = ["secrets", "show", "operator_token", "--age-key", "home/bob.key"];
    shop.run(&as_bob).expect_beside(2, "is not encrypted for");
    shop.run(&["secrets", "list"]).expect(0, &["will read after: bascule secrets rekey"]);
    shop.run(&["secrets", "rekey"]).expect(0, &["lab: can be read by ada, bob"]);
    shop.run(&as_bob).expect(0, &["made for this test"]);

    shop.write("recipients.toml", &ada);
    shop.run(&["secrets", "list"]).expect(0, &["is named no more"]);
    shop.run(&["secrets", "rekey"]).expect(0, &["lab: can be read by ada", "bascule secrets rotate"]);
    shop.run(&as_bob).expect_beside(2, "is not encrypted for");
}

#[test]
fn nobody_locks_themselves_out() {
    let shop = Shop::new();
    let before = fs::read(shop.path("env/lab.secrets.age")).unwrap();
    let bob = Identity::create(&shop.path("home/bob.key")).unwrap();
    for (recipients, said) in [
        (format!("bob = \"{}\"\n", bob.recipients()[0]), "does not name the age key"),
        (String::new(), "names nobody who may read the secrets of lab"),
        ("bob = \"ssh-ed25519 AAAA\"\n".to_owned(), "recipients.toml, line 1: the key of bob"),
    ] {
        shop.write("recipients.toml", &recipients);
        shop.run(&["secrets", "rekey"]).expect(2, &[said]);
        shop.run(&["secrets", "rotate", "operator_token"]).expect(2, &[said]);
    }
    assert_eq!(fs::read(shop.path("env/lab.secrets.age")).unwrap(), before);
}

#[test]
fn a_machine_that_may_read_an_environment_that_is_not_there_is_told() {
    let shop = Shop::new();
    let bob = Identity::create(&shop.path("home/bob.key")).unwrap().recipients()[0].clone();
    let ada = fs::read_to_string(shop.path("recipients.toml")).unwrap();
    shop.write(
        "recipients.toml",
        &format!("{ada}bob = {{ recipient = \"{bob}\", environments = [\"lab\", \"stagign\"] }}\n"),
    );
    let said = ["recipients.toml lets bob read the secrets of `stagign`, which is no environment", "env/stagign.toml"];
    shop.run(&["secrets", "rekey"]).expect(2, &said);
    assert_eq!(shop.secrets().readers().len(), 1);
}

#[test]
fn every_verb_on_files_begins_and_ends_as_all_verbs_do() {
    let shop = Shop::new();
    for verb in [&["check"][..], &["secrets", "list"], &["secrets", "show", "operator_token"], &["secrets", "rekey"]] {
        let ran = shop.run(&[verb, &["--output", "json"]].concat());
        ran.expect(0, &[]);
        let events = ran.events();
        assert_eq!(events.first().map(|event| &event["type"]), Some(&"started".into()), "{verb:?}");
        assert_eq!(events.last().map(|event| &event["type"]), Some(&"summary".into()), "{verb:?}");
    }
}

fn with_input(shop: &Shop, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = shop.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}
