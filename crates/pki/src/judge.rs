use std::collections::BTreeSet;
use std::net::IpAddr;

use bascule_plan::Certificate as Wanted;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
use x509_cert::Certificate;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, DecodePem, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use crate::profile::purposes;
use crate::{BACKDATED_S, DAY_S, RENEW_PART_LEFT};

/// What a look at a certificate found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is as wanted for so long.
    Right { left_days: u64 },
    /// A new one is needed. Why.
    Renew(String),
}

/// Whether what a file holds is the certificate that is wanted, with its key, and will be for a while.
pub fn judge(pem: &str, wanted: &Wanted, now_s: u64) -> Judgement {
    match try_judge(pem, wanted, now_s) {
        Ok(left_days) => Judgement::Right { left_days },
        Err(why) => Judgement::Renew(why),
    }
}

/// The last second of the first certificate in a PEM text, since 1970; `None` when there is none that can be read.
pub fn expiry(pem: &str) -> Option<u64> {
    Some(ends_s(&first_certificate(pem)?))
}

fn try_judge(pem: &str, wanted: &Wanted, now_s: u64) -> Result<u64, String> {
    let certificate = first_certificate(pem).ok_or("holds no certificate that can be read")?;
    let key = private_key(pem).ok_or("holds no private key that can be read")?;
    if public_key(&certificate).as_ref() != Some(key.verifying_key()) {
        return Err("its key is not the certificate's".to_owned());
    }
    was_issued_by(&certificate, &wanted.authority.certificate)?;
    has_names(&certificate, wanted)?;
    let usage: Option<ExtendedKeyUsage> = extension(&certificate);
    if usage.is_none_or(|usage| usage.0 != purposes(wanted.usage)) {
        return Err(format!("was not issued for a {}", wanted.usage));
    }
    let begins_s = certificate.tbs_certificate().validity().not_before.to_unix_duration().as_secs();
    if now_s < begins_s {
        return Err(format!("begins only {} s from now", begins_s - now_s));
    }
    let left_s = ends_s(&certificate).saturating_sub(now_s);
    if left_s == 0 {
        return Err("has expired".to_owned());
    }
    let lifetime_s = u64::from(wanted.lifetime_days) * DAY_S;
    let left_days = left_s / DAY_S;
    // The clock of who issued it may be ahead of this one.
    if left_s > lifetime_s + BACKDATED_S {
        return Err(format!("lives {left_days} days more, which is more than the {} planned", wanted.lifetime_days));
    }
    if left_s * RENEW_PART_LEFT < lifetime_s {
        return Err(format!("has {left_days} of {} days left", wanted.lifetime_days));
    }
    Ok(left_days)
}

fn was_issued_by(certificate: &Certificate, authority: &str) -> Result<(), String> {
    let authority = first_certificate(authority).ok_or("the authority's certificate cannot be read")?;
    let by_name = certificate.tbs_certificate().issuer() == authority.tbs_certificate().subject();
    let signed = || -> Option<()> {
        let body = certificate.tbs_certificate().to_der().ok()?;
        let signature = DerSignature::try_from(certificate.signature().as_bytes()?).ok()?;
        public_key(&authority)?.verify(&body, &signature).ok()
    };
    if by_name && signed().is_some() { Ok(()) } else { Err("was not issued by the platform's authority".to_owned()) }
}

fn has_names(certificate: &Certificate, wanted: &Wanted) -> Result<(), String> {
    let there: Option<SubjectAltName> = extension(certificate);
    let there: BTreeSet<String> = there.iter().flat_map(|names| &names.0).map(told).collect();
    let wanted: BTreeSet<String> =
        wanted.names.iter().cloned().chain(wanted.addresses.iter().map(ToString::to_string)).collect();
    if there == wanted {
        return Ok(());
    }
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    Err(format!("is for {}, not for {}", list(&there), list(&wanted)))
}

fn told(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => name.to_string(),
        GeneralName::IpAddress(octets) => match octets.as_bytes().len() {
            4 => <[u8; 4]>::try_from(octets.as_bytes()).map(|octets| IpAddr::from(octets).to_string()),
            _ => <[u8; 16]>::try_from(octets.as_bytes()).map(|octets| IpAddr::from(octets).to_string()),
        }
        .unwrap_or_else(|_| "an address that is none".to_owned()),
        _ => "a name of another kind".to_owned(),
    }
}

/// The extension of this kind, where the certificate has one that can be read.
fn extension<'a, E: AssociatedOid + Decode<'a>>(certificate: &'a Certificate) -> Option<E> {
    certificate.tbs_certificate().get_extension::<E>().ok().flatten().map(|(_, extension)| extension)
}

fn ends_s(certificate: &Certificate) -> u64 {
    certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs()
}

fn public_key(certificate: &Certificate) -> Option<VerifyingKey> {
    let der = certificate.tbs_certificate().subject_public_key_info().to_der().ok()?;
    VerifyingKey::from_public_key_der(&der).ok()
}

fn first_certificate(pem: &str) -> Option<Certificate> {
    Certificate::from_pem(block(pem, "CERTIFICATE")?).ok()
}

fn private_key(pem: &str) -> Option<SigningKey> {
    SigningKey::from_pkcs8_pem(block(pem, "PRIVATE KEY")?).ok()
}

/// The first block of a kind in a PEM text that may hold several.
fn block<'a>(pem: &'a str, kind: &str) -> Option<&'a str> {
    let end = format!("-----END {kind}-----");
    let from = pem.find(&format!("-----BEGIN {kind}-----"))?;
    let to = from + pem[from..].find(&end)? + end.len();
    Some(&pem[from..to])
}
