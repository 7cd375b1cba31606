/// What the platform's own names begin with.
pub(crate) const INTERNAL: &str = "bascule/";
/// The key of all fingerprints, 64 hex digits.
pub(crate) const FINGERPRINT_KEY: &str = "bascule/fingerprint.key";
/// Who could read the file when it was last written. No secret: it is here to be found out of date.
pub(crate) const READERS: &str = "bascule/readers";

/// A name that a platform file can give to a component: lower-case letters, digits and `_`, a letter first.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// A name of the platform's own, e.g. `bascule/ca/internal.key`.
pub fn is_internal(name: &str) -> bool {
    name.strip_prefix(INTERNAL).is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "/.-".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_can_take_a_name_of_the_platforms_own() {
        for name in ["session_key", "a", "key_2"] {
            assert!(is_name(name) && !is_internal(name), "{name}");
        }
        for name in [FINGERPRINT_KEY, READERS, "bascule/ca/internal.key"] {
            assert!(is_internal(name) && !is_name(name), "{name}");
        }
        for name in ["", "2fa", "Key", "a-b", "a.b", "bascule/", "bascule/A", "../x"] {
            assert!(!is_name(name) && !is_internal(name), "{name}");
        }
    }
}
