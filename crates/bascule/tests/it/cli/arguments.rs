//! What is typed, before the platform or Incus matter.

use super::Shop;

#[test]
fn every_verb_has_help_that_begins_with_its_purpose() {
    let shop = Shop::new();
    let help = shop.run(&["--help"]);
    help.expect(0, &["Exit codes: 0 done", "Examples:"]);
    let verbs = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<(&str, &str)> = verbs.map(|line| line.trim().split_once(' ').unwrap_or((line, ""))).collect();
    assert!(verbs.len() >= 11, "{verbs:?}");
    for (verb, purpose) in verbs.into_iter().filter(|(verb, _)| *verb != "help") {
        let help = shop.run(&[verb, "--help"]);
        help.expect(0, &[&format!("Usage: bascule {verb}")]);
        assert_eq!(help.stdout.lines().next().unwrap(), purpose.trim(), "{verb}");
        assert!(purpose.trim().len() > 10, "{verb}: `{purpose}`");
    }
}

#[test]
fn completions_know_the_verbs_and_need_no_platform() {
    let shop = Shop::new();
    let nowhere = ["completions", "bash", "--platform", "/nonexistent"];
    shop.run(&nowhere).expect(0, &["deploy", "rollback", "_bascule"]);
}

#[test]
fn an_unknown_verb_is_wrong_input() {
    let ran = Shop::new().run(&["deplyo"]);
    assert_eq!(ran.exit, Some(2));
    assert!(ran.stderr.contains("deploy"), "{}", ran.stderr);
}
