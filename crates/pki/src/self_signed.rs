//! What an authority and a client have in common that nobody else vouches for: a key, a name, and their own signature.

use std::str::FromStr;

use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::Generate;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use rand_core::CryptoRng;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::EncodePem;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfo;

use crate::PkiError;
use crate::issue::validity;

/// A new private key, PEM.
///
/// # Errors
/// It cannot be encoded.
pub fn make_key(rng: &mut dyn CryptoRng) -> Result<String, PkiError> {
    key_pem(&SigningKey::generate_from_rng(rng))
}

/// The certificate of a key, PEM, signed by that key itself.
pub(crate) fn self_signed(
    profile: impl BuilderProfile,
    key: &SigningKey,
    now_s: u64,
    ends_s: u64,
    rng: &mut dyn CryptoRng,
) -> Result<String, PkiError> {
    let public = SubjectPublicKeyInfo::from_key(key.verifying_key()).map_err(PkiError::encode)?;
    let builder = CertificateBuilder::new(profile, SerialNumber::generate(rng), validity(now_s, ends_s)?, public);
    let certificate = builder.and_then(|builder| builder.build::<_, DerSignature>(key)).map_err(PkiError::encode)?;
    certificate.to_pem(LineEnding::LF).map_err(PkiError::encode)
}

pub(crate) fn key_pem(key: &SigningKey) -> Result<String, PkiError> {
    key.to_pkcs8_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(PkiError::encode)
}

pub(crate) fn common_name(name: &str) -> Result<Name, PkiError> {
    let wrong = |why: &str| PkiError::Name { name: name.to_owned(), why: why.to_owned() };
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '*')) {
        return Err(wrong("letters, digits, spaces, dots and dashes can be in one"));
    }
    // RFC 5280, appendix A: ub-common-name. Nobody goes by it: names stand in the extension for them, too, in full.
    let most = name.get(..64).unwrap_or(name).trim();
    if most.is_empty() {
        return Err(wrong("it is empty"));
    }
    Name::from_str(&format!("CN={most}")).map_err(|error| wrong(&error.to_string()))
}
