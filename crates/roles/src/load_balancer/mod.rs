//! HAProxy: one front door, a backend for each component (and colour), and the colour that has the traffic as a map
//! that is changed without a reload.
//!
//! A second map holds the generation of the switch that this load balancer serves, which it tells the others: it is
//! changed last, when the load balancer has been seen to serve it. Both maps are on disk, so that a restarted HAProxy
//! comes back right, and in HAProxy's memory, where a switch takes effect at once. Both are made from what is recorded
//! in Incus.

mod address;
mod config;
mod tls;

pub use tls::OWN_FRONT_CERTIFICATE;
pub(crate) use tls::STORE_NAME;

use std::net::Ipv4Addr;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_plan::{LineItem, Probe, Resource};
use bascule_spec::{Colour, Component, Instance, Platform, Topology};
use minijinja::context;

use crate::group::{Group, command_on, file, linger, running, script_path, sysctl, validated, wait};
use crate::template::render;
use crate::{Facts, Releases, RoleError, component};

const UNIT: &str = "haproxy.service";
const DROP_IN: &str = "/etc/systemd/system/haproxy.service.d/bascule.conf";
const CONFIG: &str = "/etc/haproxy/haproxy.cfg";
const DOOR: &str = "/etc/haproxy/door.nft";
const COLOUR_MAP: &str = "/etc/haproxy/colour.map";
const GENERATION_MAP: &str = "/etc/haproxy/generation.map";
/// Where a load balancer tells the others its generation. Named in the program `front-door-check`, too.
pub(crate) const PEER_PORT: u16 = 8405;
/// Where the machine itself comes through its front door without TLS.
const INSIDE_PORT: u16 = 8406;

/// The backend of a component's replicas: `api_blue`, or `api` without colours.
pub(crate) fn backend(component: &Component, colour: Option<Colour>) -> String {
    match colour {
        Some(colour) => format!("{}_{colour}", component.name),
        None => component.name.clone(),
    }
}

/// The backend of the tunnels to the replicas of another one.
fn tunnels(backend: &str) -> String {
    format!("{backend}_tunnels")
}

/// Everything but the waits for replicas, and what comes after those: [`address_steps`].
pub(crate) fn steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    const LEASE: &str = crate::line::LOAD_BALANCER_LEASE;
    let coloured = platform.load_balancer.topology == Topology::BlueGreen;
    let mut kernel = Group::new("load_balancer/kernel");
    // A proxy needs a port of its own for every connection to a replica; the lower ones stay for services.
    kernel.step("ports", "let connections use most ports", sysctl("net.ipv4.ip_local_port_range", "10240 65535"));
    kernel.step("queue", "let new connections queue up", sysctl("net.core.somaxconn", "16384"));

    let mut install = Group::new("load_balancer/haproxy");
    install.packages("install HAProxy", &["haproxy", "nftables", "socat"]);
    install.scripts(&[
        ("haproxy-reload", include_str!("haproxy-reload.sh")),
        ("haproxy-map", include_str!("haproxy-map.sh")),
        ("haproxy-servers", include_str!("haproxy-servers.sh")),
        ("haproxy-sessions", include_str!("haproxy-sessions.sh")),
    ]);

    let mut haproxy = Group::new("load_balancer/haproxy");
    if coloured {
        haproxy.step("colour", "record the active colour on disk", colour_map(&facts.releases));
        haproxy.step("generation", "record its generation on disk", generation_map(&facts.releases));
    }
    let tls_port = platform.load_balancer.tls.as_ref().map(|tls| tls.port);
    let ports: Vec<u16> = [platform.load_balancer.port].into_iter().chain(tls_port).collect();
    let door = render("door.nft.j2", include_str!("door.nft.j2"), context! { ports })?;
    haproxy.step(
        "silence",
        "leave who knocks at a closed front door without an answer",
        validated(DOOR, 0o644, door, &["nft", "--check", "--file", "{}"]),
    );
    let drop_in = context! {
        files_max => u64::from(platform.load_balancer.connections_max) * 2 + 10_000,
        door => DOOR,
    };
    let drop_in = render("haproxy.service.j2", include_str!("haproxy.service.j2"), drop_in)?;
    haproxy.step(
        "limits",
        "let HAProxy hold that many connections, and tell how a reload went",
        file(DROP_IN, 0o644, drop_in),
    );
    let config = config::render(platform, facts)?;
    let validate = ["haproxy", "-c", "-f", "{}"];
    haproxy.step("config", "configure HAProxy", validated(CONFIG, 0o644, config, &validate));
    haproxy.take(LEASE);
    let reload_inputs = [vec![CONFIG, AUTHORITY_FILE], tls::inputs(platform)].concat();
    haproxy.step("service", "run HAProxy", running(UNIT, &[DROP_IN, DOOR], &reload_inputs));
    let open = Probe::Tcp { address: format!("127.0.0.1:{}", platform.load_balancer.port) };
    haproxy.step("door", "wait until the front door is open", wait(open, Some(UNIT), 15_000));
    haproxy.release(LEASE);
    if coloured {
        haproxy.step("traffic", "send traffic to the active colour", in_memory(COLOUR_MAP));
        haproxy.step("announce", "tell the other load balancers the generation", in_memory(GENERATION_MAP));
    }
    let parts = [kernel.into_items(), install.into_items(), tls::steps(platform, facts, own)?, haproxy.into_items()];
    Ok(parts.into_iter().flatten().collect())
}

