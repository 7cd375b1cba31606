//! The machines that are made Incus servers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Context;
use crate::platform::{Host, PoolDisk, PoolDriver, Transport};
use crate::raw;

const POOL_SIZE: &str = "100GiB";

/// The hosts that have an address, in the order of the file.
pub(super) fn servers(file: &raw::File, context: &mut Context<'_>) -> Vec<Host> {
    let named = context.keys(&["hosts"]).into_iter().filter_map(|name| file.hosts.get_key_value(name));
    let servers: Vec<Host> = named.filter_map(|(name, raw)| server(name, raw, context)).collect();
    let mut owners: BTreeMap<Ipv4Addr, &str> = BTreeMap::new();
    for Host { name, address, .. } in &servers {
        if let Some(other) = owners.insert(*address, name) {
            let message = format!("`{other}` has the address {address}, too");
            context.report(&["hosts", name, "address"], message, "every host is a machine with an address of its own");
        }
    }
    let local: Vec<&Host> = servers.iter().filter(|host| host.transport == Transport::Local).collect();
    if let [first, second, ..] = local[..] {
        let message = format!("`{}` and `{}` cannot both be the machine that this runs on", first.name, second.name);
        context.report(&["hosts", &second.name, "transport"], message, "use `transport = \"ssh\"` for the others");
    }
    servers
}

fn server(name: &str, raw: &raw::Host, context: &mut Context<'_>) -> Option<Host> {
    let path = |key| ["hosts", name, key];
    let Some(address) = &raw.address else {
        let keys = [
            ("transport", raw.transport.is_some()),
            ("pool_driver", raw.pool_driver.is_some()),
            ("pool_source", raw.pool_source.is_some()),
            ("pool_size", raw.pool_size.is_some()),
        ];
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            if !context.is_suspect(&path("address")) {
                let message =
                    format!("`{key}` is for a machine that `bascule host up` sets up, which needs an `address`");
                context.report_key(&path(key), message, "add `address`, or remove this");
            }
        }
        return None;
    };
    if raw.pool_source.is_some() && raw.pool_size.is_some() {
        let message = "`pool_size` is the size of a loop file, but `pool_source` says where the pool is";
        context.report_key(&path("pool_size"), message, "remove one of the two");
    }
    let driver = raw.pool_driver.unwrap_or_default();
    if driver == PoolDriver::Zfs && raw.pool_source.as_deref().is_some_and(|source| !source.starts_with("/dev/")) {
        let message = "a pool of `zfs` cannot be made on a folder";
        context.report(&path("pool_source"), message, "name an empty block device, or remove this for a loop file");
    }
    let Ok(address) = address.parse::<Ipv4Addr>() else {
        let message = format!("`{address}` is not an IPv4 address");
        context.report(&path("address"), message, "write e.g. \"192.0.2.10\", without a prefix length or a port");
        return None;
    };
    let loop_file = || PoolDisk::LoopFile(raw.pool_size.clone().unwrap_or_else(|| POOL_SIZE.to_owned()));
    Some(Host {
        name: name.to_owned(),
        address,
        transport: raw.transport.unwrap_or(Transport::Ssh),
        pool_driver: driver,
        pool: raw.pool_source.clone().map_or_else(loop_file, PoolDisk::Source),
    })
}
