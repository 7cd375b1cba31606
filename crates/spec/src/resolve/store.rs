//! The object store: its nodes, and who may use which bucket.

use std::collections::BTreeMap;

use super::instances::Group;
use super::services::bytes;
use super::{Context, names};
use crate::platform::Role;
use crate::raw::{self, StoreEngine as Engine};
use crate::services::{Access, Backup, Bucket, Cold, Edge, ExternalStore, Service, Store, StoreCluster, StoreEngine};
use crate::words::count;

const TABLE: [&str; 1] = ["store"];
/// What a node needs beside objects: the monitor's records, and room in which the store stays able to delete.
const VOLUME_MIN_GIB: u64 = 4;

pub(super) fn store(raw: &raw::Store, file: &raw::File, context: &mut Context<'_>) -> Option<Store> {
    let buckets = context
        .keys(&["store", "bucket"])
        .into_iter()
        .filter_map(|name| raw.bucket.get_key_value(name))
        .map(|(name, bucket)| self::bucket(name, bucket, raw, file, context))
        .collect::<BTreeMap<_, _>>();
    everybody_has_a_bucket(file, &buckets, context);
    let engine = match raw.engine {
        Engine::Ceph => StoreEngine::Ceph(cluster(raw, file, context)),
        Engine::External => StoreEngine::External(external(raw, context)?),
    };
    Some(Store { engine, buckets: buckets.into_values().collect() })
}

/// The instances of the platform's own store: nodes, and a witness where their number is even.
pub(super) fn nodes(raw: &raw::Store) -> Option<Group<'_>> {
    (raw.engine == Engine::Ceph).then(|| {
        let nodes = (1..=raw.instances).map(|number| (format!("store-{number}"), Role::Store));
        let witness = has_witness(raw.instances).then(|| ("store-witness".to_owned(), Role::StoreWitness));
        Group {
            path: TABLE.to_vec(),
            count_key: "instances",
            placement: &raw.placement,
            members: vec![nodes.chain(witness).collect()],
            quorum: false,
            promised: true,
        }
    })
}

fn has_witness(nodes: u32) -> bool {
    nodes.is_multiple_of(2)
}

fn cluster(raw: &raw::Store, file: &raw::File, context: &mut Context<'_>) -> StoreCluster {
    let given = [("endpoint", raw.endpoint.is_some()), ("region", raw.region.is_some()), ("key", raw.key.is_some())];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        let message = format!("`{key}` is for a store that somebody else runs");
        context.report_key(&["store", key], message, format!("remove `{key}`, or set `engine = \"external\"`"));
    }
    let parity = ["store", "parity"];
    let is_sure = !context.is_suspect(&parity) && !context.is_suspect(&["store", "instances"]);
    // A majority of all that have a voice has to be left, and two parts of each object at least.
    let voices = raw.instances + u32::from(has_witness(raw.instances));
    let most = ((voices - 1) / 2).min(raw.instances.saturating_sub(2));
    if is_sure && raw.parity > most {
        let message = format!(
            "{} cannot be lost of {}: those that are left have to be a majority, and two at least",
            count(raw.parity as usize, "node"),
            raw.instances
        );
        let help = format!("set `parity` to {most} or less, or `instances` to {} or more", 2 * raw.parity);
        context.report(&parity, message, help);
    }
    let volume = ["store", "volume"];
    if !context.is_suspect(&volume) && bytes(&raw.volume) < bytes(&format!("{VOLUME_MIN_GIB}GiB")) {
        let message = format!("a volume of {} is too small for a node of the store", raw.volume);
        context.report(&volume, message, format!("set `volume = \"{VOLUME_MIN_GIB}GiB\"` or more"));
    }
    port(raw, file, context);
    if file.load_balancer.instances >= 2 && file.load_balancer.address.is_none() {
        let message = "the store is reached through the load balancers, which share no virtual address";
        let help = "set `address` in [load_balancer] to a free address of the subnet";
        context.report(&TABLE, message, help);
    }
    StoreCluster {
        volume: raw.volume.clone(),
        volume_bytes: bytes(&raw.volume),
        parity: raw.parity as usize,
        detection: raw.detection,
        port: raw.port,
    }
}

fn port(raw: &raw::Store, file: &raw::File, context: &mut Context<'_>) {
    let path = ["store", "port"];
    names::port(raw.port, true, &path, context);
    let tls = file.load_balancer.tls.as_ref().map(|tls| tls.port);
    if raw.port == file.load_balancer.port || Some(raw.port) == tls {
        let message = format!("port {} is the front door's own", raw.port);
        context.report(&path, message, "choose another port, e.g. 9000");
    }
}

fn external(raw: &raw::Store, context: &mut Context<'_>) -> Option<ExternalStore> {
    for key in
        ["instances", "parity", "volume", "detection", "port", "cold_tier", "hosts", "addresses", "memory", "cpus"]
    {
        if context.keys(&TABLE).contains(&key) {
            let message = format!("`{key}` is for a store of the platform's own");
            context.report_key(&["store", key], message, format!("remove `{key}`, or `engine = \"external\"`"));
        }
    }
    let mut needed = |key: &'static str, value: &Option<String>, example: &str| {
        let path = ["store", key];
        if value.is_none() && !context.is_suspect(&path) {
            let message = format!("the store is somebody else's, but its `{key}` is not said");
            context.report(&["store", "engine"], message, format!("add e.g. `{key} = \"{example}\"` to [store]"));
        }
        value.clone()
    };
    let endpoint = needed("endpoint", &raw.endpoint, "https://s3.example.com");
    let key = needed("key", &raw.key, "store_key");
    let region = raw.region.clone().unwrap_or_else(|| "us-east-1".to_owned());
    Some(ExternalStore { endpoint: endpoint?, region, key: key? })
}

