//! Ciphertext in, text out, and the other way round.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, Encryptor};

use crate::{Identity, Recipient, SecretsError};

/// ASCII armour: a repository shows it as text.
pub(crate) fn seal(text: &str, recipients: &[Recipient]) -> Result<Vec<u8>, SecretsError> {
    let keys = recipients.iter().map(|recipient| &recipient.key as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(keys).map_err(SecretsError::Encrypt)?;
    let write = || -> io::Result<Vec<u8>> {
        let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?)?;
        writer.write_all(text.as_bytes())?;
        writer.finish()?.finish()
    };
    write().map_err(|error| SecretsError::Encrypt(error.into()))
}

pub(crate) fn open(path: &Path, sealed: &[u8], identity: &Identity) -> Result<String, SecretsError> {
    let read = || -> Result<String, DecryptError> {
        let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed))?;
        let mut text = String::new();
        decryptor.decrypt(identity.keys())?.read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|source| match source {
        DecryptError::NoMatchingKeys => SecretsError::NotForUs {
            path: path.to_owned(),
            identity: identity.path.clone(),
            key: identity.recipients().first().cloned().unwrap_or_default(),
        },
        source => SecretsError::Damaged { path: path.to_owned(), source },
    })
}
