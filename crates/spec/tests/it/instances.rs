//! What is derived from a sound file.

use std::net::Ipv4Addr;
use std::path::Path;

use bascule_spec::{Balance, Colour, Endpoint, Host, Https, Platform, PoolDisk, PoolDriver, Role, Transport};

use crate::{SMALL, loaded};

const API: &str = r#"
[component.api]
kind = "binary"
port = 8080
routes = ["/api/"]
health = "/health"
version = "/version"
"#;

const HOSTS: &str = "[hosts.north]\n[hosts.south]\n[hosts.west]\n";

#[test]
fn blue_green_makes_both_colours_of_every_component_blue_first() {
    let platform = loaded(&format!("{SMALL}{API}replicas = 1\n[group.tools]\ninstances = 2\n"), "");
    let expected = [
        "lb-1",
        "web-blue-1",
        "web-blue-2",
        "web-green-1",
        "web-green-2",
        "api-blue-1",
        "api-green-1",
        "tools-1",
        "tools-2",
    ];
    assert_eq!(names(&platform), expected);
    assert_eq!(platform.replicas("api", Some(Colour::Green)).count(), 1);
    assert_eq!(platform.instances[8].role, Role::Plain { group: "tools".to_owned(), uses: [].into() });
}

#[test]
fn multi_instance_makes_replicas_without_a_colour() {
    let platform = loaded(&format!("{SMALL}{API}"), "[load_balancer]\ntopology = \"multi-instance\"\ninstances = 2\n");
    assert_eq!(names(&platform), ["lb-1", "lb-2", "web-1", "web-2", "api-1", "api-2"]);
    assert_eq!(platform.replicas("api", None).count(), 2);
}

#[test]
fn components_keep_the_order_of_the_file() {
    let platform = loaded(&format!("{SMALL}{API}"), "");
    let order: Vec<&str> = platform.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(order, ["web", "api"]);
}

#[test]
fn an_overlay_adds_to_tables_and_replaces_values() {
    let overlay = "[ssh]\nallow_from = [\"192.0.2.7\"]\n[component.web]\nreplicas = 1\n[group.tools]\ninstances = 1\n";
    let platform = loaded(SMALL, overlay);
    assert_eq!(platform.ssh.allow_from, ["192.0.2.7/32".parse().unwrap()]);
    assert_eq!(names(&platform), ["lb-1", "web-blue-1", "web-green-1", "tools-1"]);
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let platform = loaded(SMALL, "");
    assert_eq!((platform.incus.project.as_str(), platform.network.bridge.as_str()), ("shop-test", "shop-test"));
    assert_eq!(platform.incus.endpoint, Endpoint::Socket("/var/lib/incus/unix.socket".into()));
    assert_eq!(platform.hosts, []);
    assert_eq!(platform.network.gateway, Ipv4Addr::new(10, 20, 0, 1));
    assert_eq!((platform.release.drain_timeout_ms, platform.release.health_timeout_ms), (60_000, 60_000));
    let web = platform.component("web").unwrap();
    assert_eq!((web.port, web.health.as_str(), web.version.as_str()), (443, "/__nginx_alive", "/version.json"));
    assert_eq!((web.tunnel_timeout_ms, web.stop_timeout_ms), (3_600_000, 30_000));
}

#[test]
fn one_instance_works_on_its_own_where_the_daemon_is_elsewhere() {
    let overlay = "[incus]\naddress = \"192.0.2.10\"\nserver_certificate_file = \"test.incus.pem\"\n\
                   client_certificate_file = \"test.client.pem\"\n[ops]\naddresses = [\"10.20.0.9\"]\n";
    let platform = loaded(SMALL, overlay);
    let ops = platform.ops_instance().unwrap();
    assert_eq!((ops.name.as_str(), ops.address), ("ops-1", Some(Ipv4Addr::new(10, 20, 0, 9))));
    // It gets the whole of it, as data.
    let text = serde_json::to_string(&platform).unwrap();
    assert_eq!(serde_json::from_str::<Platform>(&text).unwrap(), platform);
}

