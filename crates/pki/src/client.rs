use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey;
use rand_core::CryptoRng;

use crate::profile::{SelfSigned, SelfSignedProfile};
use crate::self_signed::{common_name, self_signed};
use crate::{DAY_S, PkiError};

/// Who trusts such a certificate trusts exactly this one, and ends that by forgetting it. So its last day protects nobody,
/// and on that day all its holders would be shut out at once.
const LIFETIME_DAYS: u64 = 3650;

/// A client's certificate that no authority vouches for, PEM: whoever it comes to knows it by its fingerprint. The key is
/// of [`make_key`](crate::make_key).
///
/// # Errors
/// The key cannot be read, or the name is no name: letters, digits, spaces, dots and dashes are.
pub fn client_certificate(name: &str, key: &str, now_s: u64, rng: &mut dyn CryptoRng) -> Result<String, PkiError> {
    let key = SigningKey::from_pkcs8_pem(key).map_err(|_| PkiError::ClientKey)?;
    let profile = SelfSignedProfile { subject: common_name(name)?, is: SelfSigned::Client };
    self_signed(profile, &key, now_s, now_s + LIFETIME_DAYS * DAY_S, rng)
}
