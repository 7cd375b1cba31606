//! HTTPS at the front door.

use bascule_plan::LineItem;
use bascule_spec::{FrontCertificate, Instance, Platform};

use crate::group::{Group, file, secret_file};
use crate::{Facts, RoleError, certificates};

/// HAProxy takes the key of a given certificate from the file with this name and `.key` after it.
const GIVEN: &str = "/etc/haproxy/front.pem";
const GIVEN_KEY: &str = "/etc/haproxy/front.pem.key";
/// The environment's own has its key in the same file.
pub const OWN_FRONT_CERTIFICATE: &str = "/etc/haproxy/front-own.pem";

/// The one by which the object store's clients know that they talk to it.
pub(super) const STORE_CERTIFICATE: &str = "/etc/haproxy/store.pem";
/// A name that all of them have there, for who compares no addresses.
pub(crate) const STORE_NAME: &str = "store.incus";

pub(super) fn steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    let mut group = Group::new("load_balancer/tls");
    match platform.load_balancer.tls.as_ref().map(|tls| &tls.certificate) {
        Some(FrontCertificate::Given(given)) => {
            let key = secret_file(GIVEN_KEY, facts.secret(&given.key)?);
            group.step("key", "put the certificate's key in place", key);
            group.step("certificate", "put the certificate in place", file(GIVEN, 0o644, &given.chain));
        }
        Some(FrontCertificate::Own { names }) => {
            let certificate = certificates::of_front_door(platform, facts, own, OWN_FRONT_CERTIFICATE, names)?;
            group.step("certificate", "have the front door's certificate issued", certificate);
        }
        None => {}
    }
    if has_store(platform) {
        let names = [certificates::name(own), own.name.clone(), STORE_NAME.to_owned()];
        let certificate = certificates::of_front_door(platform, facts, own, STORE_CERTIFICATE, &names)?;
        group.step("store", "have the object store's certificate issued", certificate);
    }
    Ok(group.into_items())
}

/// The file that HAProxy names.
pub(super) fn certificate(certificate: &FrontCertificate) -> &'static str {
    match certificate {
        FrontCertificate::Given(_) => GIVEN,
        FrontCertificate::Own { .. } => OWN_FRONT_CERTIFICATE,
    }
}

/// What HAProxy has to read again when it changes.
pub(super) fn inputs(platform: &Platform) -> Vec<&'static str> {
    let front_door: &[&str] = match platform.load_balancer.tls.as_ref().map(|tls| &tls.certificate) {
        Some(FrontCertificate::Given(_)) => &[GIVEN, GIVEN_KEY],
        Some(FrontCertificate::Own { .. }) => &[OWN_FRONT_CERTIFICATE],
        None => &[],
    };
    front_door.iter().copied().chain(has_store(platform).then_some(STORE_CERTIFICATE)).collect()
}

fn has_store(platform: &Platform) -> bool {
    platform.store.as_ref().is_some_and(|store| store.cluster().is_some())
}
