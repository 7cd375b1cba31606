//! The object store: Ceph's monitors, its data (BlueStore), and its gateway, which speaks S3.
//!
//! What there is, where it lies and who decides is Ceph's own record, kept by a majority of its monitors. So the program
//! `store` asks those before it makes anything, and a node whose volume is empty gets its number and its parts back.
//!
//! Every object is cut into as many parts as nodes can be missed, plus `parity`, and each node has one of them. What is
//! small, names and accounts, is on `parity + 2` nodes. One node after the other restarts, and its data only while no
//! object lacks a part.
//!
//! Users and buckets are the first node's to set, by its own gateway (`store-buckets`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{Command, Directory, LineItem, Probe, Resource, Volume};
use bascule_spec::{Bucket, Detection, Instance, Platform, Role, Store, StoreCluster, StoreEngine};
use minijinja::context;
use sha2::{Digest as _, Sha256};

use crate::group::{Group, directory, file, linger, running, script_path, secret_file, wait};
use crate::template::render;
use crate::{Facts, RoleError, certificates, line};

pub(crate) const MONITOR_PORT: u16 = 3300;
/// Where data and managers listen: `ms_bind_port_min` and `ms_bind_port_max` of Ceph.
pub(crate) const DATA_PORTS: (u16, u16) = (6800, 7568);
pub(crate) const GATEWAY_PORT: u16 = 8443;
const HOME: &str = "/var/lib/ceph";
const CONFIG: &str = "/etc/ceph/ceph.conf";
const SETTINGS: &str = "/etc/ceph/bascule.json";
const CERTIFICATE: &str = "/etc/ceph/tls.pem";
const CLUSTER_KEY: &str = "/etc/ceph/bascule/cluster";
const KEYS: &str = "/etc/ceph/bascule/users";
const BUCKETS: &str = "/etc/ceph/bascule-buckets.json";

/// Monitors restart one at a time, and so do data and gateways.
pub(crate) const LEASES: [&str; 3] = [MONITOR_LEASE, DATA_LEASE, GATEWAY_LEASE];
const MONITOR_LEASE: &str = "roll store monitor";
const DATA_LEASE: &str = "roll store data";
const GATEWAY_LEASE: &str = "roll store gateway";

/// The store accepts the keys that the environment has now.
const ACCEPTS: &str = "store: accepts new keys";
const WITNESS_VOLUME: &str = "4GiB";
const GIB: u64 = 1 << 30;

/// The key of an instance's configuration that says of which store it is a member: how many nodes it has, and how many of them
/// may be lost.
pub const STORE_SHAPE: &str = "user.bascule.store";

/// What [`STORE_SHAPE`] says.
pub(crate) fn shape(platform: &Platform) -> Option<String> {
    let cluster = platform.store.as_ref()?.cluster()?;
    Some(format!("{} nodes of which {} may be lost", platform.store_nodes().count(), cluster.parity))
}

/// What is stored is cut by the number of nodes and the parity: another shape is refused before anything is touched.
///
/// # Errors
/// A member that exists was made for another one.
pub(crate) fn is_as_it_was_made(platform: &Platform, facts: &Facts) -> Result<(), RoleError> {
    let Some(asked) = shape(platform) else { return Ok(()) };
    match facts.stores.iter().find(|(_, made)| **made != asked) {
        Some((instance, made)) => Err(RoleError::OtherStore { instance: instance.clone(), made: made.clone(), asked }),
        None => Ok(()),
    }
}

/// What a member keeps.
pub(crate) fn volume(store: &StoreCluster, member: &Instance) -> Volume {
    let size = if member.role == Role::StoreWitness { WITNESS_VOLUME } else { &store.volume };
    Volume { name: format!("{}-data", member.name), path: HOME.to_owned(), size: size.to_owned() }
}

/// What a component that uses the store has to wait for before it comes with its key.
pub(crate) fn accepting(platform: &Platform) -> Option<String> {
    platform.store.as_ref()?.cluster().map(|_| ACCEPTS.to_owned())
}

/// `users` are the replicas that this plan brings to a release, and with it to their key.
pub(crate) fn steps(
    platform: &Platform,
    facts: &Facts,
    own: &Instance,
    users: &[&Instance],
) -> Result<Vec<LineItem>, RoleError> {
    let Some((store, cluster)) = platform.store.as_ref().and_then(|store| Some((store, store.cluster()?))) else {
        return Ok(Vec::new());
    };
    let of = Member { platform, facts, cluster, own };
    let mut groups = vec![of.install()?, of.monitor(), Member::metrics()];
    if of.manages() {
        groups.push(of.manager());
    }
    if of.keeps_data() {
        groups.extend([of.data(), of.gateway()?]);
    }
    if of.is_first() {
        groups.push(of.users(store, users)?);
    }
    Ok(groups.into_iter().flat_map(Group::into_items).collect())
}

