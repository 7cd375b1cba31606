//! What a file means: every name is looked up, every address parsed, every instance derived.
//!
//! Each function gives what it could make of its part, and reports the rest to the [`Context`].

mod components;
mod context;
mod hosts;
mod instances;
mod names;
mod network;
mod pins;
mod ssh;
mod system;

pub(crate) use context::Context;
pub(crate) use names::is_label;

use crate::platform::{Incus, LoadBalancer, Platform, Release};
use crate::raw;

/// The platform, unless something that it needs is missing. It is sound only if the context has no diagnostics.
pub(crate) fn resolve(file: &raw::File, environment: &str, context: &mut Context<'_>) -> Option<Platform> {
    let default_name = file.name.as_ref().map(|name| format!("{name}-{environment}"));
    let incus = incus(&file.incus, default_name.as_deref(), context);
    let network = network::network(file.network.as_ref(), default_name.as_deref(), context);
    let ssh = file.ssh.as_ref().and_then(|ssh| ssh::ssh(ssh, context));
    let release = file.release.as_ref().and_then(|release| self::release(release, context));
    let load_balancer = load_balancer(&file.load_balancer, context);
    let components = components::components(file, context);
    let instances = instances::instances(file, network.as_ref(), context);
    Some(Platform {
        name: file.name.clone()?,
        environment: environment.to_owned(),
        incus: incus?,
        network: network?,
        ssh: ssh?,
        release: release?,
        load_balancer,
        components,
        instances,
    })
}

fn incus(incus: &raw::Incus, default_project: Option<&str>, context: &mut Context<'_>) -> Option<Incus> {
    let project = incus.project.as_deref().or(default_project)?;
    if project == "default" {
        let message = "`default` is Incus's own project, which also holds what is not of this platform";
        context.report(&["incus", "project"], message, "leave `project` out, or choose another name");
    }
    Some(Incus { project: project.to_owned(), socket: incus.socket.clone().into(), pool: incus.pool.clone() })
}

fn release(release: &raw::Release, context: &Context<'_>) -> Option<Release> {
    let path = |key, path: &str| context.locate(&["release", key]).source.resolve(path);
    Some(Release {
        artifacts: path("artifacts", release.artifacts.as_ref()?),
        secrets: release.secrets_file.as_ref().map(|file| path("secrets_file", file)),
        drain_timeout_ms: u64::from(release.drain_timeout_s) * 1_000,
        health_timeout_ms: u64::from(release.health_timeout_s) * 1_000,
    })
}

fn load_balancer(raw: &raw::LoadBalancer, context: &mut Context<'_>) -> LoadBalancer {
    names::port(raw.port, true, &["load_balancer", "port"], context);
    LoadBalancer { topology: raw.topology, port: raw.port, connections_max: raw.connections_max }
}
