use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Context;
use crate::platform::Network;
use crate::raw;

/// Linux keeps the name of an interface in 16 bytes, the last of which is zero.
const BRIDGE_NAME_MAX: usize = 15;
/// Five addresses for instances, beside the network, gateway and broadcast addresses.
const PREFIX_LENGTH_MAX: u8 = 29;
const PREFIX_LENGTH_MIN: u8 = 16;

pub(super) fn network(
    raw: Option<&raw::Network>,
    default_bridge: Option<&str>,
    context: &mut Context<'_>,
) -> Option<Network> {
    let bridge = bridge(raw, default_bridge, context);
    let subnet = subnet(raw?.subnet.as_deref()?, context)?;
    let gateway = Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1));
    Some(Network { bridge: bridge?.to_owned(), subnet, gateway })
}

fn bridge<'a>(raw: Option<&'a raw::Network>, default: Option<&'a str>, context: &mut Context<'_>) -> Option<&'a str> {
    let path = ["network", "bridge"];
    let explicit = raw.and_then(|network| network.bridge.as_deref());
    if explicit.is_none() && (context.is_suspect(&path) || raw.is_none()) {
        return None;
    }
    let name = explicit.or(default)?;
    let length = name.chars().count();
    if length > BRIDGE_NAME_MAX {
        let whose = if explicit.is_some() { "the bridge's name" } else { "the bridge's default name" };
        let message =
            format!("{whose} `{name}` has {length} characters, but a Linux interface has at most {BRIDGE_NAME_MAX}");
        let short: String = name.chars().take(BRIDGE_NAME_MAX).collect();
        context.report(&path, message, format!("set e.g. `bridge = \"{}\"`", short.trim_end_matches('-')));
    }
    Some(name)
}

fn subnet(text: &str, context: &mut Context<'_>) -> Option<Ipv4Net> {
    let path = ["network", "subnet"];
    let Ok(subnet) = text.parse::<Ipv4Net>() else {
        let message = format!("`{text}` is not an IPv4 subnet");
        context.report(&path, message, "write an address and a prefix length, e.g. \"10.20.0.0/24\"");
        return None;
    };
    if subnet.addr() != subnet.network() {
        let message = format!("`{text}` is an address in a subnet, not a subnet");
        context.report(&path, message, format!("write \"{}\"", subnet.trunc()));
    }
    let length = subnet.prefix_len();
    if length > PREFIX_LENGTH_MAX {
        let message = format!("`{text}` is too small for a platform");
        context.report(&path, message, format!("use a /{PREFIX_LENGTH_MAX} or larger, e.g. a /24"));
        return None;
    }
    if length < PREFIX_LENGTH_MIN {
        let message = format!("`{text}` is larger than any platform needs, and takes addresses from others");
        context.report(&path, message, format!("use a /{PREFIX_LENGTH_MIN} or smaller, e.g. a /24"));
        return None;
    }
    Some(subnet.trunc())
}