/// What a component that uses the store is told, beside its key: the names are those that clients of S3 read by themselves.
pub(crate) fn environment(
    platform: &Platform,
    facts: &Facts,
    user: &str,
) -> Result<Vec<(&'static str, String)>, RoleError> {
    let Some(store) = &platform.store else { return Ok(Vec::new()) };
    let buckets: Vec<&str> = store.buckets_of(user).map(|bucket| bucket.name.as_str()).collect();
    let mut variables = vec![("S3_BUCKETS", buckets.join(","))];
    let (endpoint, region) = endpoint_and_region(platform, facts, store)?;
    variables.extend([("AWS_ENDPOINT_URL_S3", endpoint), ("AWS_REGION", region)]);
    if store.cluster().is_some() {
        variables.push(("AWS_CA_BUNDLE", AUTHORITY_FILE.to_owned()));
    }
    Ok(variables)
}

/// Where the store is, and its region.
pub(crate) fn endpoint_and_region(
    platform: &Platform,
    facts: &Facts,
    store: &Store,
) -> Result<(String, String), RoleError> {
    Ok(match &store.engine {
        StoreEngine::Ceph(cluster) => (endpoint(platform, facts, cluster)?, "default".to_owned()),
        StoreEngine::External(external) => (external.endpoint.clone(), external.region.clone()),
    })
}

/// The secret that is somebody's key.
pub(crate) fn key_of(store: &Store, user: &str) -> String {
    store.external().map_or_else(|| Store::key_of(user), |external| external.key.clone())
}

/// Where the load balancers serve it.
fn endpoint(platform: &Platform, facts: &Facts, cluster: &StoreCluster) -> Result<String, RoleError> {
    let first = || platform.load_balancers().next().map(|first| facts.address(first)).transpose();
    let address = platform.load_balancer.address.map_or_else(first, |address| Ok(Some(address)))?;
    Ok(format!("https://{}:{}", address.unwrap_or(Ipv4Addr::LOCALHOST), cluster.port))
}

/// A member of the store, of which there is a line.
struct Member<'a> {
    platform: &'a Platform,
    facts: &'a Facts,
    cluster: &'a StoreCluster,
    own: &'a Instance,
}

