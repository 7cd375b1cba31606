//! Platforms and facts for this crate's tests: one of each topology to read, and any number of others to try.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use bascule_plan::{Blob, Fingerprint, FingerprintKey};
use bascule_spec::{
    Access, Balance, Bucket, Colour, Component, ComponentKind, Database, Detection, Endpoint, FailoverDetection,
    FrontCertificate, GivenCertificate, Incus, Instance, LoadBalancer, Network, Ops, Platform, Postgres, Redis,
    Release, Role, Service, Ssh, Store, StoreCluster, StoreEngine, Tls, Topology,
};
use proptest::prelude::*;

use crate::{ColourRelease, ColourState, Existing, Facts, Releases};

pub(super) const OLD: &str = "0123456789abcdef0123456789abcdef01234567";
pub(super) const NEW: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// A shop with an API, a stream and a web app, two replicas each.
pub(super) fn shop(topology: Topology) -> Platform {
    platform(topology, 1, &[2, 2, 2])
}

/// The shop with so many load balancers, and so many replicas of each component.
pub(super) fn platform(topology: Topology, load_balancers: usize, replicas: &[usize]) -> Platform {
    let components = [api(), stream(), web()];
    let colours: &[Option<Colour>] = match topology {
        Topology::BlueGreen => &[Some(Colour::Blue), Some(Colour::Green)],
        Topology::MultiInstance => &[None],
    };
    let mut instances: Vec<Instance> =
        (1..=load_balancers).map(|n| instance(format!("lb-{n}"), Role::LoadBalancer)).collect();
    for (component, replicas) in components.iter().zip(replicas) {
        for colour in colours {
            let pool = colour.map_or_else(|| component.name.clone(), |colour| format!("{}-{colour}", component.name));
            let role = Role::Component { component: component.name.clone(), colour: *colour };
            instances.extend((1..=*replicas).map(|n| instance(format!("{pool}-{n}"), role.clone())));
        }
    }
    instances.push(instance("build-1".into(), Role::Plain { group: "build".into(), uses: [].into() }));
    Platform {
        name: "shop".into(),
        environment: "lab".into(),
        internal_authority: Some("-----BEGIN CERTIFICATE-----\nof the shop's lab\n-----END CERTIFICATE-----\n".into()),
        incus: Incus {
            project: "shop-lab".into(),
            endpoint: Endpoint::Socket("/run/incus.socket".into()),
            pool: "default".into(),
        },
        network: Network {
            bridge: "shop-lab".into(),
            subnet: "10.20.0.0/24".parse().unwrap(),
            gateway: Ipv4Addr::new(10, 20, 0, 1),
        },
        ssh: Ssh {
            allow_from: vec!["10.20.0.0/24".parse().unwrap(), "192.0.2.7/32".parse().unwrap()],
            authorized_keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlaceOfAKeyThatATestNeverUses ops".into()],
        },
        hosts: Vec::new(),
        release: Release { artifacts: "/artifacts".into(), drain_timeout_ms: 60_000, health_timeout_ms: 30_000 },
        load_balancer: LoadBalancer { topology, port: 80, connections_max: 100_000, address: None, tls: None },
        components: components.into_iter().take(replicas.len()).collect(),
        redis: None,
        postgres: None,
        store: None,
        edge: None,
        instances,
        ops: None,
    }
}

/// Two load balancers that share an address and speak TLS, and so many replicas of an API.
pub(super) fn behind_one_address(replicas: usize) -> Platform {
    let mut platform = platform(Topology::BlueGreen, 2, &[replicas]);
    share_an_address(&mut platform);
    platform
}

fn share_an_address(platform: &mut Platform) {
    let certificate = FrontCertificate::Given(GivenCertificate {
        chain: "a certificate\n".into(),
        key: "front_key".into(),
        expires_s: 2_000_000_000,
    });
    platform.load_balancer.address = Some(Ipv4Addr::new(10, 20, 0, 9));
    platform.load_balancer.tls = Some(Tls { port: 443, certificate });
}

