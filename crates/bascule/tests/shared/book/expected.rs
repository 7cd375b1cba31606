//! What a page shows of a command's output, held against what the command said.

/// Whether the output is as shown. `…` within a line stands for any text, alone on a line for any lines.
pub(super) fn is_as_shown(shown: &[&str], said: &[&str]) -> bool {
    match shown.split_first() {
        None => said.is_empty(),
        Some((first, rest)) if first.trim() == "…" => {
            (0..=said.len()).any(|skipped| is_as_shown(rest, &said[skipped..]))
        }
        Some((first, rest)) => match said.split_first() {
            Some((line, after)) => line_is_as_shown(first.trim_end(), line.trim_end()) && is_as_shown(rest, after),
            None => false,
        },
    }
}

fn line_is_as_shown(shown: &str, said: &str) -> bool {
    match shown.split_once('…') {
        None => shown == said,
        Some((before, after)) => said.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(end, _)| end).chain([rest.len()]);
            ends.into_iter().any(|end| line_is_as_shown(after, &rest[end..]))
        }),
    }
}

#[test]
fn an_ellipsis_stands_for_what_differs_from_run_to_run_and_for_nothing_else() {
    let shown =
        |shown: &str, said: &str| is_as_shown(&shown.lines().collect::<Vec<_>>(), &said.lines().collect::<Vec<_>>());
    assert!(shown("a\nb", "a\nb"));
    assert!(!shown("a\nb", "a\nb\nc"));
    assert!(!shown("a\nb", "a"));
    assert!(shown("in … s, … changed", "in 0.3 s, 7 changed"));
    assert!(!shown("in … s, … changed", "in 0.3 s, 7 failed"));
    assert!(shown("a\n…\nz", "a\nz") && shown("a\n…\nz", "a\nb\nc\nz"));
    assert!(!shown("a\n…\nz", "a\nb"));
}
