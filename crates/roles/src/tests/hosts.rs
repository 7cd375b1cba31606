//! The plan that makes Incus servers of bare machines.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_plan::Plan;
use bascule_spec::{Endpoint, Host, Https, Platform, PoolDisk, PoolDriver, Topology, Transport};

use super::files::text;
use super::platforms::shop;
use crate::{ClientCertificate, HostFacts, RoleError, host_up};

/// A shop on one server that operators reach by HTTPS, and a second server.
fn elsewhere() -> Platform {
    let host = |name: &str, number, pool| Host {
        name: name.into(),
        address: Ipv4Addr::new(192, 0, 2, number),
        transport: Transport::Ssh,
        pool_driver: PoolDriver::Btrfs,
        pool,
    };
    let mut platform = shop(Topology::MultiInstance);
    platform.incus.endpoint = Endpoint::Https(Https {
        address: "192.0.2.11:8443".parse().unwrap(),
        server_certificate: "/env/lab.incus.pem".into(),
        client_certificate: "/env/lab.client.pem".into(),
        client_key: Https::CLIENT_KEY.into(),
    });
    platform.hosts =
        vec![host("h1", 11, PoolDisk::LoopFile("100GiB".into())), host("h2", 12, PoolDisk::Source("/dev/sdb".into()))];
    platform
}

fn facts(debian: u32, container: bool) -> HostFacts {
    HostFacts {
        debian,
        container,
        operator: Some(Ipv4Addr::new(192, 0, 2, 7)),
        mtu: Some(1400),
        kernel: if debian == 12 { "6.1.0-40-amd64" } else { "6.12.48+deb13-cloud-amd64" }.into(),
        archive: "http://deb.debian.org/debian".into(),
    }
}

fn certificate() -> ClientCertificate {
    ClientCertificate { whose: "operators", pem: "-----BEGIN CERTIFICATE-----\n".into(), fingerprint: "ab".repeat(32) }
}

fn planned(h1: HostFacts, h2: HostFacts) -> Result<Plan, RoleError> {
    let facts = BTreeMap::from([("h1".to_owned(), h1), ("h2".to_owned(), h2)]);
    host_up(&elsewhere(), &facts, &[certificate()])
}

#[test]
fn a_bare_debian_12_becomes_a_server_and_a_container_keeps_its_kernel_limits() {
    let plan = planned(facts(12, false), facts(13, true)).unwrap();
    assert_eq!(plan.check(), Ok(()));
    insta::assert_snapshot!(plan.outline());
}

#[test]
fn the_firewall_of_a_host_that_operators_reach_by_https() {
    let plan = planned(facts(13, false), facts(13, false)).unwrap();
    insta::assert_snapshot!(text(&plan, "h1", "/etc/bascule/firewall.nft"));
    let other = text(&plan, "h2", "/etc/bascule/firewall.nft");
    assert!(!other.contains("8443"), "nobody is to listen there: {other}");
}

#[test]
fn the_older_ssh_server_is_told_nothing_that_it_does_not_know() {
    let plan = planned(facts(12, false), facts(13, false)).unwrap();
    let [old, new] = ["h1", "h2"].map(|host| text(&plan, host, "/etc/ssh/sshd_config.d/10-bascule.conf"));
    for word in ["PerSourcePenalties", "mlkem768x25519-sha256"] {
        assert!(!old.contains(word) && new.contains(word), "{word}\n{old}");
    }
}

#[test]
fn a_host_keeps_the_key_that_operators_have_pinned() {
    let plan = planned(facts(13, false), facts(13, false)).unwrap();
    assert!(!plan.outline().contains("ssh_host_*") && !plan.outline().contains("ssh-host-key"));
}

#[test]
fn nobody_is_locked_out_who_asks_for_it() {
    let stranger = HostFacts { operator: Some(Ipv4Addr::new(198, 51, 100, 1)), ..facts(13, false) };
    let error = planned(facts(13, false), stranger).unwrap_err();
    assert!(matches!(error, RoleError::LockedOut { .. }), "{error:?}");
    assert!(error.to_string().contains("198.51.100.1") && error.to_string().contains("h2"), "{error}");
    let console = HostFacts { operator: None, ..facts(13, false) };
    assert!(planned(console.clone(), console).is_ok());
}

#[test]
fn another_debian_is_refused_before_anything_is_planned() {
    let error = planned(facts(11, false), facts(13, false)).unwrap_err();
    assert_eq!(error.to_string(), "the host h1 has Debian 11: 12 and 13 can be set up");
}

#[test]
fn a_server_with_a_socket_only_trusts_nobody_and_does_not_listen() {
    let mut platform = elsewhere();
    platform.incus.endpoint = Endpoint::Socket("/var/lib/incus/unix.socket".into());
    let facts = BTreeMap::from([("h1".to_owned(), facts(13, false))]);
    let outline = host_up(&platform, &facts, &[]).unwrap().outline();
    assert!(!outline.contains("trust") && !outline.contains("https_address"), "{outline}");
}

#[test]
fn a_pool_of_zfs_brings_its_module_with_it_where_the_kernel_is_the_hosts_own() {
    let mut platform = elsewhere();
    platform.hosts.iter_mut().for_each(|host| host.pool_driver = PoolDriver::Zfs);
    let of_zfs = |(debian, container)| {
        let facts = BTreeMap::from([("h1".to_owned(), facts(debian, container))]);
        let outline = host_up(&platform, &facts, &[certificate()]).unwrap().outline();
        let is_of_zfs =
            |line: &&str| ["host/contrib/", "host/zfs/", "host/pool/pool"].iter().any(|id| line.contains(id));
        outline.lines().filter(is_of_zfs).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!([(12, false), (13, false), (13, true)].map(of_zfs).join("\n\n"));

    let facts = BTreeMap::from([("h1".to_owned(), facts(13, false))]);
    let plan = host_up(&platform, &facts, &[certificate()]).unwrap();
    let sources = text(&plan, "h1", "/etc/apt/sources.list.d/bascule-contrib.sources");
    assert!(sources.contains("URIs: http://deb.debian.org/debian\nSuites: trixie\nComponents: contrib\n"), "{sources}");
}
