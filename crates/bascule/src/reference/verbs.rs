use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::cli::described;
use crate::commands::man::examples;

const HEAD: &str = "\
# Verbs

`bascule VERB --help` says the same on your own machine, and `bascule man FOLDER` writes it as man pages.

## What every verb takes
";

pub(super) fn page() -> String {
    let commands = described();
    let mut page = HEAD.to_owned();
    options(&mut page, commands[0].get_arguments());
    for verb in commands.iter().filter(|command| !command.has_subcommands()) {
        describe(&mut page, verb);
    }
    page
}

fn describe(page: &mut String, verb: &Command) {
    let mut verb = verb.clone().term_width(0);
    let usage = verb.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace(" [OPTIONS]", "");
    let about = verb.get_long_about().or(verb.get_about()).unwrap().to_string();
    let (first, more) = about.split_once("\n\n").unwrap_or((&about, ""));
    let _ = write!(page, "\n## `{}`\n\n{first}.\n", verb.get_bin_name().unwrap().trim_start_matches("bascule "));
    if !more.is_empty() {
        let _ = write!(page, "\n{more}\n");
    }
    let _ = write!(page, "\n```text\n{usage}\n```\n");
    options(page, verb.get_arguments().filter(|argument| !argument.is_global_set()));
    let examples = examples(&verb).join("\n");
    let _ = write!(page, "\nExamples:\n\n```text\n{examples}\n```\n");
}

fn options<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: String =
        arguments.filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version")).map(row).collect();
    if !rows.is_empty() {
        let _ = write!(page, "\n| | |\n| --- | --- |\n{rows}");
    }
}

fn row(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let takes_value = argument.get_action().takes_values();
    let name = match (argument.get_long(), argument.get_short(), value.filter(|_| takes_value)) {
        (Some(long), _, Some(value)) => format!("--{long} {value}"),
        (Some(long), Some(short), None) => format!("-{short}, --{long}"),
        (Some(long), None, None) => format!("--{long}"),
        (None, _, value) => value.unwrap_or_default(),
    };
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if takes_value {
        let words: Vec<String> =
            argument.get_possible_values().iter().map(|word| format!("`{}`", word.get_name())).collect();
        if !words.is_empty() {
            let _ = write!(meaning, ": {}", words.join(", "));
        }
        if let [default] = argument.get_default_values() {
            let _ = write!(meaning, ". Default: `{}`", default.to_string_lossy());
        }
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(meaning, ". Also by the variable `{}`", variable.to_string_lossy());
    }
    format!("| `{name}` | {meaning} |\n")
}
