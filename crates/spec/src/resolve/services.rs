//! The services that software uses.

use std::collections::BTreeSet;

use super::Context;
use crate::raw;
use crate::services::{Redis, Service};

const MIB: u64 = 1024 * 1024;

pub(super) fn redis(raw: &raw::Redis) -> Redis {
    Redis { volume: raw.volume.clone(), data_max_bytes: bytes(&raw.data_max), when_full: raw.when_full }
}

/// What is used has to be there.
pub(super) fn used(file: &raw::File, uses: &[Service], path: &[&str], context: &mut Context<'_>) -> BTreeSet<Service> {
    for (index, service) in uses.iter().enumerate() {
        let (name, is_there) = match service {
            Service::Redis => ("redis", file.redis.is_some()),
            Service::Store => ("store", file.store.is_some()),
            Service::Postgres => ("postgres", file.postgres.is_some()),
        };
        if !is_there && !context.is_suspect(&[name]) {
            let index = index.to_string();
            let item: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
            let message = format!("the platform has no [{name}] that could be used");
            context.report(
                &item,
                message,
                format!("add a table `[{name}]`, its defaults will do, or remove `\"{name}\"`"),
            );
        }
    }
    uses.iter().copied().collect()
}

/// Of a size that the schema has accepted; none of one that it has not, which is reported already.
pub(super) fn bytes(size: &str) -> u64 {
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    match (size.strip_suffix("GiB"), size.strip_suffix("MiB")) {
        (Some(gib), _) => number(gib) * 1024 * MIB,
        (None, Some(mib)) => number(mib) * MIB,
        (None, None) => 0,
    }
}
