use std::cmp::Reverse;
use std::net::Ipv4Addr;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_spec::{Balance, Component, Instance, Platform, Topology};
use serde::Serialize;

use super::{COLOUR_MAP, GENERATION_MAP, INSIDE_PORT, PEER_PORT, backend, tls, tunnels};
use crate::{Facts, RoleError, certificates, store, template};

/// `haproxy.cfg` as a whole. It changes with the platform, never with a release or a switch.
pub(super) fn render(platform: &Platform, facts: &Facts) -> Result<String, RoleError> {
    let coloured = platform.load_balancer.topology == Topology::BlueGreen;
    let context = Context {
        connections_max: platform.load_balancer.connections_max,
        port: platform.load_balancer.port,
        tls: Tls::of(platform),
        colour_map: coloured.then_some(COLOUR_MAP),
        generation_map: coloured.then_some(GENERATION_MAP),
        peer_port: PEER_PORT,
        load_balancers: platform.load_balancers().map(|peer| facts.address(peer)).collect::<Result<_, _>>()?,
        rules: rules(platform),
        has_default: platform.components.iter().any(|component| component.routes.is_empty()),
        backends: backends(platform, facts)?,
        store: store(platform, facts)?,
    };
    template::render("haproxy.cfg.j2", include_str!("haproxy.cfg.j2"), context)
}

#[derive(Serialize)]
struct Context {
    connections_max: u32,
    port: u16,
    tls: Option<Tls>,
    colour_map: Option<&'static str>,
    generation_map: Option<&'static str>,
    peer_port: u16,
    load_balancers: Vec<Ipv4Addr>,
    rules: Vec<Rule>,
    /// Whether a component answers what no route claims.
    has_default: bool,
    backends: Vec<Backend>,
    /// The platform's own object store.
    store: Option<Store>,
}

#[derive(Serialize)]
struct Store {
    port: u16,
    certificate: &'static str,
    authority: &'static str,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Tls {
    port: u16,
    /// What a URL says of the port: nothing, where it is the usual one.
    port_in_url: String,
    inside_port: u16,
    certificate: &'static str,
}

impl Tls {
    fn of(platform: &Platform) -> Option<Self> {
        let bascule_spec::Tls { port, certificate } = platform.load_balancer.tls.as_ref()?;
        let port_in_url = if *port == 443 { String::new() } else { format!(":{port}") };
        Some(Self { port: *port, port_in_url, inside_port: INSIDE_PORT, certificate: tls::certificate(certificate) })
    }
}

/// Which backend answers what, in the order in which HAProxy asks.
#[derive(Serialize)]
struct Rule {
    backend: String,
    /// ` if …`, or nothing.
    condition: String,
}

/// The longest prefix first, so that `/api/stream/` is not taken by `/api/`; the default component last. What asks to
/// become a tunnel goes to a backend of its own.
fn rules(platform: &Platform) -> Vec<Rule> {
    let mut claims: Vec<(&str, &Component)> = Vec::new();
    for component in &platform.components {
        claims.extend(component.routes.iter().map(|route| (route.as_str(), component)));
        if component.routes.is_empty() {
            claims.push(("", component));
        }
    }
    claims.sort_by_key(|(route, _)| Reverse(route.len()));

    let mut rules = Vec::new();
    for (route, component) in claims {
        let path = (!route.is_empty()).then(|| format!("{{ path_beg {route} }}"));
        for colour in platform.colours() {
            let active = colour.map(|colour| format!("{{ var(txn.colour) -m str {colour} }}"));
            let asked: Vec<String> = path.iter().cloned().chain(active).collect();
            let tunnel = asked.iter().cloned().chain(["is_tunnel".to_owned()]).collect::<Vec<_>>().join(" ");
            let backend = backend(component, *colour);
            rules.push(Rule { backend: tunnels(&backend), condition: format!(" if {tunnel}") });
            let condition = if asked.is_empty() { String::new() } else { format!(" if {}", asked.join(" ")) };
            rules.push(Rule { backend, condition });
        }
    }
    rules
}

#[derive(Serialize)]
struct Backend {
    name: String,
    tunnels: String,
    /// The line that says how requests are spread.
    balance: String,
    /// Whether that is by a hash.
    hashes: bool,
    /// Name of the cookie that keeps a client on its replica.
    cookie: Option<String>,
    health: String,
    /// The authority that has to have issued its replicas' certificates, where they speak TLS.
    authority: Option<&'static str>,
    tunnel_timeout_ms: u64,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Server {
    name: String,
    address: String,
    /// As it calls itself in its certificate.
    host: String,
    /// The replica's number in its pool: the cookie's value, which tells the outside nothing and means the same
    /// replica of the other colour after a switch.
    number: usize,
}

fn backends(platform: &Platform, facts: &Facts) -> Result<Vec<Backend>, RoleError> {
    let mut backends = Vec::new();
    for component in &platform.components {
        for colour in platform.colours() {
            let mut servers = Vec::new();
            for (n, replica) in platform.replicas(&component.name, *colour).enumerate() {
                let address = format!("{}:{}", facts.address(replica)?, component.port);
                servers.push(Server {
                    name: replica.name.clone(),
                    address,
                    host: certificates::name(replica),
                    number: n + 1,
                });
            }
            backends.push(Backend {
                tunnels: tunnels(&backend(component, *colour)),
                name: backend(component, *colour),
                balance: balance(component.balance),
                hashes: matches!(component.balance, Balance::PathSegment(_)),
                cookie: (component.balance == Balance::Sticky).then(|| format!("{}_replica", component.name)),
                health: component.health.clone(),
                authority: component.tls.then_some(AUTHORITY_FILE),
                tunnel_timeout_ms: component.tunnel_timeout_ms,
                servers,
            });
        }
    }
    Ok(backends)
}

fn store(platform: &Platform, facts: &Facts) -> Result<Option<Store>, RoleError> {
    let Some(cluster) = platform.store.as_ref().and_then(bascule_spec::Store::cluster) else { return Ok(None) };
    let server = |(n, node): (usize, &Instance)| {
        let address = format!("{}:{}", facts.address(node)?, store::GATEWAY_PORT);
        Ok(Server { name: node.name.clone(), address, host: certificates::name(node), number: n + 1 })
    };
    let servers = platform.store_nodes().enumerate().map(server).collect::<Result<_, RoleError>>()?;
    Ok(Some(Store { port: cluster.port, certificate: tls::STORE_CERTIFICATE, authority: AUTHORITY_FILE, servers }))
}

fn balance(balance: Balance) -> String {
    match balance {
        Balance::Sticky | Balance::RoundRobin => "balance roundrobin".to_owned(),
        // HAProxy counts what is before the leading slash as the first field.
        Balance::PathSegment(n) => format!("balance hash path,field({},/)", u16::from(n) + 1),
    }
}
