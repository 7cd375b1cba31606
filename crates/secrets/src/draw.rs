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

/// A new access key and its secret, as a file of AWS credentials: what clients of S3 read by themselves.
///
/// # Errors
/// The system gives no randomness.
pub fn aws_credentials() -> Result<String, SecretsError> {
    // An access key has 20 capital letters and digits, by which it is told from its secret.
    let id = token()?[..20].to_uppercase();
    Ok(format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {}\n", token()?))
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
    #[test]
    fn an_access_key_and_its_secret_are_told_apart() {
        let text = super::aws_credentials().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [section, id, secret] = lines[..] else { panic!("{text}") };
        let (id, secret) = (id.split_once(" = ").unwrap(), secret.split_once(" = ").unwrap());
        assert_eq!((section, id.0, secret.0), ("[default]", "aws_access_key_id", "aws_secret_access_key"));
        assert_eq!((id.1.len(), secret.1.len()), (20, 64));
        assert!(!secret.1.to_uppercase().starts_with(id.1));
    }
}
