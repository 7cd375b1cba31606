//! What is written onto the instances, to be read as a whole.

use std::net::IpAddr;

use bascule_plan::{Content, Plan, Resource};
use bascule_spec::{FrontCertificate, Tls, Topology};

use super::platforms::{behind_one_address, running, shop};
use crate::{OWN_FRONT_CERTIFICATE, up};

/// The text of a file that a plan puts on an instance.
pub(super) fn text(plan: &Plan, instance: &str, path: &str) -> String {
    let line = plan.lines.iter().find(|line| line.instance == instance).unwrap();
    let found = line.steps().find_map(|step| match &step.resource {
        Resource::File(file) if file.path == path => match &file.content {
            Content::Text(text) => Some(text.clone()),
            Content::Secret(_) => None,
        },
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{instance} has no text file {path}"))
}

fn shop_file(topology: Topology, instance: &str, path: &str) -> String {
    let platform = shop(topology);
    text(&up(&platform, &running(&platform)).unwrap(), instance, path)
}

#[test]
fn haproxy_of_a_blue_green_platform() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "lb-1", "/etc/haproxy/haproxy.cfg"));
}

#[test]
fn haproxy_of_a_multi_instance_platform() {
    insta::assert_snapshot!(shop_file(Topology::MultiInstance, "lb-1", "/etc/haproxy/haproxy.cfg"));
}

#[test]
fn the_map_that_says_who_has_the_traffic() {
    let map = |name| shop_file(Topology::BlueGreen, "lb-1", &format!("/etc/haproxy/{name}.map"));
    assert_eq!((map("colour"), map("generation")), ("active blue\n".to_owned(), "generation 1\n".to_owned()));
}

fn front_door_file(instance: &str, path: &str) -> String {
    let platform = behind_one_address(1);
    text(&up(&platform, &running(&platform)).unwrap(), instance, path)
}

#[test]
fn haproxy_with_tls_behind_a_virtual_address() {
    insta::assert_snapshot!(front_door_file("lb-1", "/etc/haproxy/haproxy.cfg"));
}

#[test]
fn a_certificate_of_the_environments_own_is_good_for_the_shared_address_and_is_read_again_when_it_is_renewed() {
    let mut platform = behind_one_address(1);
    let certificate = FrontCertificate::Own { names: vec!["shop.example".into()] };
    platform.load_balancer.tls = Some(Tls { port: 443, certificate });
    let facts = running(&platform);
    let plan = up(&platform, &facts).unwrap();
    let config = text(&plan, "lb-2", "/etc/haproxy/haproxy.cfg");
    assert!(config.contains(&format!("ssl crt {OWN_FRONT_CERTIFICATE} alpn")), "{config}");
    let line = plan.lines.iter().find(|line| line.instance == "lb-2").unwrap();
    let certificate = line.steps().find_map(|step| match &step.resource {
        Resource::Certificate(certificate) if certificate.path == OWN_FRONT_CERTIFICATE => Some(certificate),
        _ => None,
    });
    let certificate = certificate.unwrap();
    assert_eq!((certificate.names.as_slice(), certificate.mode), (&["shop.example".to_owned()][..], 0o600));
    let addresses = [platform.load_balancer.address.unwrap(), facts.addresses["lb-2"]].map(IpAddr::from);
    assert_eq!(certificate.addresses, addresses);
    let reads = line.steps().any(|step| match &step.resource {
        Resource::Unit(unit) => {
            unit.name == "haproxy.service" && unit.reload_inputs.iter().any(|path| path == OWN_FRONT_CERTIFICATE)
        }
        _ => false,
    });
    assert!(reads, "HAProxy is not reloaded");
}

#[test]
fn keepalived_of_the_second_load_balancer() {
    insta::assert_snapshot!(front_door_file("lb-2", "/etc/keepalived/keepalived.conf"));
}

#[test]
fn the_silence_of_a_closed_door() {
    insta::assert_snapshot!(front_door_file("lb-1", "/etc/haproxy/door.nft"));
}

#[test]
fn two_load_balancers_give_the_same_cookies_and_hash_alike() {
    let path = "/etc/haproxy/haproxy.cfg";
    assert_eq!(front_door_file("lb-1", path), front_door_file("lb-2", path));
}

#[test]
fn the_unit_of_a_program() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "api-blue-1", "/etc/systemd/system/api.service"));
}

#[test]
fn the_environment_of_a_program() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "api-blue-1", "/etc/api/environment"));
}

#[test]
fn nginx_of_a_static_component() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "web-blue-1", "/etc/nginx/nginx.conf"));
}

#[test]
fn the_hardening_of_ssh() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "build-1", "/etc/ssh/sshd_config.d/10-bascule.conf"));
}

#[test]
fn the_firewall_of_a_load_balancer() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "lb-1", "/etc/bascule/firewall.nft"));
}

#[test]
fn the_jail_of_ssh() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "build-1", "/etc/fail2ban/jail.local"));
}