/// An object store of the platform's own, with one bucket.
pub(super) fn store<const USERS: usize>(parity: usize, bucket: &str, access: [(String, Access); USERS]) -> Store {
    let bucket = Bucket {
        name: bucket.into(),
        access: access.into(),
        versioning: true,
        keep_noncurrent_days: 30,
        abort_uploads_days: 7,
        expire_days: None,
        cold: None,
        quota_bytes: None,
        cors_origins: Vec::new(),
    };
    let cluster =
        StoreCluster { volume: "10GiB".into(), volume_bytes: 10 << 30, parity, detection: Detection::Fast, port: 9000 };
    Store { engine: StoreEngine::Ceph(cluster), buckets: vec![bucket] }
}

/// PostgreSQL with one database, which the API reads and writes, and changes.
fn postgres() -> Postgres {
    let users: BTreeSet<String> = ["api".to_owned()].into();
    let extensions = ["pg_trgm".to_owned()].into();
    let expect = [("orders".to_owned(), 1_000)].into();
    let database = Database { name: "shop".into(), migrators: users.clone(), users, extensions, expect };
    Postgres {
        volume: "20GiB".into(),
        volume_bytes: 20 << 30,
        memory_bytes: Some(512 << 20),
        formation: None,
        detection: FailoverDetection::Fast,
        port: 6432,
        databases: vec![database],
        backup: None,
    }
}

/// Adds Redis, PostgreSQL and an object store, which the API uses.
pub(super) fn with_services(mut platform: Platform) -> Platform {
    share_an_address(&mut platform);
    platform.redis =
        Some(Redis { volume: "1GiB".into(), data_max_bytes: 1 << 28, when_full: bascule_spec::WhenFull::Refuse });
    platform.postgres = Some(postgres());
    let access = [("api".to_owned(), Access::Write), ("build".to_owned(), Access::Read)];
    platform.store = Some(store(2, "media", access));
    for component in platform.components.iter_mut().filter(|component| component.name == "api") {
        component.uses = [Service::Postgres, Service::Redis, Service::Store].into();
        component.migrates = Some("shop".to_owned());
    }
    for plain in &mut platform.instances {
        if let Role::Plain { uses, .. } = &mut plain.role {
            *uses = [Service::Store].into();
        }
    }
    let redis = (1..=3).map(|n| instance(format!("redis-{n}"), Role::Redis));
    platform.instances.extend(redis);
    platform.instances.extend((1..=2).map(|n| instance(format!("pg-{n}"), Role::Postgres)));
    platform.instances.push(instance("pg-monitor".into(), Role::PostgresMonitor));
    platform.instances.extend((1..=2).map(|n| instance(format!("pooler-{n}"), Role::Pooler)));
    platform.instances.extend((1..=4).map(|n| instance(format!("store-{n}"), Role::Store)));
    platform.instances.push(instance("store-witness".into(), Role::StoreWitness));
    platform
}

fn api() -> Component {
    Component {
        name: "api".into(),
        kind: ComponentKind::Binary,
        port: 8080,
        tls: false,
        routes: vec!["/api/".into()],
        balance: Balance::Sticky,
        health: "/api/v1/health/ready".into(),
        version: "/api/v1/status".into(),
        tunnel_timeout_ms: 3_600_000,
        stop_timeout_ms: 30_000,
        environment: [("SHOP_LOG".into(), "info".into()), ("GREETING".into(), "say \"hello\" for $1".into())].into(),
        secrets: ["operator_token".into()].into(),
        uses: [].into(),
        migrates: None,
    }
}

fn stream() -> Component {
    Component {
        name: "stream".into(),
        port: 8081,
        tls: true,
        routes: vec!["/api/v1/stream/".into(), "/listen/".into()],
        balance: Balance::PathSegment(4),
        health: "/ready".into(),
        version: "/listen/version".into(),
        environment: BTreeMap::new(),
        secrets: std::collections::BTreeSet::new(),
        ..api()
    }
}

fn web() -> Component {
    Component {
        name: "web".into(),
        kind: ComponentKind::Static,
        port: 443,
        tls: true,
        routes: vec![],
        balance: Balance::RoundRobin,
        health: "/__nginx_alive".into(),
        version: "/version.json".into(),
        ..stream()
    }
}

