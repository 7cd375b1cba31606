//! How a plan, an event or a person tells two values of one secret apart, without being told either.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The first 32 bits of HMAC-SHA-256 over a secret's value, as 8 hex digits. Without its key, it cannot be told for a
/// guess whether it is right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

/// The key of one secret's fingerprints, 64 hex digits. An instance that is given the secret is given this too: so it is
/// of no use for any other secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FingerprintKey(String);

impl FingerprintKey {
    /// The key for the secret `name`, of all keys that `master` has.
    pub fn derive(master: &str, name: &str) -> Self {
        Self(hex(&hmac(master.as_bytes(), name.as_bytes())))
    }

    pub fn fingerprint(&self, value: &[u8]) -> Fingerprint {
        Fingerprint(hex(&hmac(self.0.as_bytes(), value)[..4]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey")
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // RFC 4231, test case 2.
        let mac = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_fingerprint_depends_on_master_name_and_value() {
        let of =
            |master: &str, name: &str, value: &str| FingerprintKey::derive(master, name).fingerprint(value.as_bytes());
        let one = of("master", "token", "value");
        assert_eq!(one.to_string().len(), 8);
        assert_eq!(one, of("master", "token", "value"));
        for other in [of("other", "token", "value"), of("master", "key", "value"), of("master", "token", "VALUE")] {
            assert_ne!(one, other);
        }
    }
}
