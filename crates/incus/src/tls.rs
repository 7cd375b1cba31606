//! TLS with a daemon elsewhere: a client certificate that it trusts, and its own certificate, pinned.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// Who a client is: a certificate that the daemon trusts, and its key, both PEM.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    pub certificate: &'a str,
    pub key: &'a str,
}

/// The key never gets into a log by way of a debug print.
impl std::fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What a daemon knows a certificate (PEM) by: its SHA-256, 64 hex digits.
pub fn fingerprint(certificate: &str) -> Result<String> {
    let digest = Sha256::digest(self::certificate("the certificate", certificate)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn certificate(what: &'static str, pem: &str) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|source| Error::Credential { what, source: source.into() })
}

pub(crate) fn pinned(identity: Identity<'_>, server_certificate: &str) -> Result<ClientConfig> {
    let server = certificate("the certificate of the server", server_certificate)?;
    let own = certificate("the client's certificate", identity.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
        .map_err(|source| Error::Credential { what: "the client's key", source: source.into() })?;
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned { certificate: server, provider: provider.clone() });
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.dangerous().with_custom_certificate_verifier(verifier).with_client_auth_cert(vec![own], key)
        })
        .map_err(|source| Error::Credential { what: "the client's certificate with its key", source: source.into() })
}

/// Whether a connection failed because the pinned certificate is not the one that was shown.
pub(crate) fn is_other_certificate(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    match inner.downcast_ref::<io::Error>() {
        Some(error) => is_other_certificate(error),
        None => inner.downcast_ref::<rustls::Error>().is_some_and(|error| *error == OTHER_CERTIFICATE),
    }
}

const OTHER_CERTIFICATE: rustls::Error =
    rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

/// Trusts one certificate, byte for byte. Names and dates in it do not count: a daemon's certificate is its own word for
/// both, and is made for ten years. That the other side has the certificate's key is checked as ever.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.certificate { Ok(ServerCertVerified::assertion()) } else { Err(OTHER_CERTIFICATE) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