pub(super) fn instance(name: String, role: Role) -> Instance {
    Instance { name, role, host: None, address: None, memory: Some("512MiB".into()), cpus: None }
}

/// Every instance has an address; none exists, and nothing was released.
pub(super) fn nothing_yet(platform: &Platform) -> Facts {
    let addresses = (10..).zip(&platform.instances);
    Facts {
        addresses: addresses.map(|(n, instance)| (instance.name.clone(), Ipv4Addr::new(10, 20, 0, n))).collect(),
        secrets: (platform.secrets().into_iter().chain([Ops::AGE_KEY]).map(str::to_owned))
            .chain(platform.own_secrets())
            .map(|name| {
                let fingerprint = fingerprint(&name);
                (name, fingerprint)
            })
            .collect(),
        ..Facts::default()
    }
}

pub(super) fn fingerprint(secret: &str) -> Fingerprint {
    FingerprintKey::derive("test", secret).fingerprint(b"a value")
}

/// Everything runs, and `OLD` was released: to blue, where there are colours.
pub(super) fn running(platform: &Platform) -> Facts {
    let active = platform.colours()[0];
    Facts {
        instances: platform.instances.iter().map(|instance| (instance.name.clone(), Existing::Running)).collect(),
        releases: Releases {
            generation: 1,
            active,
            colours: [(active, release(platform, OLD, ColourState::Ready))].into(),
        },
        ..nothing_yet(platform)
    }
}

pub(super) fn release(platform: &Platform, commit: &str, state: ColourState) -> ColourRelease {
    ColourRelease { commit: commit.into(), state, artifacts: artifacts(platform, commit), fallback: None }
}

pub(super) fn artifacts(platform: &Platform, commit: &str) -> BTreeMap<String, Blob> {
    let blob = |component: &Component| Blob {
        sha256: commit.repeat(2)[..64].to_owned(),
        bytes: 1_000_000,
        name: format!("{} of {}", component.name, &commit[..7]),
    };
    platform.components.iter().map(|component| (component.name.clone(), blob(component))).collect()
}

/// Any platform, in any state that a killed run may have left it in.
pub(super) fn any_platform() -> impl Strategy<Value = (Platform, Facts)> {
    let topology = prop_oneof![Just(Topology::BlueGreen), Just(Topology::MultiInstance)];
    let replicas = prop::collection::vec(1..4usize, 1..4);
    let state = prop_oneof![Just(ColourState::Deploying), Just(ColourState::Ready), Just(ColourState::Failed)];
    let released = prop::collection::vec(prop::option::of(state), 2);
    (topology, 1..4usize, replicas, released, 0..3usize, any_existing(), any::<bool>()).prop_map(
        |(topology, load_balancers, replicas, released, active, existing, services)| {
            let mut platform = platform(topology, load_balancers.min(2), &replicas);
            if load_balancers == 3 {
                share_an_address(&mut platform);
            }
            if services {
                platform = with_services(platform);
            }
            let mut facts = nothing_yet(&platform);
            let commits = [OLD, NEW];
            for ((colour, state), commit) in platform.colours().iter().zip(released).zip(commits) {
                facts.releases.colours.extend(state.map(|state| (*colour, release(&platform, commit, state))));
            }
            facts.releases.active = platform.colours().get(active).copied().flatten();
            let exists = platform.instances.iter().zip(existing);
            facts.instances = exists.filter_map(|(instance, how)| Some((instance.name.clone(), how?))).collect();
            (platform, facts)
        },
    )
}

fn any_existing() -> impl Strategy<Value = Vec<Option<Existing>>> {
    prop::collection::vec(prop_oneof![Just(None), Just(Some(Existing::Running)), Just(Some(Existing::Stopped))], 40)
}

/// As far as it exists, or as if `up` had just made all of it.
pub(super) fn built(platform: &Platform, facts: Facts) -> Facts {
    let instances = platform.instances.iter().map(|instance| (instance.name.clone(), Existing::Running)).collect();
    Facts { instances, ..facts }
}
