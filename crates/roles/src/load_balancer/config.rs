use std::cmp::Reverse;

use bascule_spec::{Balance, Component, Platform, Topology};
use serde::Serialize;

use super::{COLOUR_MAP, backend, tunnels};
use crate::{Facts, RoleError, template};

/// `haproxy.cfg` as a whole. It changes with the platform, never with a release or a switch.
pub(super) fn render(platform: &Platform, facts: &Facts) -> Result<String, RoleError> {
    let context = Context {
        connections_max: platform.load_balancer.connections_max,
        port: platform.load_balancer.port,
        colour_map: (platform.load_balancer.topology == Topology::BlueGreen).then_some(COLOUR_MAP),
        rules: rules(platform),
        has_default: platform.components.iter().any(|component| component.routes.is_empty()),
        backends: backends(platform, facts)?,
    };
    template::render("haproxy.cfg.j2", include_str!("haproxy.cfg.j2"), context)
}

#[derive(Serialize)]
struct Context {
    connections_max: u32,
    port: u16,
    colour_map: Option<&'static str>,
    rules: Vec<Rule>,
    /// Whether a component answers what no route claims.
    has_default: bool,
    backends: Vec<Backend>,
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
    tunnel_timeout_ms: u64,
    servers: Vec<Server>,
}

#[derive(Serialize)]
struct Server {
    name: String,
    address: String,
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
                servers.push(Server { name: replica.name.clone(), address, number: n + 1 });
            }
            backends.push(Backend {
                tunnels: tunnels(&backend(component, *colour)),
                name: backend(component, *colour),
                balance: balance(component.balance),
                hashes: matches!(component.balance, Balance::PathSegment(_)),
                cookie: (component.balance == Balance::Sticky).then(|| format!("{}_replica", component.name)),
                health: component.health.clone(),
                tunnel_timeout_ms: component.tunnel_timeout_ms,
                servers,
            });
        }
    }
    Ok(backends)
}

fn balance(balance: Balance) -> String {
    match balance {
        Balance::Sticky | Balance::RoundRobin => "balance roundrobin".to_owned(),
        // HAProxy counts what is before the leading slash as the first field.
        Balance::PathSegment(n) => format!("balance hash path,field({},/)", u16::from(n) + 1),
    }
}
