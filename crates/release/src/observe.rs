use std::collections::BTreeMap;

use bascule_incus::{Incus, Status};
use bascule_roles::{Existing, Facts};
use bascule_spec::Platform;

use crate::{ReleaseError, record};

/// Reads from Incus all that planning needs to know, in three requests.
pub async fn observe(incus: &dyn Incus, platform: &Platform) -> Result<Facts, ReleaseError> {
    let project = platform.incus.project.as_str();
    let mtu = incus.uplink_mtu().await?;
    let Some(found) = incus.project(project).await? else {
        let addresses = bascule_spec::allocate(platform, &BTreeMap::new())?;
        return Ok(Facts { addresses, mtu, ..Facts::default() });
    };
    let found_instances = incus.instances(project).await?;
    let mut instances = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for instance in found_instances {
        let address = instance.devices.get("eth0").and_then(|nic| nic.get("ipv4.address"));
        if let Some(Ok(address)) = address.map(|address| address.parse()) {
            addresses.insert(instance.name.clone(), address);
        }
        let existing = match instance.status {
            Status::Running => Existing::Running,
            Status::Frozen => Existing::Frozen,
            _ => Existing::Stopped,
        };
        instances.insert(instance.name, existing);
    }
    let addresses = bascule_spec::allocate(platform, &addresses)?;
    Ok(Facts { instances, addresses, releases: record::read(&found.config)?, mtu })
}
