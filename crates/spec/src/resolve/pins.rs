//! Addresses that the file pins.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Context;
use super::instances::Group;
use crate::allocate::{AllocateError, assign};
use crate::platform::{Instance, Network};
use crate::words::{count, heading};

/// To whom each address is pinned, over all groups, as in "pinned to …".
pub(super) type Pins = BTreeMap<Ipv4Addr, String>;

impl Group<'_> {
    /// The address of each member, blue before green; `None` where it is wrong.
    pub(super) fn addresses(
        &self,
        network: Option<&Network>,
        pins: &mut Pins,
        context: &mut Context<'_>,
    ) -> Vec<Option<Ipv4Addr>> {
        let Some(texts) = &self.placement.addresses else {
            return Vec::new();
        };
        let names: Vec<&str> = self.members.iter().flatten().map(|(name, _)| name.as_str()).collect();
        let is_sure =
            !context.is_suspect(&self.key(self.count_key)) && !context.is_suspect(&["load_balancer", "topology"]);
        if texts.len() != names.len() && is_sure {
            let pinned = if texts.len() == 1 {
                "1 pinned address".to_owned()
            } else {
                format!("{} pinned addresses", texts.len())
            };
            let made = count(names.len(), "instance");
            let message = format!("{} has {pinned} for {made}", heading(&self.path));
            let help = format!("list one address each for {}, or leave `addresses` out", names.join(", "));
            context.report(&self.key("addresses"), message, help);
        }
        let mut addresses = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path_index = index.to_string();
            let path = self.item("addresses", &path_index);
            let address = address(text, network, &path, context);
            let taken = address.and_then(|address| pins.get(&address));
            if let (Some(address), Some(holder)) = (address, taken) {
                context.report(&path, format!("{address} is pinned to {holder} already"), "pin another address");
                addresses.push(None);
                continue;
            }
            if let (Some(address), Some(name)) = (address, names.get(index)) {
                pins.insert(address, format!("`{name}`"));
            }
            addresses.push(address);
        }
        addresses
    }
}

/// Whether every instance of a new platform gets an address.
pub(super) fn room(network: &Network, instances: &[Instance], front_door: Option<Ipv4Addr>, context: &mut Context<'_>) {
    if let Err(AllocateError::Full { .. }) = assign(network, instances, front_door, &BTreeMap::new()) {
        let message = format!("{} has no room for {}", network.subnet, count(instances.len(), "instance"));
        let help = format!("use a larger subnet: addresses are given from {} upward", network.first_given());
        context.report(&["network", "subnet"], message, help);
    }
}

/// An address that something of the platform can have for good.
pub(super) fn address(
    text: &str,
    network: Option<&Network>,
    path: &[&str],
    context: &mut Context<'_>,
) -> Option<Ipv4Addr> {
    let Ok(address) = text.parse::<Ipv4Addr>() else {
        context.report(
            path,
            format!("`{text}` is not an IPv4 address"),
            "write e.g. \"10.20.0.2\", without a prefix length",
        );
        return None;
    };
    let Some(network) = network else { return Some(address) };
    let (subnet, gateway) = (network.subnet, network.gateway);
    let why = if !subnet.contains(&address) {
        format!("is not in the subnet {subnet}")
    } else if address == gateway {
        "is the gateway: the bridge has it".to_owned()
    } else if address == subnet.broadcast() {
        format!("is the broadcast address of {subnet}")
    } else if address == subnet.network() {
        format!("is the address of the network {subnet} itself")
    } else if network.dynamic().contains(&address) {
        "is one that DHCP gives to what lives for a moment".to_owned()
    } else {
        return Some(address);
    };
    let last = Ipv4Addr::from_bits(network.dynamic().start().to_bits().saturating_sub(1));
    let second = Ipv4Addr::from_bits(gateway.to_bits().saturating_add(1));
    context.report(path, format!("{address} {why}"), format!("pin an address from {second} to {last}"));
    None
}
