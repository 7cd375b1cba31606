//! What a file means: every name is looked up, every address parsed, every instance derived.
//!
//! Each function gives what it could make of its part, and reports the rest to the [`Context`].

mod backup;
mod components;
mod context;
mod edge;
mod hosts;
mod incus;
mod instances;
mod load_balancer;
mod names;
mod network;
mod pins;
mod postgres;
mod servers;
mod services;
mod ssh;
mod store;
mod system;

pub(crate) use context::Context;
pub(crate) use names::is_label;

use crate::platform::{Platform, Release};
use crate::raw;

/// The platform, unless something that it needs is missing. It is sound only if the context has no diagnostics.
pub(crate) fn resolve(file: &raw::File, environment: &str, context: &mut Context<'_>) -> Option<Platform> {
    let default_name = file.name.as_ref().map(|name| format!("{name}-{environment}"));
    let incus = incus::incus(&file.incus, default_name.as_deref(), context);
    let network = network::network(file.network.as_ref(), default_name.as_deref(), context);
    let ssh = file.ssh.as_ref().and_then(|ssh| ssh::ssh(ssh, context));
    let hosts = servers::servers(file, context);
    let release = file.release.as_ref().and_then(|release| self::release(release, context));
    let load_balancer = load_balancer::load_balancer(file, network.as_ref(), context);
    let components = components::components(file, context);
    let redis = file.redis.as_ref().map(|redis| services::redis(redis, context));
    let postgres = file.postgres.as_ref().map(|postgres| postgres::postgres(postgres, file, context));
    let store = file.store.as_ref().and_then(|store| store::store(store, file, context));
    let edge = file.edge.as_ref().and_then(|edge| edge::edge(edge, file, context));
    let instances = instances::instances(file, network.as_ref(), load_balancer.address, context);
    Some(Platform {
        name: file.name.clone()?,
        environment: environment.to_owned(),
        internal_authority: None,
        incus: incus?,
        network: network?,
        ssh: ssh?,
        hosts,
        release: release?,
        load_balancer,
        components,
        redis,
        postgres,
        store,
        edge,
        instances,
        ops: None,
    })
}

fn release(release: &raw::Release, context: &Context<'_>) -> Option<Release> {
    let path = |key, path: &str| context.locate(&["release", key]).source.resolve(path);
    Some(Release {
        artifacts: path("artifacts", release.artifacts.as_ref()?),
        drain_timeout_ms: u64::from(release.drain_timeout_s) * 1_000,
        health_timeout_ms: u64::from(release.health_timeout_s) * 1_000,
    })
}
