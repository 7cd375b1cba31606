//! What the ops instance works with: an age key that opens the environment's secrets, and a client certificate that Incus
//! trusts with the environment's project.

use std::fs;
use std::io;
use std::path::Path;

use bascule_pki::PkiError;
use bascule_roles::ClientCertificate;
use bascule_secrets::{Identity, Recipients, SecretsFile};
use bascule_spec::{Endpoint, Ops, Platform};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use crate::cli::Common;
use crate::failure::Failed;
use crate::files;
use crate::pair;
use crate::setup;

/// Makes what is missing of it, keys first, so that whoever is killed in between finishes with the same ones, and puts it
/// into the platform. A verb that only looks (`make` is false) goes on with what is kept nowhere: what would be planned
/// with the other differs in the same places.
pub(crate) fn ensure(
    platform: &mut Platform,
    common: &Common,
    secrets: &mut SecretsFile,
    make: bool,
    now_s: u64,
    note: impl FnOnce(String),
) -> Result<(), Failed> {
    let Some(instance) = platform.ops_instance() else { return Ok(()) };
    let Endpoint::Https(https) = &platform.incus.endpoint else { return Ok(()) };
    let recipient = format!("{}-{}", instance.name, platform.environment);
    let rng = &mut UnwrapErr(SysRng);
    let mut drawn = secrets.ensure(Ops::AGE_KEY, || Ok::<_, Failed>(Identity::draw().0))?;
    if Identity::public_half(secrets.value(Ops::AGE_KEY)?).is_none() {
        // Nobody but the instance has it, and that is about to be given another.
        secrets.set(Ops::AGE_KEY, &Identity::draw().0)?;
        drawn = true;
    }
    drawn |= secrets.ensure(Ops::CLIENT_KEY, || bascule_pki::make_key(rng).map_err(unmade))?;
    if make {
        let public = Identity::public_half(secrets.value(Ops::AGE_KEY)?).unwrap_or_default();
        let added = Recipients::add(secrets.place(), &recipient, &public)?;
        // Who was named after the file was written cannot read it yet.
        if drawn || added || !secrets.readers().iter().any(|(name, _)| *name == recipient) {
            secrets.save()?;
        }
    }
    let path = setup::beside_overlay(common, platform, "ops.pem");
    let client_certificate = match fs::read_to_string(&path) {
        Ok(pem) => pem,
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let message = format!("the certificate of the ops instance {} cannot be read: {error}", path.display());
            return Err(Failed::usage(message, "is it the right file, and may you read it?"));
        }
        Err(_) => {
            let name = format!("{} {} ops", platform.name, platform.environment);
            let key = secrets.value(Ops::CLIENT_KEY)?;
            let pem = bascule_pki::client_certificate(&name, key, now_s, rng).map_err(unmade)?;
            if make {
                files::publish("the certificate of the ops instance", &path, &pem)?;
                note(format!(
                    "the ops instance has a certificate now: {}; commit it, recipients.toml and the secrets",
                    path.display()
                ));
            }
            pem
        }
    };
    let hint = format!("remove {}, and `bascule up` makes another for the key that there is", path.display());
    let key = (Ops::CLIENT_KEY, secrets.value(Ops::CLIENT_KEY)?);
    pair::check((&path.display().to_string(), &client_certificate), key, &hint)?;
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    platform.ops = Some(Ops {
        secrets: text(&secrets.place().secrets),
        client_certificate,
        // Where it is missing, no daemon is reached either, which tells the remedy.
        server_certificate: text(&https.server_certificate),
    });
    Ok(())
}

/// What hosts have to trust for it.
pub(crate) fn client_certificate(platform: &Platform) -> Result<Option<ClientCertificate>, Failed> {
    let Some(ops) = &platform.ops else { return Ok(None) };
    let pem = ops.client_certificate.clone();
    Ok(Some(ClientCertificate { whose: "ops", fingerprint: bascule_incus::fingerprint(&pem)?, pem }))
}

fn unmade(source: PkiError) -> Failed {
    Failed::ClientCertificate { whose: "the ops instance", source }
}
