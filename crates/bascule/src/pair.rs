//! Whether a certificate and a private key belong together, whatever their kind: told before either is used.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::failure::Failed;

/// Fails with what is wrong with the pair: `certificate` and `key` (PEM) as a person calls them.
pub(crate) fn check((certificate, pem): (&str, &str), (key, key_pem): (&str, &str), hint: &str) -> Result<(), Failed> {
    let wrong = |message: String| Failed::usage(message, hint);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| wrong(format!("{certificate} is no certificate")))?;
    let private = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).ok();
    let signer = private.and_then(|private| aws_lc_rs::sign::any_supported_type(&private).ok());
    let signer: Arc<_> = signer.ok_or_else(|| wrong(format!("{key} is no private key")))?;
    CertifiedKey::new(chain, signer)
        .keys_match()
        .map_err(|_| wrong(format!("{key} is not the private key of {certificate}")))
}

/// Whether a text is a private key, PEM.
pub(crate) fn is_key(text: &str) -> bool {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok_and(|key| aws_lc_rs::sign::any_supported_type(&key).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand::rngs::SysRng;
    use rand_core::UnwrapErr;

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn a_pair_is_known_and_every_other_is_told_with_its_reason() {
        let rng = &mut UnwrapErr(SysRng);
        let (key, other) = (bascule_pki::make_key(rng).unwrap(), bascule_pki::make_key(rng).unwrap());
        let certificate = bascule_pki::client_certificate("a client", &key, NOW_S, rng).unwrap();
        let check = |certificate: &str, key: &str| {
            check(("ops.pem", certificate), ("the secret k", key), "mend it").map_err(|error| error.to_string())
        };
        assert_eq!(check(&certificate, &key), Ok(()));
        assert_eq!(check(&certificate, &other), Err("the secret k is not the private key of ops.pem".to_owned()));
        assert_eq!(check(&certificate, "0a1b2c"), Err("the secret k is no private key".to_owned()));
        for rubbish in ["", "rubbish", &key] {
            assert_eq!(check(rubbish, &key), Err("ops.pem is no certificate".to_owned()));
        }
        assert!(is_key(&key) && !is_key(&certificate));
    }
}
