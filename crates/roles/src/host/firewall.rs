//! What may come in at a host: the operators, and what its own instances ask of it. Nothing is said of what is forwarded:
//! that is Incus's.

use bascule_plan::LineItem;
use bascule_spec::{Https, Platform};
use ipnet::Ipv4Net;
use minijinja::context;

use super::in_turn;
use crate::group::{Group, directory};
use crate::template::render;
use crate::{RoleError, firewall};

const SSH_PORT: u16 = 22;

pub(super) fn steps(platform: &Platform, listener: Option<&Https>) -> Result<Vec<LineItem>, RoleError> {
    // A set does not take networks that overlap.
    let sources = Ipv4Net::aggregate(&platform.ssh.allow_from);
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    let ports: Vec<u16> = [SSH_PORT].into_iter().chain(listener.map(|https| https.address.port())).collect();
    let ops = listener.and_then(|https| {
        let address = platform.ops_instance()?.address?;
        Some(context! { address => address.to_string(), port => https.address.port() })
    });
    let rules = render("firewall.nft.j2", include_str!("firewall.nft.j2"), context! { sources, ports, ops })?;
    let mut group = Group::new("host/firewall");
    group.step("folder", "make Bascule's folder", directory("/etc/bascule", 0o755));
    firewall::loaded(&mut group, "admit the operators and the instances, and nobody else", rules);
    Ok(in_turn([group]))
}
