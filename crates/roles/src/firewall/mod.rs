//! A firewall on every instance, which lets in exactly what the platform file implies: see [`admitted`].
//!
//! It is one table of nftables, replaced as a whole in one transaction. Other tables are left alone: fail2ban keeps its
//! bans in one of its own, which is asked first.

mod admitted;

use bascule_spec::{Instance, Platform};
use minijinja::context;

use crate::group::{Group, command, file, running, script_path, validated};
use crate::template::render;
use crate::{Facts, RoleError};
use admitted::admitted;

const RULES: &str = "/etc/bascule/firewall.nft";
const UNIT: &str = "bascule-firewall.service";
const UNIT_FILE: &str = "/etc/systemd/system/bascule-firewall.service";

pub(crate) fn steps(platform: &Platform, facts: &Facts, instance: &Instance) -> Result<Group, RoleError> {
    let mut group = Group::new("common/firewall");
    group.packages("install nftables", &["nftables"]);
    let admitted = admitted(platform, facts, instance)?;
    // What everybody may ask for is also what is asked for most: the kernel's table of connections, which all instances of
    // a host share, is no limit for it.
    let public_ports: Vec<u16> = admitted.iter().filter_map(admitted::Admitted::public_port).collect();
    let rules: Vec<_> = admitted.iter().map(|rule| context! { why => rule.why, rule => rule.to_string() }).collect();
    let rules = render("rules.nft.j2", include_str!("rules.nft.j2"), context! { public_ports, rules })?;
    loaded(&mut group, "let in what the platform implies, and nothing else", rules);
    Ok(group)
}

/// Has rules loaded: now, where the kernel has others, and before the network at every boot.
pub(crate) fn loaded(group: &mut Group, title: &str, rules: String) {
    group.step("rules", title, validated(RULES, 0o644, rules, &["/usr/sbin/nft", "--check", "--file", "{}"]));
    group.scripts(&[("firewall", include_str!("firewall.sh"))]);
    let program = script_path("firewall");
    group.step("load", "load the firewall", command(&[&program, "load"], &[&program, "check"], 30_000));
    group.step(
        "unit",
        "load it before the network at every boot",
        file(UNIT_FILE, 0o644, include_str!("firewall.service")),
    );
    group.step("service", "have it loaded at every boot", running(UNIT, &[UNIT_FILE], &[]));
}
