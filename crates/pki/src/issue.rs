use std::net::IpAddr;
use std::time::Duration;

use bascule_plan::Certificate as Wanted;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::Generate;
use p256::pkcs8::{DecodePrivateKey, LineEnding};
use rand_core::CryptoRng;
use x509_cert::Certificate;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::{Ia5String, OctetString};
use x509_cert::der::{DateTime, DecodePem, EncodePem};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfo;
use x509_cert::time::{Time, Validity};

use crate::profile::LeafProfile;
use crate::self_signed::{common_name, key_pem};
use crate::{BACKDATED_S, DAY_S, PkiError};

/// Issues a certificate with a new key, as a [`Wanted`] describes it: PEM, the certificate first.
///
/// # Errors
/// The authority's key or certificate cannot be read, do not belong together, or end before the new certificate would;
/// or a name is none.
pub fn issue(wanted: &Wanted, authority_key: &str, now_s: u64, rng: &mut dyn CryptoRng) -> Result<String, PkiError> {
    let authority = Certificate::from_pem(&wanted.authority.certificate)
        .map_err(|error| PkiError::AuthorityCertificate(error.to_string()))?;
    let authority_key = SigningKey::from_pkcs8_pem(authority_key).map_err(|_| PkiError::AuthorityKey)?;
    let public = SubjectPublicKeyInfo::from_key(authority_key.verifying_key()).map_err(PkiError::encode)?;
    if public != *authority.tbs_certificate().subject_public_key_info() {
        return Err(PkiError::AuthorityMismatch);
    }
    let ends_s = now_s + u64::from(wanted.lifetime_days) * DAY_S;
    let authority_ends_s = authority.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    if ends_s > authority_ends_s {
        let left_days = authority_ends_s.saturating_sub(now_s) / DAY_S;
        return Err(PkiError::AuthorityEnds { left_days, whom: wanted.subjects() });
    }

    let profile = LeafProfile {
        issuer: authority.tbs_certificate().subject().clone(),
        subject: common_name(wanted.names.first().map_or("", String::as_str))?,
        alternatives: alternatives(wanted)?,
        usage: wanted.usage,
    };
    let key = SigningKey::generate_from_rng(rng);
    let public = SubjectPublicKeyInfo::from_key(key.verifying_key()).map_err(PkiError::encode)?;
    let builder = CertificateBuilder::new(profile, SerialNumber::generate(rng), validity(now_s, ends_s)?, public);
    let certificate =
        builder.and_then(|builder| builder.build::<_, DerSignature>(&authority_key)).map_err(PkiError::encode)?;
    Ok(certificate.to_pem(LineEnding::LF).map_err(PkiError::encode)? + &key_pem(&key)?)
}

pub(crate) fn validity(now_s: u64, ends_s: u64) -> Result<Validity, PkiError> {
    let time = |s| {
        let moment = DateTime::from_unix_duration(Duration::from_secs(s));
        moment.map(Time::from).map_err(PkiError::encode)
    };
    Ok(Validity::new(time(now_s.saturating_sub(BACKDATED_S))?, time(ends_s)?))
}

/// The names and addresses, as they stand in a certificate.
fn alternatives(wanted: &Wanted) -> Result<Vec<GeneralName>, PkiError> {
    let names = wanted.names.iter().map(|name| {
        let wrong = |error: x509_cert::der::Error| PkiError::Name { name: name.clone(), why: error.to_string() };
        Ia5String::new(name).map(GeneralName::DnsName).map_err(wrong)
    });
    let addresses = wanted.addresses.iter().map(|address| {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        OctetString::new(octets).map(GeneralName::IpAddress).map_err(PkiError::encode)
    });
    names.chain(addresses).collect()
}
