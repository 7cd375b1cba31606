//! Small pieces of the sentences in diagnostics.

/// "did you mean …?", if one of `known` is near.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    let scored = known.iter().map(|candidate| (strsim::jaro_winkler(word, candidate), candidate));
    let (score, nearest) = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (score > 0.8).then(|| format!("did you mean `{nearest}`?"))
}

/// `a`, `b` or `c`.
pub(crate) fn alternatives(items: impl IntoIterator<Item = String>) -> String {
    join(items, "or")
}

/// `a`, `b` and `c`.
pub(crate) fn all_of(items: impl IntoIterator<Item = String>) -> String {
    join(items, "and")
}

/// How the table at a path is headed in the file: `[component.api]`.
pub(crate) fn heading<S: AsRef<str>>(path: &[S]) -> String {
    if path.is_empty() {
        return "the platform file".to_owned();
    }
    let keys: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    format!("[{}]", keys.join("."))
}

pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn join(items: impl IntoIterator<Item = String>, word: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("`{item}`")).collect();
    match items.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}
