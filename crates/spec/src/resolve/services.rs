//! The services that software uses.

use std::collections::BTreeSet;

use super::Context;
use crate::raw;
use crate::services::{Redis, Service};

const MIB: u64 = 1024 * 1024;

pub(super) fn redis(raw: &raw::Redis, context: &mut Context<'_>) -> Redis {
    let is_sure = |key| !context.is_suspect(&["redis", "data_max"]) && !context.is_suspect(&["redis", key]);
    let data_mib = bytes(&raw.data_max) / MIB;
    // What is on the disk is rewritten beside itself; what is in memory is copied where it changes meanwhile.
    let (volume_mib, memory_mib) = (data_mib * 2, data_mib + data_mib / 4);
    let is_small_volume = is_sure("volume") && bytes(&raw.volume) / MIB < volume_mib;
    let memory = raw.placement.memory.as_deref().filter(|given| is_sure("memory") && bytes(given) / MIB < memory_mib);
    if is_small_volume {
        let message = format!("a volume of {} cannot hold {} twice, as it has to", raw.volume, raw.data_max);
        let help = format!("set `volume = \"{volume_mib}MiB\"` or more, or a smaller `data_max`");
        context.report(&["redis", "volume"], message, help);
    }
    if let Some(memory) = memory {
        let message = format!("{memory} of memory cannot hold {} of data", raw.data_max);
        let help = format!("set `memory = \"{memory_mib}MiB\"` or more, or a smaller `data_max`");
        context.report(&["redis", "memory"], message, help);
    }
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
