use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use bascule_engine::Run;
use bascule_incus::Status;
use bascule_roles::{Existing, Facts, ROLE, STORE_SHAPE};
use bascule_spec::{Endpoint, Ops, Platform, Role};
use futures_util::{TryFutureExt as _, future};

use crate::{ReleaseError, record};

/// Reads all that planning needs to know: from Incus, in three requests at once, and of the run's secrets their fingerprints.
pub async fn observe(run: &Run, platform: &Platform) -> Result<Facts, ReleaseError> {
    let incus = run.incus();
    let of_ops = platform.ops_instance().map(|_| Ops::AGE_KEY);
    let secrets = platform.secrets().into_iter().chain(of_ops).map(str::to_owned).chain(platform.own_secrets());
    let secrets = secrets.filter_map(|name| run.fingerprint(&name).map(|fingerprint| (name, fingerprint))).collect();
    let project = platform.incus.project.as_str();
    // Elsewhere the bridge is made by `host up`, and who is restricted to a project is not told of the host's own cards.
    let mtu = async {
        match platform.incus.endpoint {
            Endpoint::Socket(_) => incus.uplink_mtu().await,
            Endpoint::Https(_) => Ok(None),
        }
    };
    let mtu = mtu.map_err(ReleaseError::from);
    let found_instances = incus.instances(project).map_err(ReleaseError::from);
    let (mtu, found_instances, keys) = future::try_join3(mtu, found_instances, record::keys(incus, project)).await?;
    let mut instances = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    let mut stores = BTreeMap::new();
    let mut databases = BTreeSet::new();
    let mut holder = None;
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
        let is_held = |address: Ipv4Addr| instance.addresses.contains(&IpAddr::V4(address));
        if existing == Existing::Running && platform.load_balancer.address.is_some_and(is_held) {
            holder = Some(instance.name.clone());
        }
        if instance.config.get(ROLE).is_some_and(|role| role == Role::Postgres.name()) {
            databases.insert(instance.name.clone());
        }
        if let Some(shape) = instance.config.get(STORE_SHAPE) {
            stores.insert(instance.name.clone(), shape.clone());
        }
        instances.insert(instance.name, existing);
    }
    let addresses = bascule_spec::allocate(platform, &addresses)?;
    let releases = record::read(&keys)?;
    Ok(Facts {
        instances,
        stores,
        databases,
        addresses,
        holder,
        releases,
        mtu,
        secrets,
        out_of_rotation: BTreeSet::new(),
    })
}

/// Says which instances the platform file names no more.
pub fn tell_of_strays(run: &Run, platform: &Platform, facts: &Facts) {
    let strays = facts.strays(platform);
    if let [first, ..] = strays[..] {
        let names = strays.join(", ");
        run.note(format!(
            "the platform file names no more, and nothing is done to: {names}; to be rid of one: bascule down {first}"
        ));
    }
}
