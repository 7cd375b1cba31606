//! What stands in a certificate beside its names, key and dates.

use bascule_plan::Usage;
use x509_cert::TbsCertificate;
use x509_cert::builder::Result;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// Whom nobody vouches for but itself.
pub(crate) struct SelfSignedProfile {
    pub(crate) subject: Name,
    pub(crate) is: SelfSigned,
}

#[derive(Clone, Copy)]
pub(crate) enum SelfSigned {
    /// Good for signing leaves only.
    Authority,
    Client,
}

impl BuilderProfile for SelfSignedProfile {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        let mut extensions = match self.is {
            SelfSigned::Authority => Extensions::of_an_authority(tbs.subject())?,
            SelfSigned::Client => Extensions::of_a_leaf(tbs.subject(), Usage::Client)?,
        };
        extensions.add(&SubjectKeyIdentifier::try_from(key)?)?;
        Ok(extensions.all)
    }
}

/// A leaf: for a server, a client, or both.
pub(crate) struct LeafProfile {
    pub(crate) issuer: Name,
    pub(crate) subject: Name,
    pub(crate) alternatives: Vec<GeneralName>,
    pub(crate) usage: Usage,
}

impl BuilderProfile for LeafProfile {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        let mut extensions = Extensions::of_a_leaf(tbs.subject(), self.usage)?;
        extensions.add(&SubjectAltName(self.alternatives.clone()))?;
        extensions.add(&SubjectKeyIdentifier::try_from(key)?)?;
        extensions.add(&AuthorityKeyIdentifier::try_from(issuer_key)?)?;
        Ok(extensions.all)
    }
}

pub(crate) fn purposes(usage: Usage) -> &'static [ObjectIdentifier] {
    match usage {
        Usage::Server => &[ID_KP_SERVER_AUTH],
        Usage::Client => &[ID_KP_CLIENT_AUTH],
        Usage::Peer => &[ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH],
    }
}

struct Extensions<'a> {
    all: Vec<Extension>,
    subject: &'a Name,
}

impl<'a> Extensions<'a> {
    fn of_an_authority(subject: &'a Name) -> Result<Self> {
        let mut extensions = Self { all: Vec::new(), subject };
        extensions.add(&BasicConstraints { ca: true, path_len_constraint: Some(0) })?;
        extensions.add(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?;
        Ok(extensions)
    }

    /// What stands in every certificate that signs no other.
    fn of_a_leaf(subject: &'a Name, usage: Usage) -> Result<Self> {
        let mut extensions = Self { all: Vec::new(), subject };
        extensions.add(&BasicConstraints { ca: false, path_len_constraint: None })?;
        // All that ECDSA in TLS 1.2 and 1.3 asks for.
        extensions.add(&KeyUsage(KeyUsages::DigitalSignature.into()))?;
        extensions.add(&ExtendedKeyUsage(purposes(usage).to_vec()))?;
        Ok(extensions)
    }

    fn add<E: ToExtension>(&mut self, extension: E) -> Result<()>
    where
        x509_cert::builder::Error: From<E::Error>,
    {
        let extension = extension.to_extension(self.subject, &self.all)?;
        self.all.push(extension);
        Ok(())
    }
}
