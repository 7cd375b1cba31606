use std::fmt::Write as _;

use crate::SecretsError;

/// A strong value: 256 random bits as 64 hex digits, which no shell, URL or configuration file takes for anything else.
pub fn token() -> Result<String, SecretsError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| SecretsError::Random(error.into()))?;
    Ok(bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn a_value_is_256_bits_of_which_no_two_are_the_same() {
        let (one, other) = (super::token().unwrap(), super::token().unwrap());
        assert!(one.len() == 64 && one.chars().all(|c| c.is_ascii_hexdigit()), "{one}");
        assert_ne!(one, other);
    }
}
