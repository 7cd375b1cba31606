//! The file with the values of secrets: what is wrong with it is told, what is in it is not.

use super::Shop;

const VALUE: &str = "correct-horse-battery-staple";

#[test]
fn a_file_that_others_may_read_is_refused() {
    for mode in [0o644, 0o640, 0o604] {
        let shop = Shop::new();
        shop.secrets(&format!("operator_token = \"{VALUE}\"\n"), mode);
        let ran = shop.run(&["plan"]);
        ran.expect(2, &[&format!("may be read by others (mode {mode:04o})"), "chmod 600", "secrets.toml"]);
        assert!(!ran.stdout.contains(VALUE), "{}", ran.stdout);
    }
}

#[test]
fn every_secret_that_is_used_and_not_there_is_named() {
    let shop = Shop::new();
    shop.edit("[\"operator_token\"]", "[\"operator_token\", \"mail_password\", \"signing_key\"]");
    shop.secrets(&format!("mail_password = \"{VALUE}\"\n"), 0o600);
    let ran = shop.run(&["plan"]);
    ran.expect(2, &["lacks operator_token, signing_key"]);
    assert!(!ran.stdout.contains("mail_password") && !ran.stdout.contains(VALUE), "{}", ran.stdout);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("secrets.toml")).unwrap();
    shop.run(&["plan"]).expect(2, &["secrets.toml cannot be read", "chmod 600"]);
}

#[test]
fn a_mistake_in_it_is_told_without_any_value() {
    let broken = [
        format!("# ours\noperator_token = \"{VALUE}\n"),
        format!("# ours\noperator_token = {VALUE}\n"),
        format!("# ours\noperator_token = [\"{VALUE}\"]\n"),
        format!("# ours\n{VALUE}\n"),
        format!("# ours\n\"{VALUE}\" = 5\n"),
    ];
    for text in broken {
        for output in ["text", "json"] {
            let shop = Shop::new();
            shop.secrets(&text, 0o600);
            let ran = shop.run(&["plan", "--verbose", "--output", output]);
            ran.expect(2, &["secrets.toml, line 2:"]);
            assert!(!ran.stdout.contains(VALUE), "{text}{}", ran.stdout);
        }
    }
}

#[test]
fn a_check_of_the_platform_needs_no_secrets() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("secrets.toml")).unwrap();
    shop.run(&["check"]).expect(0, &[]);
}
