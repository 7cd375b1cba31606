//! HAProxy: one front door, a backend for each component (and colour), and the colour that has the traffic as a map
//! that is changed without a reload.
//!
//! The map is on disk, so that a restarted HAProxy comes back right, and in HAProxy's memory, where a switch takes
//! effect at once. Both are made from what is recorded in Incus.

mod config;

use std::net::Ipv4Addr;

use bascule_plan::{LineItem, Probe, Resource};
use bascule_spec::{Colour, Component, Instance, Platform, Topology};
use minijinja::context;

use crate::group::{Group, command, file, linger, running, script_path, sysctl, validated, wait};
use crate::template::render;
use crate::{Facts, Releases, RoleError};

const UNIT: &str = "haproxy.service";
const DROP_IN: &str = "/etc/systemd/system/haproxy.service.d/bascule.conf";
const CONFIG: &str = "/etc/haproxy/haproxy.cfg";
/// Named in `haproxy.cfg` and in the program `haproxy-colour`, too.
const COLOUR_MAP: &str = "/etc/haproxy/colour.map";

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

/// Everything but the waits for replicas.
pub(crate) fn steps(platform: &Platform, facts: &Facts) -> Result<Vec<LineItem>, RoleError> {
    const LEASE: &str = crate::line::LOAD_BALANCER_LEASE;
    let coloured = platform.load_balancer.topology == Topology::BlueGreen;
    let mut kernel = Group::new("load_balancer/kernel");
    // A proxy needs a port of its own for every connection to a replica; the lower ones stay for services.
    kernel.step("ports", "let connections use most ports", sysctl("net.ipv4.ip_local_port_range", "10240 65535"));
    kernel.step("queue", "let new connections queue up", sysctl("net.core.somaxconn", "16384"));

    let mut haproxy = Group::new("load_balancer/haproxy");
    haproxy.packages("install HAProxy", &["haproxy", "socat"]);
    haproxy.scripts(&[
        ("haproxy-reload", include_str!("haproxy-reload.sh")),
        ("haproxy-colour", include_str!("haproxy-colour.sh")),
        ("haproxy-servers", include_str!("haproxy-servers.sh")),
        ("haproxy-sessions", include_str!("haproxy-sessions.sh")),
    ]);
    if coloured {
        haproxy.step("colour", "record the active colour on disk", colour_map(&facts.releases));
    }
    let drop_in = context! { files_max => u64::from(platform.load_balancer.connections_max) * 2 + 10_000 };
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
    haproxy.step("service", "run HAProxy", running(UNIT, &[DROP_IN], &[CONFIG]));
    let door = Probe::Tcp { address: format!("127.0.0.1:{}", platform.load_balancer.port) };
    haproxy.step("door", "wait until the front door is open", wait(door, Some(UNIT), 15_000));
    haproxy.release(LEASE);
    if coloured {
        haproxy.step("traffic", "send traffic to the active colour", runtime_map());
    }
    Ok(kernel.into_items().into_iter().chain(haproxy.into_items()).collect())
}

/// Moves the traffic to the active colour, then asks every component through the front door for its commit.
pub(crate) fn switch(platform: &Platform, releases: &Releases, commit: Option<&str>) -> Vec<LineItem> {
    let mut group = Group::new("load_balancer/switch");
    group.take(crate::line::SWITCH_LEASE);
    group.step("colour", "record the active colour on disk", colour_map(releases));
    group.step("traffic", "send traffic to the active colour", runtime_map());
    let asked =
        commit.into_iter().flat_map(|commit| platform.components.iter().map(move |component| (component, commit)));
    for (component, commit) in asked {
        let url = format!("http://127.0.0.1:{}{}", platform.load_balancer.port, component.version);
        let answer = Probe::Http { url, contains: Some(commit.to_owned()) };
        let title = format!("ask {} through the front door for the commit", component.name);
        group.step(format!("answer-{}", component.name), title, wait(answer, Some(UNIT), 10_000));
    }
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
    let url = format!("http://{address}:{}{}", component.port, component.version);
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
    file(COLOUR_MAP, 0o644, format!("active {active}\ngeneration {}\n", releases.generation))
}

fn runtime_map() -> Resource {
    let program = script_path("haproxy-colour");
    command(&[&program, "apply"], &[&program, "check"], 10_000)
}
