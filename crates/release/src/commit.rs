use std::fmt;
use std::str::FromStr;

/// A commit: 40 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commit(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a commit: 40 lower-case hex digits are wanted, as `git rev-parse HEAD` prints them")]
pub struct CommitError {
    given: String,
}

impl Commit {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for Commit {
    type Err = CommitError;

    fn from_str(given: &str) -> Result<Self, CommitError> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if given.len() == 40 && given.bytes().all(is_hex) {
            Ok(Self(given.to_owned()))
        } else {
            Err(CommitError { given: given.to_owned() })
        }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forty_lower_case_hex_digits_are_a_commit() {
        assert!("3f2a91c0d4e5f60718293a4b5c6d7e8f90a1b2c3".parse::<Commit>().is_ok());
        for not in
            ["", "3f2a91c", "HEAD", "3F2A91C0D4E5F60718293A4B5C6D7E8F90A1B2C3", &"g".repeat(40), "../../etc/passwd"]
        {
            assert!(not.parse::<Commit>().is_err(), "{not}");
        }
    }
}