fn bucket(
    name: &str,
    raw: &raw::Bucket,
    store: &raw::Store,
    file: &raw::File,
    context: &mut Context<'_>,
) -> (String, Bucket) {
    let table = ["store", "bucket", name];
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_good =
        (3..=63).contains(&name.len()) && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-');
    if !is_good {
        let message = format!("`{name}` is not the name of a bucket");
        let help = "use 3 to 63 lower-case letters, digits and inner hyphens, as S3 has it";
        context.report_key(&table, message, help);
    }
    if store.engine == Engine::External {
        for key in context.keys(&table).into_iter().filter(|key| !["users", "readers"].contains(key)) {
            let message = format!("`{key}` of a bucket is for whoever runs the store to set");
            let path = ["store", "bucket", name, key];
            context.report_key(&path, message, format!("remove `{key}`, or `engine = \"external\"` from [store]"));
        }
    }
    if !raw.versioning && context.keys(&table).contains(&"keep_noncurrent_days") {
        let path = ["store", "bucket", name, "keep_noncurrent_days"];
        let message = format!("[store.bucket.{name}] keeps no older versions");
        context.report_key(&path, message, "set `versioning = true`, or remove `keep_noncurrent_days`");
    }
    quota(name, raw, store, context);
    let mut access = BTreeMap::new();
    for (key, users, may) in [("users", &raw.users, Access::Write), ("readers", &raw.readers, Access::Read)] {
        for (index, user) in users.iter().enumerate() {
            let index = index.to_string();
            let path = ["store", "bucket", name, key, index.as_str()];
            match uses_store(file, user) {
                Some(true) => {}
                Some(false) => {
                    let help = format!("add `uses = [\"store\"]` to it, or remove `\"{user}\"`");
                    context.report(&path, format!("`{user}` does not use the store"), help);
                }
                None => {
                    let message = format!("`{user}` is no component and no group of the platform");
                    context.report(&path, message, "name a [component.NAME] or a [group.NAME]");
                }
            }
            if access.insert(user.clone(), may).is_some_and(|before| before != may) {
                let message = format!("`{user}` is among the users and among the readers");
                context.report(&path, message, "leave it in one of the two");
            }
        }
    }
    // Whoever else may do what: nodes of PostgreSQL write backups, who restores one reads, and so does an edge.
    let backup = file.postgres.as_ref().and_then(|postgres| postgres.backup.as_ref());
    if backup.is_some_and(|backup| backup.bucket.as_deref() == Some(name)) {
        access.insert(Backup::WRITER.to_owned(), Access::Write);
        access.insert(Backup::READER.to_owned(), Access::Read);
    }
    if file.edge.as_ref().is_some_and(|edge| edge.bucket.as_deref() == Some(name)) {
        access.insert(Edge::NAME.to_owned(), Access::Read);
    }
    let bucket = Bucket {
        name: name.to_owned(),
        access,
        versioning: raw.versioning,
        keep_noncurrent_days: raw.keep_noncurrent_days,
        abort_uploads_days: raw.abort_uploads_days,
        expire_days: raw.expire_days,
        cold: store.cold_tier.clone().zip(raw.cold_after_days).map(|(tier, after_days)| Cold { after_days, tier }),
        quota_bytes: raw.quota.as_deref().map(bytes),
        cors_origins: raw.cors_origins.clone(),
    };
    (name.to_owned(), bucket)
}

/// A bucket may not be promised more than there is.
fn quota(name: &str, raw: &raw::Bucket, store: &raw::Store, context: &mut Context<'_>) {
    let path = ["store", "bucket", name, "quota"];
    let keys = ["volume", "instances", "parity"];
    let is_sure = !context.is_suspect(&path) && keys.iter().all(|key| !context.is_suspect(&["store", *key]));
    let Some(quota) = raw.quota.as_deref().filter(|_| is_sure && store.engine == Engine::Ceph) else { return };
    let room = bytes(&store.volume) * u64::from(store.instances.saturating_sub(store.parity));
    if bytes(quota) > room {
        let gib = room / (1024 * 1024 * 1024);
        let message = format!("`{name}` may hold {quota}, and all nodes together hold {gib} GiB of objects");
        context.report(&path, message, format!("set `quota = \"{gib}GiB\"` or less, or a larger `volume` in [store]"));
    }
}

/// Whether somebody of this name uses the store; nothing, where there is nobody.
fn uses_store(file: &raw::File, user: &str) -> Option<bool> {
    let component = file.component.get(user).map(|component| &component.uses);
    let uses = component.or_else(|| file.group.get(user).map(|group| &group.uses))?;
    Some(uses.contains(&Service::Store))
}

/// Who uses the store has a bucket there.
fn everybody_has_a_bucket(file: &raw::File, buckets: &BTreeMap<String, Bucket>, context: &mut Context<'_>) {
    let components = file.component.iter().map(|(name, component)| ("component", name, &component.uses));
    let groups = file.group.iter().map(|(name, group)| ("group", name, &group.uses));
    for (table, name, uses) in components.chain(groups) {
        let Some(index) = uses.iter().position(|service| *service == Service::Store) else { continue };
        if !buckets.values().any(|bucket| bucket.access.contains_key(name)) {
            let index = index.to_string();
            let message = format!("no bucket of the store is open to `{name}`");
            let help = "add it to the `users` or `readers` of a [store.bucket.NAME], or remove `\"store\"`";
            context.report(&[table, name, "uses", &index], message, help);
        }
    }
}
