use std::cmp::Reverse;
use std::net::Ipv4Addr;

use bascule_plan::agent::AUTHORITY_FILE;
use bascule_spec::{Balance, Component, Detection, Instance, Platform, Topology};
use serde::Serialize;

use super::{COLOUR_MAP, GENERATION_MAP, INSIDE_PORT, PEER_PORT, backend, tls, tunnels};
use crate::{Facts, RoleError, certificates, edge, postgres, store, template};

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
        edge: edge(platform, facts)?,
        store: store(platform, facts)?,
        pool: pool(platform, facts)?,
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
    edge: Option<Edge>,
    /// The platform's own object store.
    store: Option<Store>,
    /// The pool of PostgreSQL.
    pool: Option<Pool>,
}

#[derive(Serialize)]
struct Edge {
    name: &'static str,
    health: &'static str,
    authority: &'static str,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Store {
    port: u16,
    certificate: &'static str,
    authority: &'static str,
    /// How long a gateway may say nothing.
    patience_s: u32,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Pool {
    port: u16,
    health_port: u16,
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
    let mut claims: Vec<(&str, Option<&Component>)> = Vec::new();
    for component in &platform.components {
        claims.extend(component.routes.iter().map(|route| (route.as_str(), Some(component))));
        if component.routes.is_empty() {
            claims.push(("", Some(component)));
        }
    }
    claims.extend(platform.edge.iter().flat_map(|edge| &edge.routes).map(|route| (route.as_str(), None)));
    claims.sort_by_key(|(route, _)| Reverse(route.len()));

    let mut rules = Vec::new();
    for (route, component) in claims {
        // Edges have no colours, and no tunnels.
        let Some(component) = component else {
            let backend = bascule_spec::Edge::NAME.to_owned();
            rules.push(Rule { backend, condition: format!(" if {{ path_beg {route} }}") });
            continue;
        };
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
            let servers = servers(facts, platform.replicas(&component.name, *colour), component.port)?;
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

fn edge(platform: &Platform, facts: &Facts) -> Result<Option<Edge>, RoleError> {
    if platform.edge.is_none() {
        return Ok(None);
    }
    let servers = servers(facts, platform.edges(), edge::PORT)?;
    Ok(Some(Edge { name: bascule_spec::Edge::NAME, health: edge::HEALTH, authority: AUTHORITY_FILE, servers }))
}

fn store(platform: &Platform, facts: &Facts) -> Result<Option<Store>, RoleError> {
    let Some(cluster) = platform.store.as_ref().and_then(bascule_spec::Store::cluster) else { return Ok(None) };
    let servers = servers(facts, platform.store_nodes(), store::GATEWAY_PORT)?;
    Ok(Some(Store {
        port: cluster.port,
        certificate: tls::STORE_CERTIFICATE,
        authority: AUTHORITY_FILE,
        patience_s: match cluster.detection {
            Detection::Fast => 20,
            Detection::Normal => 45,
        },
        servers,
    }))
}

fn pool(platform: &Platform, facts: &Facts) -> Result<Option<Pool>, RoleError> {
    let Some(postgres) = &platform.postgres else { return Ok(None) };
    let servers = servers(facts, platform.poolers(), postgres::pooler::PORT)?;
    Ok(Some(Pool { port: postgres.port, health_port: postgres::pooler::HEALTH_PORT, servers }))
}

fn servers<'a>(
    facts: &Facts,
    instances: impl Iterator<Item = &'a Instance>,
    port: u16,
) -> Result<Vec<Server>, RoleError> {
    let server = |(n, instance): (usize, &Instance)| {
        let address = format!("{}:{port}", facts.address(instance)?);
        Ok(Server { name: instance.name.clone(), address, host: certificates::name(instance), number: n + 1 })
    };
    instances.enumerate().map(server).collect()
}

fn balance(balance: Balance) -> String {
    match balance {
        Balance::Sticky | Balance::RoundRobin => "balance roundrobin".to_owned(),
        // HAProxy counts what is before the leading slash as the first field.
        Balance::PathSegment(n) => format!("balance hash path,field({},/)", u16::from(n) + 1),
    }
}
