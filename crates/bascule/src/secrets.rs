//! The secrets of the environment that a verb works on.

use bascule_plan::FingerprintKey;
use bascule_secrets::{Place, SecretsError, SecretsFile, aws_credentials, token};
use bascule_spec::{Platform, Store};

use crate::cli::Common;
use crate::failure::Failed;
use crate::pair;
use crate::setup::age_key;

/// Opens an environment's secrets.
pub(crate) fn open(common: &Common, environment: &str) -> Result<SecretsFile, SecretsError> {
    SecretsFile::open(Place::beside(&common.platform, environment), &age_key(common))
}

/// Opens a platform's secrets and makes sure that every one is there that it uses.
pub(crate) fn complete(common: &Common, platform: &Platform) -> Result<Opened, SecretsError> {
    required(open(common, &platform.environment)?, platform)
}

/// The second half of [`complete`].
pub(crate) fn required(secrets: SecretsFile, platform: &Platform) -> Result<Opened, SecretsError> {
    lacks_none(&secrets, platform)?;
    Ok(Opened(secrets))
}

/// Whether every secret is there that the platform uses.
pub(crate) fn lacks_none(secrets: &SecretsFile, platform: &Platform) -> Result<(), SecretsError> {
    let is_given = |name: &str| platform.given_secrets().any(|given| given.name == name);
    secrets.require(platform.secrets().into_iter().filter(|name| !is_given(name)))?;
    platform.given_secrets().try_for_each(|given| secrets.require_given(given.name, given.what))
}

/// Draws those that only the platform itself uses, where they are missing. Who only looks keeps them to itself.
pub(crate) fn draw_own(secrets: &mut SecretsFile, platform: &Platform, save: bool) -> Result<(), SecretsError> {
    let mut is_new = false;
    for name in platform.own_secrets() {
        is_new |= secrets.ensure(&name, || drawn(&name))?;
    }
    if is_new && save { secrets.save() } else { Ok(()) }
}

/// A strong value for a secret, in the form in which it is read.
pub(crate) fn drawn(name: &str) -> Result<String, SecretsError> {
    if Store::is_key(name) { aws_credentials() } else { token() }
}

/// The components that read a secret, and who reads one that was brought.
pub(crate) fn users<'a>(platform: &'a Platform, name: &str) -> Vec<&'a str> {
    let users = platform.components.iter().filter(|component| component.secrets.contains(name));
    let given = platform.given_secrets().filter(|given| given.name == name).map(|given| given.user);
    users.map(|component| component.name.as_str()).chain(given).collect()
}

/// Whether the certificate that was brought for the front door belongs to its key.
pub(crate) fn front_door_fits(secrets: &SecretsFile, platform: &Platform) -> Result<(), Failed> {
    let Some(given) = platform.given_certificate() else { return Ok(()) };
    let hint = format!("bascule secrets set {} < FILE, with the key that the certificate was made for", given.key);
    let certificate = ("the certificate in [load_balancer.tls] certificate_file", given.chain.as_str());
    let key = format!("the secret {}", given.key);
    pair::check(certificate, (&key, secrets.value(&given.key)?), &hint)
}

/// An open file, as the engine asks for values.
#[derive(Debug)]
pub(crate) struct Opened(pub(crate) SecretsFile);

impl bascule_engine::Secrets for Opened {
    fn value(&self, name: &str) -> Result<String, String> {
        self.0.value(name).map(str::to_owned).map_err(|error| error.to_string())
    }

    fn fingerprint_key(&self, name: &str) -> FingerprintKey {
        self.0.fingerprint_key(name)
    }
}