#[test]
fn a_daemon_elsewhere_has_an_address_and_two_certificates_beside_the_file() {
    let overlay = "[incus]\naddress = \"192.0.2.10\"\nserver_certificate_file = \"test.incus.pem\"\n\
                   client_certificate_file = \"test.client.pem\"\n";
    let https = Https {
        address: "192.0.2.10:8443".parse().unwrap(),
        server_certificate: "/etc/shop/env/test.incus.pem".into(),
        client_certificate: "/etc/shop/env/test.client.pem".into(),
        client_key: Https::CLIENT_KEY.into(),
    };
    assert_eq!(loaded(SMALL, overlay).incus.endpoint, Endpoint::Https(https));
}

#[test]
fn hosts_with_an_address_are_set_up_and_the_others_only_placed_on() {
    let overlay = "[hosts.b]\naddress = \"192.0.2.2\"\n[hosts.a]\naddress = \"192.0.2.1\"\ntransport = \"local\"\n\
                   pool_driver = \"zfs\"\npool_source = \"/dev/sdb\"\n[hosts.c]\nfailure_domain = \"rack\"\n";
    let host = |name: &str, number, transport, pool_driver, pool| Host {
        name: name.to_owned(),
        address: Ipv4Addr::new(192, 0, 2, number),
        transport,
        pool_driver,
        pool,
    };
    let expected = [
        host("b", 2, Transport::Ssh, PoolDriver::Btrfs, PoolDisk::LoopFile("100GiB".into())),
        host("a", 1, Transport::Local, PoolDriver::Zfs, PoolDisk::Source("/dev/sdb".into())),
    ];
    assert_eq!(loaded(SMALL, overlay).hosts, expected);
}

#[test]
fn a_path_is_relative_to_the_file_that_names_it() {
    assert_eq!(loaded(SMALL, "").release.artifacts, Path::new("/etc/shop/artifacts"));
    let platform = loaded(SMALL, "[release]\nartifacts = \"of-test\"\n");
    assert_eq!(platform.release.artifacts, Path::new("/etc/shop/env/of-test"));
}

#[test]
fn a_hash_of_a_path_segment_keeps_its_number() {
    let platform = loaded(&format!("{SMALL}{API}balance = \"path-segment\"\nhash_segment = 2\n"), "");
    assert_eq!(platform.component("api").unwrap().balance, Balance::PathSegment(2));
}

#[test]
fn each_colour_is_spread_over_the_hosts_from_the_first() {
    let platform = loaded(
        &format!("{SMALL}{HOSTS}"),
        "survives = \"host\"\n[load_balancer]\ninstances = 2\naddress = \"10.20.0.9\"\nhosts = [\"south\", \"west\"]\n",
    );
    let placed: Vec<_> =
        platform.instances.iter().map(|one| (one.name.as_str(), one.host.as_deref().unwrap())).collect();
    let expected = [
        ("lb-1", "south"),
        ("lb-2", "west"),
        ("web-blue-1", "north"),
        ("web-blue-2", "south"),
        ("web-green-1", "north"),
        ("web-green-2", "south"),
    ];
    assert_eq!(placed, expected);
}

#[test]
fn one_plain_instance_may_be_lost_with_its_host() {
    let overlay =
        "survives = \"host\"\n[load_balancer]\ninstances = 2\naddress = \"10.20.0.9\"\n[group.tools]\ninstances = 1\n";
    assert!(names(&loaded(&format!("{SMALL}{HOSTS}"), overlay)).contains(&"tools-1"));
}

#[test]
fn pins_are_given_to_blue_before_green() {
    let pins = "addresses = [\"10.20.0.2\", \"10.20.0.3\"]\nreplicas = 1\nmemory = \"512MiB\"\ncpus = 2\n";
    let platform = loaded(&format!("{SMALL}{pins}"), "");
    let green = platform.replicas("web", Some(Colour::Green)).next().unwrap();
    assert_eq!(green.address, Some(Ipv4Addr::new(10, 20, 0, 3)));
    assert_eq!((green.memory.as_deref(), green.cpus), (Some("512MiB"), Some(2)));
}

