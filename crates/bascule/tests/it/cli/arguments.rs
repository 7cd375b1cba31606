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
fn every_verb_has_a_man_page_with_examples_and_exit_codes() {
    let shop = Shop::new();
    shop.run(&["man", "pages/man1"]).expect(0, &[]);
    for page in ["bascule.1", "bascule-up.1", "bascule-exec.1", "bascule-man.1"] {
        let page = std::fs::read_to_string(shop.path("pages/man1").join(page)).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\""] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "no {section}: {page}");
        }
    }
    let verbs = std::fs::read_dir(shop.path("pages/man1")).unwrap().count();
    assert!(verbs >= 14, "{verbs}");
    shop.write("a-file", "");
    let ran = shop.run(&["man", "a-file/man1"]);
    assert_eq!(ran.exit, Some(2));
    assert!(ran.stderr.contains("a-file/man1") && ran.stderr.contains("try: "), "{}", ran.stderr);
}

#[test]
fn the_schemas_are_printed_for_editors_and_programs() {
    let shop = Shop::new();
    for (of, title) in [("platform", "Bascule platform file"), ("events", "Bascule event")] {
        let ran = shop.run(&["schema", of]);
        ran.expect(0, &[]);
        let schema: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(schema["title"], title);
    }
}

#[test]
fn an_unknown_verb_is_wrong_input() {
    let ran = Shop::new().run(&["deplyo"]);
    assert_eq!(ran.exit, Some(2));
    assert!(ran.stderr.contains("deploy"), "{}", ran.stderr);
}
