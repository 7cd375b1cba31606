use bascule_spec::{Balance, Component, Platform, Topology};
use serde::Serialize;

use super::{COLOUR_MAP, backend};
use crate::{Facts, RoleError, template};

/// `haproxy.cfg` as a whole. It changes with the platform, never with a release or a switch.
pub(super) fn render(platform: &Platform, facts: &Facts) -> Result<String, RoleError> {
    let context = Context {
        connections_max: platform.load_balancer.connections_max,
        port: platform.load_balancer.port,
        colour_map: (platform.load_balancer.topology == Topology::BlueGreen).then_some(COLOUR_MAP),
        rules: rules(platform),
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
    backends: Vec<Backend>,
}

/// Which backend answers requests of a path, in the order in which HAProxy tries them.
#[derive(Serialize)]
struct Rule {
    /// Path prefix; absent for what nothing else claims.
    route: Option<String>,
    colour: Option<&'static str>,
    backend: String,
}

/// The longest prefix first, so that `/api/stream/` is not taken by `/api/`; the default component last.
fn rules(platform: &Platform) -> Vec<Rule> {
    let mut claims: Vec<(Option<&String>, &Component)> = Vec::new();
    for component in &platform.components {
        claims.extend(component.routes.iter().map(|route| (Some(route), component)));
        if component.routes.is_empty() {
            claims.push((None, component));
        }
    }
    claims.sort_by_key(|(route, _)| std::cmp::Reverse(route.map_or(0, |route| route.len())));
    let rule = |(route, component): (Option<&String>, &Component), colour: &Option<bascule_spec::Colour>| Rule {
        route: route.cloned(),
        colour: colour.map(bascule_spec::Colour::as_str),
        backend: backend(component, *colour),
    };
    claims.into_iter().flat_map(|claim| platform.colours().iter().map(move |colour| rule(claim, colour))).collect()
}

#[derive(Serialize)]
struct Backend {
    name: String,
    /// The line that says how requests are spread.
    balance: String,
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
                name: backend(component, *colour),
                balance: balance(component.balance),
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
