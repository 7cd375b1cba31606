use std::fmt;

use bascule_spec::{Instance, Platform, Role, Service, Store};

use crate::{Facts, RoleError, edge, load_balancer, postgres, redis, store};

const SSH_PORT: u16 = 22;

/// One thing that may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// What it is for, as a person says it.
    pub(crate) why: &'static str,
    pub(crate) what: What,
    pub(crate) from: From,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    TcpPort(u16),
    /// From the first to the last.
    TcpPorts(u16, u16),
    /// The protocol by which load balancers agree on who has the virtual address.
    Vrrp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Anywhere,
    /// Addresses and networks; never empty.
    These(Vec<String>),
}

/// What the platform implies for an instance:
///
/// | to | port | from |
/// | --- | --- | --- |
/// | every instance | SSH | the sources that `ssh.allow_from` names |
/// | a load balancer | those of the front door | anywhere |
/// | a load balancer | VRRP, and its generation | the other load balancers |
/// | a replica | its component's | the load balancers |
/// | a member of Redis | Redis's, and Sentinel's | the other members, and who uses Redis |
/// | a node of PostgreSQL, its monitor | Postgres's | nodes, the monitor, and the poolers |
/// | a pooler | PgBouncer's, and that of its health | the load balancers |
/// | a load balancer | the pool's | who uses PostgreSQL |
/// | a load balancer | the object store's | who uses the store: nodes of PostgreSQL that are backed up, too |
/// | a load balancer | the object store's | an instance that restores a backup: the addresses that DHCP gives |
/// | a member of the store | Ceph's own | the other members |
/// | a node of the store | its gateway's | the load balancers |
/// | an edge | its nginx's | the load balancers |
///
/// Nothing of the platform asks another instance's node_exporter yet, so nobody may.
pub(crate) fn admitted(platform: &Platform, facts: &Facts, instance: &Instance) -> Result<Vec<Admitted>, RoleError> {
    let operators = platform.ssh.allow_from.iter().map(|network| network.trunc().to_string()).collect();
    let mut all = vec![Admitted { why: "operators", what: What::TcpPort(SSH_PORT), from: From::These(operators) }];
    let load_balancers =
        || addresses(facts, platform.load_balancers().filter(|load_balancer| load_balancer.name != instance.name));
    match &instance.role {
        Role::Plain { .. } | Role::Ops => {}
        Role::LoadBalancer => {
            let tls = platform.load_balancer.tls.iter().map(|tls| tls.port);
            let doors = [platform.load_balancer.port].into_iter().chain(tls).map(What::TcpPort);
            all.extend(doors.map(|what| Admitted { why: "the front door", what, from: From::Anywhere }));
            let others = load_balancers()?;
            if !others.is_empty() {
                let from = || From::These(others.clone());
                all.push(Admitted { why: "who has the address", what: What::Vrrp, from: from() });
                let generation = What::TcpPort(load_balancer::PEER_PORT);
                all.push(Admitted { why: "whose generation is the newest", what: generation, from: from() });
            }
            if let Some(postgres) = &platform.postgres {
                let users = platform.instances.iter().filter(|instance| platform.uses(instance, Service::Postgres));
                all.extend(admit("who uses PostgreSQL", What::TcpPort(postgres.port), addresses(facts, users)?));
            }
            if let Some(cluster) = platform.store.as_ref().and_then(Store::cluster) {
                let users = platform.instances.iter().filter(|instance| platform.uses(instance, Service::Store));
                all.extend(admit("who uses the store", What::TcpPort(cluster.port), addresses(facts, users)?));
                if platform.backup().is_some() {
                    let (first, last) = platform.network.dynamic().into_inner();
                    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
                    all.extend(admit("who restores a backup", What::TcpPort(cluster.port), vec![range]));
                }
            }
        }
        Role::Redis => {
            let others = platform.redis_members().filter(|member| member.name != instance.name);
            let users = platform.instances.iter().filter(|instance| platform.uses(instance, Service::Redis));
            for (why, from) in
                [("the other members", addresses(facts, others)?), ("who uses Redis", addresses(facts, users)?)]
            {
                for port in [redis::PORT, redis::SENTINEL_PORT] {
                    all.extend(admit(why, What::TcpPort(port), from.clone()));
                }
            }
        }
        Role::Postgres | Role::PostgresMonitor => {
            let others = platform.postgres_nodes().chain(platform.postgres_monitor());
            let others = addresses(facts, others.filter(|other| other.name != instance.name))?;
            all.extend(admit("the other nodes", What::TcpPort(postgres::PORT), others));
            all.extend(admit("the poolers", What::TcpPort(postgres::PORT), addresses(facts, platform.poolers())?));
        }
        Role::Pooler => {
            for port in [postgres::pooler::PORT, postgres::pooler::HEALTH_PORT] {
                all.extend(admit("the load balancers", What::TcpPort(port), load_balancers()?));
            }
        }
        Role::Store | Role::StoreWitness => {
            let others = addresses(facts, platform.store_members().filter(|member| member.name != instance.name))?;
            let (first, last) = store::DATA_PORTS;
            for what in [What::TcpPort(store::MONITOR_PORT), What::TcpPorts(first, last)] {
                all.extend(admit("the other members", what, others.clone()));
            }
            if instance.role == Role::Store {
                all.extend(admit("the load balancers", What::TcpPort(store::GATEWAY_PORT), load_balancers()?));
            }
        }
        Role::Edge => all.extend(admit("the load balancers", What::TcpPort(edge::PORT), load_balancers()?)),
        Role::Component { component, .. } => {
            let port = platform.component(component).map(|component| What::TcpPort(component.port));
            let from = From::These(load_balancers()?);
            all.extend(port.map(|what| Admitted { why: "the load balancers", what, from }));
        }
    }
    Ok(all)
}

/// Nothing, where there is nobody to admit.
fn admit(why: &'static str, what: What, from: Vec<String>) -> Option<Admitted> {
    (!from.is_empty()).then_some(Admitted { why, what, from: From::These(from) })
}

fn addresses<'a>(facts: &Facts, instances: impl Iterator<Item = &'a Instance>) -> Result<Vec<String>, RoleError> {
    instances.map(|instance| Ok(facts.address(instance)?.to_string())).collect()
}

impl Admitted {
    /// The port that anybody may ask.
    pub(crate) fn public_port(&self) -> Option<u16> {
        match (self.what, &self.from) {
            (What::TcpPort(port), From::Anywhere) => Some(port),
            _ => None,
        }
    }
}

/// As a rule of nftables.
impl fmt::Display for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let From::These(sources) = &self.from {
            write!(f, "ip saddr {{ {} }} ", sources.join(", "))?;
        }
        match self.what {
            What::TcpPort(port) => write!(f, "tcp dport {port} accept"),
            What::TcpPorts(first, last) => write!(f, "tcp dport {first}-{last} accept"),
            What::Vrrp => f.write_str("ip protocol vrrp accept"),
        }
    }
}
