//! The environment's own authority: its key among the secrets, its certificate in the clear beside the overlay.

use std::path::Path;
use std::sync::Arc;

use bascule_engine::Secrets;
use bascule_plan::Certificate;
use bascule_roles::AUTHORITY_KEY;
use bascule_secrets::SecretsFile;
use bascule_spec::{Platform, internal_authority_path};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use crate::failure::Failed;
use crate::files;
use crate::pair;

/// Makes the authority where there is none: the key first, so that whoever is killed in between finishes with the same
/// one. For a verb that only looks (`make` is false) it makes one that is kept nowhere: what would be issued by the one
/// that `up` makes differs from what there is in the same places.
pub(crate) fn ensure(
    platform: &mut Platform,
    platform_file: &Path,
    secrets: &mut SecretsFile,
    make: bool,
    now_s: u64,
) -> Result<(), Failed> {
    let path = internal_authority_path(platform_file, &platform.environment);
    if let Some(certificate) = &platform.internal_authority {
        let file = path.display().to_string();
        let hint =
            "get both from the repository as they were committed together: the file, and the environment's secrets";
        return pair::check((&file, certificate), (AUTHORITY_KEY, secrets.value(AUTHORITY_KEY)?), hint);
    }
    let rng = &mut UnwrapErr(SysRng);
    let name = format!("{} {} internal", platform.name, platform.environment);
    let certificate = if make {
        if secrets.ensure(AUTHORITY_KEY, || bascule_pki::make_key(rng).map_err(Failed::from))? {
            secrets.save()?;
        }
        let key = secrets.value(AUTHORITY_KEY)?;
        let certificate = bascule_pki::authority_certificate(&name, key, now_s, rng)?;
        files::publish("the authority's certificate", &path, &certificate)?;
        certificate
    } else {
        bascule_pki::make_authority(&name, now_s, rng)?.certificate
    };
    platform.internal_authority = Some(certificate);
    Ok(())
}

/// Signs with the keys that are among the secrets.
#[derive(Debug)]
pub(crate) struct Signer(pub(crate) Arc<dyn Secrets>);

impl bascule_engine::Authority for Signer {
    fn issue(&self, wanted: &Certificate, now_s: u64) -> Result<String, String> {
        let key = self.0.value(&wanted.authority.key)?;
        bascule_pki::issue(wanted, &key, now_s, &mut UnwrapErr(SysRng)).map_err(|error| error.to_string())
    }
}