/// The virtual address, where there is one: for a load balancer that serves already.
pub(crate) fn address_steps(platform: &Platform, facts: &Facts, own: &Instance) -> Result<Vec<LineItem>, RoleError> {
    address::steps(platform, facts, own)
}

/// Moves the traffic to the active colour, asks every component through the front door for its commit, and only then
/// tells the other load balancers of the new generation: whoever still holds the address with an older one loses it.
pub(crate) fn switch(platform: &Platform, releases: &Releases, commit: Option<&str>) -> Vec<LineItem> {
    let mut group = Group::new("load_balancer/switch");
    group.take(crate::line::SWITCH_LEASE);
    group.step("colour", "record the active colour on disk", colour_map(releases));
    group.step("traffic", "send traffic to the active colour", in_memory(COLOUR_MAP));
    let port = if platform.load_balancer.tls.is_some() { INSIDE_PORT } else { platform.load_balancer.port };
    let asked =
        commit.into_iter().flat_map(|commit| platform.components.iter().map(move |component| (component, commit)));
    for (component, commit) in asked {
        let url = format!("http://127.0.0.1:{port}{}", component.version);
        let answer = Probe::Http { url, contains: Some(commit.to_owned()) };
        let title = format!("ask {} through the front door for the commit", component.name);
        group.step(format!("answer-{}", component.name), title, wait(answer, Some(UNIT), 10_000));
    }
    group.step("generation", "record its generation on disk", generation_map(releases));
    group.step("announce", "tell the other load balancers the generation", in_memory(GENERATION_MAP));
    group.release(crate::line::SWITCH_LEASE);
    group.into_items()
}

/// Waits, within bounds, until nobody uses a colour any more.
pub(crate) fn drain(platform: &Platform, colour: Colour) -> Vec<LineItem> {
    let mut argv = vec![script_path("haproxy-sessions")];
    let backends = platform.components.iter().map(|component| backend(component, Some(colour)));
    argv.extend(backends.flat_map(|backend| [tunnels(&backend), backend]));
    let mut group = Group::new("load_balancer/drain");
    let timeout_ms = platform.release.drain_timeout_ms;
    group.step("sessions", format!("let the sessions on {colour} end"), linger(Probe::Command { argv }, timeout_ms));
    group.into_items()
}

/// Asks a replica across the network for its commit.
pub(crate) fn probe_replica(
    group: &mut Group,
    (component, replica, address): (&Component, &Instance, Ipv4Addr),
    commit: &str,
) {
    let url = component::url(component, address, &component.version);
    let answer = Probe::Http { url, contains: Some(commit.to_owned()) };
    let title = format!("ask {} across the network for the commit", replica.name);
    group.step(format!("probe-{}", replica.name), title, wait(answer, None, 10_000));
}

/// Waits until HAProxy itself has seen a server (`BACKEND/SERVER`), or every server of a backend, to be healthy.
pub(crate) fn wait_for_servers(timeout_ms: u64, servers: &[String]) -> Resource {
    let mut argv = vec![script_path("haproxy-servers")];
    argv.extend_from_slice(servers);
    wait(Probe::Command { argv }, Some(UNIT), timeout_ms)
}

fn colour_map(releases: &Releases) -> Resource {
    let active = releases.active.map_or("none", Colour::as_str);
    file(COLOUR_MAP, 0o644, format!("active {active}\n"))
}

fn generation_map(releases: &Releases) -> Resource {
    file(GENERATION_MAP, 0o644, format!("generation {}\n", releases.generation))
}

/// HAProxy's copy of a map that is on disk.
fn in_memory(map: &str) -> Resource {
    let program = script_path("haproxy-map");
    command_on(&[&program, "apply", map], &[&program, "check", map], &[map], 10_000)
}
