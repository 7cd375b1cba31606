use clap::CommandFactory as _;

use super::{Cli, described};
use crate::commands::man::examples;

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_explains_itself_and_has_an_example_that_can_be_typed() {
    let commands = described();
    let (verbs, groups): (Vec<_>, Vec<_>) = commands.iter().partition(|command| !command.has_subcommands());
    assert!(verbs.len() >= 15, "{} verbs", verbs.len());
    for verb in verbs {
        let name = verb.get_bin_name().unwrap();
        let calls = calls(&examples(verb));
        assert!(
            calls.iter().any(|words| words.join(" ").starts_with(name)),
            "no example of `{name}` shows it: {calls:?}"
        );
        for words in calls {
            assert!(can_be_typed(&words), "an example of `{name}` cannot be typed: {words:?}");
        }
    }
    let of_the_tool = calls(&examples(groups[0]));
    assert!(of_the_tool.len() > 4 && of_the_tool.iter().all(|words| can_be_typed(words)), "{of_the_tool:?}");
}

#[test]
fn an_example_is_a_command_without_what_is_said_beside_it() {
    let lines = ["  bascule up --only a   as it is", "  tar -c . | bascule exec a -- tar -t | wc", "  man bascule"];
    let calls = calls(&lines.map(str::to_owned));
    assert_eq!(calls, [vec!["bascule", "up", "--only", "a"], vec!["bascule", "exec", "a", "--", "tar", "-t"]]);
    assert!(can_be_typed(&calls[0]) && !can_be_typed(&["bascule", "up", "--olny", "a"].map(str::to_owned)));
}

fn can_be_typed(words: &[String]) -> bool {
    Cli::command().try_get_matches_from(words).is_ok()
}

/// Every call of the tool, as the words that a shell would hand over.
fn calls(lines: &[String]) -> Vec<Vec<String>> {
    let commands = lines.iter().map(|line| line.trim_start().split("   ").next().unwrap_or_default());
    let calls = commands.flat_map(|command| command.split(['|', '&', '>'])).map(str::trim);
    let calls = calls.filter(|call| call.starts_with("bascule "));
    let calls = calls.map(|call| call.replace("$(git rev-parse HEAD)", &"a".repeat(40)));
    calls.map(|call| call.split_whitespace().map(str::to_owned).collect()).collect()
}
