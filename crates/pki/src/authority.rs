use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey;
use rand_core::CryptoRng;

use crate::profile::{SelfSigned, SelfSignedProfile};
use crate::self_signed::{common_name, make_key, self_signed};
use crate::{DAY_S, PkiError};

/// Long enough to be nobody's worry, short enough for what signs with P-256 today.
const LIFETIME_DAYS: u64 = 3650;

/// A certificate and its private key, both PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// A key never gets into a log by way of a debug print.
impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Makes an authority that may sign certificates for servers and clients, and no other authority.
///
/// # Errors
/// The name is no name: letters, digits, spaces, dots and dashes are.
pub fn make_authority(name: &str, now_s: u64, rng: &mut dyn CryptoRng) -> Result<Pair, PkiError> {
    let key = make_key(rng)?;
    Ok(Pair { certificate: authority_certificate(name, &key, now_s, rng)?, key })
}

/// The second half of [`make_authority`], after [`make_key`]: its certificate, PEM, signed by itself. Made again from the
/// same key, it vouches for the same ones.
pub fn authority_certificate(name: &str, key: &str, now_s: u64, rng: &mut dyn CryptoRng) -> Result<String, PkiError> {
    let key = SigningKey::from_pkcs8_pem(key).map_err(|_| PkiError::AuthorityKey)?;
    let profile = SelfSignedProfile { subject: common_name(name)?, is: SelfSigned::Authority };
    self_signed(profile, &key, now_s, now_s + LIFETIME_DAYS * DAY_S, rng)
}