impl Member<'_> {
    fn name(&self) -> &str {
        &self.own.name
    }

    fn keeps_data(&self) -> bool {
        self.own.role == Role::Store
    }

    /// Three of them, the witness where there is one: of no pair that is lost all have been managers.
    fn manages(&self) -> bool {
        let has_witness = self.platform.store_members().any(|member| member.role == Role::StoreWitness);
        let mut nodes = self.platform.store_nodes().take(if has_witness { 2 } else { 3 });
        nodes.any(|node| node.name == self.own.name) || self.own.role == Role::StoreWitness
    }

    fn is_first(&self) -> bool {
        self.platform.store_nodes().next().is_some_and(|first| first.name == self.own.name)
    }

    fn install(&self) -> Result<Group, RoleError> {
        let mut group = Group::new("store/install");
        // The same on all nodes, so that they share an image.
        let mut packages = vec!["ceph-base", "ceph-common", "ceph-mgr", "ceph-mon", "python3-rados"];
        if self.keeps_data() {
            packages.extend(["ca-certificates", "ceph-osd", "e2fsprogs", "python3-boto3", "radosgw", "rclone"]);
        }
        group.packages("install Ceph", &packages);
        group.scripts(&[("store", include_str!("store.py"))]);
        for folder in ["", "/mon", "/mgr", "/osd", "/radosgw"] {
            let path = format!("{HOME}{folder}");
            let own = Directory { path, owner: "ceph".to_owned(), group: "ceph".to_owned(), mode: 0o750 };
            let id = if folder.is_empty() { "home" } else { &folder[1..] };
            group.step(id, "let Ceph have its volume", Resource::Directory(own));
        }
        group.step("settings", "tell it who the others are", file(SETTINGS, 0o644, self.settings()?));
        group.step("secrets", "make room for keys", directory("/etc/ceph/bascule", 0o700));
        let key = self.facts.secret(Store::CLUSTER_KEY)?;
        group.step("key", "put the store's own key in place", secret_file(CLUSTER_KEY, key));
        // It also looks whether the store can be what the file says, before anything of it is changed.
        let keyrings = store("keys", &[CLUSTER_KEY, SETTINGS], 10_000);
        group.step("keyrings", "make the keys that follow from it", keyrings);
        group.step("config", "configure Ceph", file(CONFIG, 0o644, self.config()?));
        Ok(group)
    }

    fn monitor(&self) -> Group {
        let mut group = Group::new("store/monitor");
        let unit = format!("ceph-mon@{}.service", self.name());
        let drop_in = "/etc/systemd/system/ceph-mon@.service.d/bascule.conf";
        group.step("make", "make a monitor", store("mon", &[CONFIG], 60_000));
        group.step("unit", "have it started again and again", file(drop_in, 0o644, include_str!("ceph-mon.conf")));
        group.take(MONITOR_LEASE);
        group.step("service", "run the monitor", running(&unit, &[drop_in, CONFIG], &[]));
        group.step("voice", "wait until it is back among the others", wait(looks("voice"), Some(&unit), 120_000));
        group.release(MONITOR_LEASE);
        group.step("quorum", "wait until it is one of a majority", wait(looks("quorum"), Some(&unit), 120_000));
        group
    }

    fn metrics() -> Group {
        const TIMER: &str = "bascule-store-metrics.timer";
        let mut group = Group::new("store/metrics");
        let path = |unit: &str| format!("/etc/systemd/system/{unit}");
        let (service, timer) = (path("bascule-store-metrics.service"), path(TIMER));
        let unit = include_str!("bascule-store-metrics.service");
        group.step("unit", "tell node_exporter how the store is", file(&service, 0o644, unit));
        let unit = include_str!("bascule-store-metrics.timer");
        group.step("every", "say how often", file(&timer, 0o644, unit));
        group.step("timer", "tell it every 15 seconds", running(TIMER, &[&timer, &service], &[]));
        group
    }

    fn manager(&self) -> Group {
        let mut group = Group::new("store/manager");
        let unit = format!("ceph-mgr@{}.service", self.name());
        let drop_in = "/etc/systemd/system/ceph-mgr@.service.d/bascule.conf";
        let no_module = "/usr/local/lib/bascule/ceph-mgr/bcrypt.py";
        group.step("make", "make a manager", store("mgr", &[CONFIG], 60_000));
        // Debian's bcrypt cannot be loaded twice into one process, which every module of the manager does by its imports.
        group.step("python", "spare it a module that it cannot load", file(no_module, 0o644, ""));
        group.step("unit", "have it started again and again", file(drop_in, 0o644, include_str!("ceph-mgr.conf")));
        group.step("service", "run the manager", running(&unit, &[drop_in, CONFIG, no_module], &[]));
        group
    }

    fn data(&self) -> Group {
        let mut group = Group::new("store/data");
        let number = self.platform.store_nodes().position(|node| node.name == self.own.name).unwrap_or_default();
        let unit = format!("ceph-osd@{number}.service");
        let drop_in = "/etc/systemd/system/ceph-osd@.service.d/bascule.conf";
        group.step("make", "make room for data", store("osd", &[CONFIG], 120_000));
        let text = include_str!("ceph-osd.conf").replace("MONITOR", &format!("ceph-mon@{}.service", self.name()));
        group.step("unit", "have it stop before its monitor", file(drop_in, 0o644, text));
        group.take(DATA_LEASE);
        group.step("turn", "restart it only while no object lacks a part", wait(looks("may-stop"), None, 600_000));
        group.step("service", "keep data", running(&unit, &[drop_in, CONFIG], &[]));
        group.step("up", "wait until it keeps data", wait(looks("up"), Some(&unit), 120_000));
        group.step("started", "note what it runs with", store("started", &[CONFIG, drop_in], 10_000));
        group.step("whole", "let it have its parts again", linger(looks("whole"), 600_000));
        group.release(DATA_LEASE);
        group
    }

    fn gateway(&self) -> Result<Group, RoleError> {
        let mut group = Group::new("store/gateway");
        let unit = format!("ceph-radosgw@rgw.{}.service", self.name());
        let drop_in = "/etc/systemd/system/ceph-radosgw@.service.d/bascule.conf";
        let certificate = certificates::of_server(self.platform, self.facts, self.own, CERTIFICATE, "ceph")?;
        group.step("certificate", "give it a certificate", certificate);
        if self.is_first() {
            group.step("pools", "make the pools", store("pools", &[CONFIG], 300_000));
        } else {
            group.step("pools", "wait for the first node to make the pools", wait(looks("ready"), None, 400_000));
        }
        group.step("make", "make a gateway", store("gateway", &[CONFIG], 60_000));
        let text = include_str!("ceph-radosgw.conf");
        group.step("unit", "have it end what it has begun", file(drop_in, 0o644, text));
        group.take(GATEWAY_LEASE);
        group.step("service", "run the gateway", running(&unit, &[drop_in, CONFIG, CERTIFICATE], &[]));
        let answer = Probe::Http { url: format!("https://127.0.0.1:{GATEWAY_PORT}/"), contains: None };
        group.step("answers", "wait until it answers", wait(answer, Some(&unit), 120_000));
        group.release(GATEWAY_LEASE);
        Ok(group)
    }

    fn users(&self, store: &Store, users: &[&Instance]) -> Result<Group, RoleError> {
        let mut group = Group::new("store/users");
        group.scripts(&[
            ("store-buckets", include_str!("store-buckets.py")),
            ("store-migrate", include_str!("store-migrate.py")),
        ]);
        group.step("keys", "make room for keys", directory(KEYS, 0o700));
        let mut paths = Vec::new();
        for user in store.users() {
            let path = format!("{KEYS}/{user}");
            let key = secret_file(&path, self.facts.secret(&Store::key_of(user))?);
            group.step(format!("key-{user}"), format!("put the key of {user} in place"), key);
            paths.push(path);
        }
        let stage = |stage: &str, reads: Vec<String>| {
            let argv = |mode: &str| vec![script_path("store-buckets"), stage.to_owned(), mode.to_owned()];
            let (argv, unless) = (argv("apply"), argv("check"));
            Resource::Command(Command { argv, unless, reads, env: BTreeMap::new(), timeout_ms: 120_000 })
        };
        group.step("wanted", "say which buckets there are", file(BUCKETS, 0o644, buckets(&store.buckets)));
        paths.push(BUCKETS.to_owned());
        group.step("add", "accept the keys", stage("add", paths.clone()));
        group.step("buckets", "make the buckets so", stage("buckets", vec![BUCKETS.to_owned()]));
        group.reach(ACCEPTS.to_owned());
        for replica in users {
            group.wait_for_the_sake_of(&["only"], line::healthy(replica));
        }
        group.step("only", "accept no other keys", stage("only", paths));
        Ok(group)
    }

    /// What the programs have to know.
    fn settings(&self) -> Result<String, RoleError> {
        let address = |member: &Instance| Ok((member.name.clone(), self.facts.address(member)?.to_string().into()));
        let members = self.platform.store_members().map(address).collect::<Result<_, RoleError>>()?;
        let settings = serde_json::json!({
            "own": self.name(),
            "fsid": fsid(self.platform),
            "members": serde_json::Value::Object(members),
            "nodes": self.platform.store_nodes().map(|node| node.name.as_str()).collect::<Vec<_>>(),
            "parity": self.cluster.parity,
            "data_bytes": data_bytes(self.cluster),
            "gateway_port": GATEWAY_PORT,
        });
        Ok(format!("{settings:#}\n"))
    }

    fn config(&self) -> Result<String, RoleError> {
        let members = self.platform.store_members().map(|member| Ok(self.facts.address(member)?.to_string()));
        let context = context! {
            own => self.name(),
            fsid => fsid(self.platform),
            members => members.collect::<Result<Vec<_>, RoleError>>()?,
            network => self.platform.network.subnet.to_string(),
            parity => self.cluster.parity,
            fast => self.cluster.detection == Detection::Fast,
            data_bytes => data_bytes(self.cluster),
            gateway_port => GATEWAY_PORT,
            certificate => CERTIFICATE,
        };
        render("ceph.conf.j2", include_str!("ceph.conf.j2"), context)
    }
}

fn store(verb: &str, reads: &[&str], timeout_ms: u64) -> Resource {
    let argv = |mode: &str| vec![script_path("store"), verb.to_owned(), mode.to_owned()];
    let reads = reads.iter().map(|path| (*path).to_owned()).collect();
    Resource::Command(Command { argv: argv("apply"), unless: argv("check"), reads, env: BTreeMap::new(), timeout_ms })
}

fn looks(verb: &str) -> Probe {
    Probe::Command { argv: vec![script_path("store"), verb.to_owned()] }
}

/// What Ceph calls the store by: the same whenever the environment is made, and another for each.
fn fsid(platform: &Platform) -> String {
    let digest = Sha256::digest(format!("store of {}", platform.incus.project));
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    // RFC 9562, version 8: a UUID of one's own making.
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// The part of a volume that is for objects: the monitor's records, and what goes by the file system, need the rest.
fn data_bytes(cluster: &StoreCluster) -> u64 {
    cluster.volume_bytes - GIB - (cluster.volume_bytes / 20)
}

fn buckets(buckets: &[Bucket]) -> String {
    let text = serde_json::to_string_pretty(buckets).unwrap_or_default();
    text + "\n"
}
