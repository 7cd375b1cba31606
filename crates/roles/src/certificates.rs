//! TLS between the platform's parts: every server has a certificate of the environment's own authority, by which those
//! who call it know that it is who they mean.

use std::net::Ipv4Addr;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{Authority, Certificate, Resource, Usage};
use bascule_spec::{Instance, Platform};

use crate::group::{Group, file};
use crate::{Facts, RoleError};

const LIFETIME_DAYS: u32 = 90;
/// The private key of the environment's own authority, by its name among the secrets.
pub const AUTHORITY_KEY: &str = "bascule/ca/internal.key";

/// By this name an instance is known to its neighbours, and by nothing else in its certificates that they ask for.
pub(crate) fn name(instance: &Instance) -> String {
    format!("{}.incus", instance.name)
}

/// What tells an instance whom to trust.
pub(crate) fn trust(platform: &Platform) -> Result<Group, RoleError> {
    let mut group = Group::new("common/authority");
    let certificate = authority(platform)?;
    group.step("trust", "trust the environment's own authority", file(AUTHORITY_FILE, 0o644, certificate));
    Ok(group)
}

/// A server's certificate, with its key, in a file for root and one group.
pub(crate) fn of_server(
    platform: &Platform,
    facts: &Facts,
    instance: &Instance,
    path: impl Into<String>,
    group: &str,
) -> Result<Resource, RoleError> {
    let names = vec![name(instance), instance.name.clone()];
    // The machine itself asks its own services too, whether they are healthy.
    issued(platform, path, group, names, vec![facts.address(instance)?, Ipv4Addr::LOCALHOST])
}

/// The front door's certificate: for the names by which clients come, and the addresses of this load balancer.
pub(crate) fn of_front_door(
    platform: &Platform,
    facts: &Facts,
    instance: &Instance,
    path: &str,
    names: &[String],
) -> Result<Resource, RoleError> {
    let shared = platform.load_balancer.address;
    let addresses = shared.into_iter().chain([facts.address(instance)?]).collect();
    issued(platform, path, "root", names.to_vec(), addresses)
}

/// For these names and addresses.
pub(crate) fn issued(
    platform: &Platform,
    path: impl Into<String>,
    group: &str,
    names: Vec<String>,
    addresses: Vec<Ipv4Addr>,
) -> Result<Resource, RoleError> {
    Ok(Resource::Certificate(Box::new(Certificate {
        path: path.into(),
        owner: "root".into(),
        group: group.into(),
        mode: if group == "root" { 0o600 } else { 0o640 },
        authority: Authority { certificate: authority(platform)?.to_owned(), key: AUTHORITY_KEY.into() },
        names,
        addresses: addresses.into_iter().map(Into::into).collect(),
        usage: Usage::Server,
        lifetime_days: LIFETIME_DAYS,
    })))
}

fn authority(platform: &Platform) -> Result<&str, RoleError> {
    platform.internal_authority.as_deref().ok_or(RoleError::NoAuthority)
}
