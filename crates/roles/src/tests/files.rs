//! What is written onto the instances, to be read as a whole.

use bascule_plan::{Content, Plan, Resource};
use bascule_spec::Topology;

use super::platforms::{running, shop};
use crate::up;

/// The text of a file that a plan puts on an instance.
fn text(plan: &Plan, instance: &str, path: &str) -> String {
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
    let map = shop_file(Topology::BlueGreen, "lb-1", "/etc/haproxy/colour.map");
    assert_eq!(map, "active blue\ngeneration 1\n");
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
fn the_jail_of_ssh() {
    insta::assert_snapshot!(shop_file(Topology::BlueGreen, "build-1", "/etc/fail2ban/jail.d/bascule.local"));
}