fn names(platform: &Platform) -> Vec<&str> {
    platform.instances.iter().map(|instance| instance.name.as_str()).collect()
}

#[test]
fn edges_come_after_the_store_and_may_only_read_their_bucket() {
    let edge = "[store.bucket.media]\n[store.bucket.other]\n[edge]\nbucket = \"media\"\nroutes = [\"/media/\"]\nsigning_key = \"media_key\"\n[group.tools]\ninstances = 1\n";
    let platform = loaded(&format!("{SMALL}{edge}"), "");
    let names = names(&platform);
    assert_eq!(names[names.len() - 4..], ["store-witness", "edge-1", "edge-2", "tools-1"]);
    let store = platform.store.as_ref().unwrap();
    let may: Vec<_> = store.buckets.iter().map(|bucket| bucket.access.get("edge").copied()).collect();
    assert_eq!(may, [Some(bascule_spec::Access::Read), None]);
    assert!(platform.edges().all(|edge| platform.uses(edge, bascule_spec::Service::Store)));
    assert!(platform.secrets().contains("media_key"), "it is drawn by `init`");
    assert!(platform.own_secrets().contains("bascule/store/user/edge"));
}

#[test]
fn postgres_has_nodes_a_monitor_and_poolers_and_whoever_changes_a_shape_has_a_second_secret() {
    let api = "[component.api]\nkind = \"binary\"\nport = 8080\nroutes = [\"/api/\"]\nhealth = \"/health\"\nversion = \"/version\"\nuses = [\"postgres\"]\n";
    let postgres = "[postgres]\nmemory = \"2GiB\"\n[postgres.monitor]\nmemory = \"512MiB\"\n[postgres.database.shop]\nusers = [\"api\", \"tools\"]\nmigrators = [\"api\"]\n[group.tools]\ninstances = 1\nuses = [\"postgres\"]\n";
    let platform = loaded(&format!("{SMALL}{api}{postgres}"), "");
    let names = names(&platform);
    assert_eq!(names[names.len() - 6..], ["pg-1", "pg-2", "pg-monitor", "pooler-1", "pooler-2", "tools-1"]);
    assert_eq!(platform.postgres_monitor().unwrap().memory.as_deref(), Some("512MiB"));
    assert_eq!(platform.postgres.as_ref().unwrap().memory_bytes, Some(2 << 30));
    assert_eq!(platform.component("api").unwrap().migrates.as_deref(), Some("shop"));
    assert_eq!(platform.component("web").unwrap().migrates, None);
    let own = platform.own_secrets();
    let expected = ["migrate/shop", "monitor", "pooler", "replication", "user/api", "user/tools"];
    assert_eq!(own, expected.map(|name| format!("bascule/postgres/{name}")).into());
}

#[test]
fn nodes_write_backups_to_a_bucket_of_their_own_and_who_restores_one_reads() {
    let backup = "[postgres]\n[postgres.backup]\nbucket = \"backups\"\n[store.bucket.backups]\n[store.bucket.other]\n";
    let platform = loaded(&format!("{SMALL}{backup}"), "");
    let store = platform.store.as_ref().unwrap();
    let may: Vec<Vec<_>> = store
        .buckets
        .iter()
        .map(|bucket| bucket.access.iter().map(|(user, may)| (user.as_str(), *may)).collect())
        .collect();
    let (read, write) = (bascule_spec::Access::Read, bascule_spec::Access::Write);
    assert_eq!(may, [vec![("postgres", write), ("postgres-restore", read)], vec![]]);
    let (of_store, own) = (bascule_spec::Service::Store, platform.own_secrets());
    assert!(platform.postgres_nodes().all(|node| platform.uses(node, of_store)));
    assert!(!platform.uses(platform.postgres_monitor().unwrap(), of_store));
    for secret in ["bascule/store/user/postgres", "bascule/store/user/postgres-restore", "bascule/postgres/backup"] {
        assert!(own.contains(secret), "{secret}");
    }
    let kept = platform.backup().map(|backup| (backup.keep_full, backup.keep_differential));
    assert_eq!(kept, Some((4, 7)), "four weeks, and each day of one");
}
