//! Addresses: given once, and they never move.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use thiserror::Error;

use crate::platform::{Instance, Network, Platform};

/// Gives every instance of the platform its address.
///
/// `existing` holds the addresses of all instances of the environment, also of those that are no longer in the
/// platform: none is moved, none is given twice. A new instance gets the address that the file pins, otherwise the
/// lowest free one from [`first_given`](Network::first_given) upward, in the order of `platform.instances`. The load
/// balancers' virtual address is nobody's.
///
/// # Errors
///
/// A pin that contradicts what exists, an existing address outside the subnet, or a subnet that is full.
pub fn allocate(
    platform: &Platform,
    existing: &BTreeMap<String, Ipv4Addr>,
) -> Result<BTreeMap<String, Ipv4Addr>, AllocateError> {
    assign(&platform.network, &platform.instances, platform.load_balancer.address, existing)
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AllocateError {
    #[error(
        "{instance} has the address {existing}, but the platform file pins {pinned}: addresses never move; pin {existing}, or destroy {instance} first"
    )]
    Moved { instance: String, existing: Ipv4Addr, pinned: Ipv4Addr },
    #[error("{instance} is pinned to {address}, which {holder} has: pin another address, or destroy {holder} first")]
    Taken { instance: String, address: Ipv4Addr, holder: String },
    #[error(
        "the load balancers are to share the address {address}, which {holder} has: choose another `address` in [load_balancer], or destroy {holder} first"
    )]
    FrontDoor { address: Ipv4Addr, holder: String },
    #[error(
        "{instance} has the address {address}, which is not in the subnet {subnet}: an environment keeps its subnet; put the old one back, or destroy {instance} first"
    )]
    Outside { instance: String, address: Ipv4Addr, subnet: Ipv4Net },
    #[error(
        "no address is left in {subnet} for {instance}: destroy instances that are not needed, or pin a free address below {first}"
    )]
    Full { instance: String, subnet: Ipv4Net, first: Ipv4Addr },
}

impl Network {
    /// The lowest address that is given to an instance: `.10` where the subnet is a /24 or larger, otherwise the one
    /// after the gateway. What is below is free for pins.
    pub fn first_given(&self) -> Ipv4Addr {
        let offset = if self.subnet.prefix_len() <= 24 { 10 } else { 2 };
        Ipv4Addr::from_bits(self.subnet.network().to_bits().saturating_add(offset))
    }

    /// The addresses at the top of the subnet that DHCP gives to what lives for a moment, e.g. the instances in which
    /// images are made: a sixteenth of all, at least one and at most sixteen.
    pub fn dynamic(&self) -> RangeInclusive<Ipv4Addr> {
        let last = self.subnet.broadcast().to_bits() - 1;
        let hosts = last - self.subnet.network().to_bits();
        let first = last + 1 - (hosts / 16).clamp(1, 16);
        Ipv4Addr::from_bits(first)..=Ipv4Addr::from_bits(last)
    }

    /// Whether an instance can have this address: inside the subnet, and neither its network address, its gateway, its
    /// broadcast address nor one that DHCP gives.
    pub fn is_usable(&self, address: Ipv4Addr) -> bool {
        let reserved = [self.subnet.network(), self.gateway, self.subnet.broadcast()];
        self.subnet.contains(&address) && !reserved.contains(&address) && !self.dynamic().contains(&address)
    }
}

pub(crate) fn assign(
    network: &Network,
    instances: &[Instance],
    front_door: Option<Ipv4Addr>,
    existing: &BTreeMap<String, Ipv4Addr>,
) -> Result<BTreeMap<String, Ipv4Addr>, AllocateError> {
    let mut taken: BTreeMap<Ipv4Addr, &str> =
        existing.iter().map(|(name, address)| (*address, name.as_str())).collect();
    if let Some(address) = front_door
        && let Some(holder) = taken.insert(address, "the front door")
    {
        return Err(AllocateError::FrontDoor { address, holder: holder.to_owned() });
    }
    let mut given = BTreeMap::new();
    for instance in instances {
        match (existing.get(&instance.name), instance.address) {
            (Some(&existing), Some(pinned)) if existing != pinned => {
                return Err(AllocateError::Moved { instance: instance.name.clone(), existing, pinned });
            }
            (Some(&address), _) if !network.is_usable(address) && !network.dynamic().contains(&address) => {
                let (instance, subnet) = (instance.name.clone(), network.subnet);
                return Err(AllocateError::Outside { instance, address, subnet });
            }
            (Some(&address), _) => drop(given.insert(instance.name.clone(), address)),
            (None, Some(address)) => {
                if let Some(holder) = taken.insert(address, &instance.name) {
                    let (instance, holder) = (instance.name.clone(), holder.to_owned());
                    return Err(AllocateError::Taken { instance, address, holder });
                }
                given.insert(instance.name.clone(), address);
            }
            (None, None) => {}
        }
    }
    let taken: BTreeSet<Ipv4Addr> = taken.into_keys().collect();
    let first = network.first_given();
    let mut free = (first.to_bits()..=u32::MAX)
        .map(Ipv4Addr::from_bits)
        .take_while(|address| network.is_usable(*address))
        .filter(|address| !taken.contains(address));
    for instance in instances {
        if !given.contains_key(&instance.name) {
            let full = || AllocateError::Full { instance: instance.name.clone(), subnet: network.subnet, first };
            given.insert(instance.name.clone(), free.next().ok_or_else(full)?);
        }
    }
    Ok(given)
}
