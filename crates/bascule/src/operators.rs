//! What the operators of an environment come to a daemon elsewhere with: their key among the secrets, their certificate in
//! the clear, in the file that `[incus]` names.

use std::io;
use std::path::Path;

use bascule_engine::Secrets;
use bascule_pki::PkiError;
use bascule_roles::ClientCertificate;
use bascule_secrets::SecretsFile;
use bascule_spec::{Endpoint, Https, Platform};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use crate::failure::Failed;
use crate::files;
use crate::pair;

/// The certificate and its key, PEM, as they have to be there for every verb but those on hosts.
pub(crate) fn identity(https: &Https, secrets: &dyn Secrets) -> Result<(String, String), Failed> {
    let path = &https.client_certificate;
    let certificate = std::fs::read_to_string(path).map_err(|error| {
        let hint = "get it from the repository; where the environment has none yet, `bascule host up` makes it";
        Failed::usage(unread(path, &error), hint)
    })?;
    let key = secrets.value(&https.client_key).map_err(|message| no_key(path, &https.client_key, &message))?;
    fit(path, &certificate, &https.client_key, &key)?;
    Ok((certificate, key))
}

/// The certificate that hosts are to trust; none where operators come by the daemon's socket. Where there is none yet it is
/// made: the key first, so that whoever is killed in between finishes with the same one. A verb that only looks (`make` is
/// false) goes on with one that is kept nowhere: what would be planned with the other differs in the same places.
pub(crate) fn ensure(
    platform: &Platform,
    secrets: &mut SecretsFile,
    make: bool,
    now_s: u64,
    note: impl FnOnce(String),
) -> Result<Option<ClientCertificate>, Failed> {
    let Endpoint::Https(https) = &platform.incus.endpoint else { return Ok(None) };
    let path = &https.client_certificate;
    let pem = match std::fs::read_to_string(path) {
        Ok(pem) => {
            let key = secrets.value(Https::CLIENT_KEY);
            let key = key.map_err(|error| no_key(path, Https::CLIENT_KEY, &error.to_string()))?;
            fit(path, &pem, Https::CLIENT_KEY, key)?;
            pem
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failed::usage(unread(path, &error), "is it the right file, and may you read it?"));
        }
        Err(_) => {
            let pem = certificate(platform, secrets, make, now_s)?;
            if make {
                files::publish("the operators' certificate", path, &pem)?;
            }
            note(told(path, &secrets.place().secrets, make));
            pem
        }
    };
    Ok(Some(ClientCertificate { whose: "operators", fingerprint: bascule_incus::fingerprint(&pem)?, pem }))
}

fn certificate(platform: &Platform, secrets: &mut SecretsFile, keep: bool, now_s: u64) -> Result<String, Failed> {
    let rng = &mut UnwrapErr(SysRng);
    let drawn = secrets.ensure(Https::CLIENT_KEY, || bascule_pki::make_key(rng).map_err(unmade))?;
    if drawn && keep {
        secrets.save()?;
    }
    let name = format!("{} {} operators", platform.name, platform.environment);
    let key = secrets.value(Https::CLIENT_KEY)?;
    bascule_pki::client_certificate(&name, key, now_s, rng).map_err(unmade)
}

fn fit(path: &Path, certificate: &str, key: &str, key_pem: &str) -> Result<(), Failed> {
    let hint = format!("remove {}, and `bascule host up` makes another for the key that there is", path.display());
    pair::check((&path.display().to_string(), certificate), (key, key_pem), &hint)
}

fn unmade(source: PkiError) -> Failed {
    Failed::ClientCertificate { whose: "operators", source }
}

fn told(path: &Path, secrets: &Path, made: bool) -> String {
    let (path, secrets) = (path.display(), secrets.display());
    if made {
        format!("the operators' certificate was made: {path}; commit it, and {secrets}, which has its key")
    } else {
        format!("there is no certificate of the operators yet: `bascule host up` makes {path}")
    }
}

fn unread(path: &Path, error: &io::Error) -> String {
    format!("the operators' certificate {} cannot be read: {error}", path.display())
}

fn no_key(path: &Path, name: &str, why: &str) -> Failed {
    let path = path.display();
    Failed::usage(
        format!("the key of the operators' certificate {path} is not at hand: {why}"),
        format!("bascule secrets set {name} < FILE; or remove {path}, and `bascule host up` makes both anew"),
    )
}
