use std::fmt::Display;

/// Why no certificate can be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("the authority's certificate cannot be read: {0}")]
    AuthorityCertificate(String),
    #[error("the authority's key cannot be read: it is no PKCS#8 key for P-256 in PEM")]
    AuthorityKey,
    #[error("the client's key cannot be read: it is no PKCS#8 key for P-256 in PEM")]
    ClientKey,
    #[error("the authority's key is not the one its certificate was made for")]
    AuthorityMismatch,
    #[error("the authority's certificate ends {left_days} days from now, before the certificate for {whom} would")]
    AuthorityEnds { left_days: u64, whom: String },
    #[error("`{name}` cannot be the name in a certificate: {why}")]
    Name { name: String, why: String },
    #[error("a certificate cannot be encoded: {0}")]
    Encode(String),
}

impl PkiError {
    pub(crate) fn encode(error: impl Display) -> Self {
        Self::Encode(error.to_string())
    }
}
