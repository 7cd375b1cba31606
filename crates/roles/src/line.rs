//! From an instance of the platform to the head of its line, and from lines to a plan.

use std::collections::{BTreeMap, BTreeSet};

use bascule_plan::{Lease, Line, LineItem, Machine, MachineAction, Milestone, Plan, Volume, World};
use bascule_spec::{Colour, Component, Instance, Platform, Role, Store};
use sha2::{Digest as _, Sha256};

use crate::group::packages_of;
use crate::{Existing, Facts, RoleError, edge, load_balancer, postgres, redis, store};

/// The key of an instance's configuration that says what it is.
pub const ROLE: &str = "user.bascule.role";
/// Load balancers change one at a time.
pub(crate) const LOAD_BALANCER_LEASE: &str = "roll load_balancer";
/// Those that may hold the virtual address are let go of one at a time, too.
pub(crate) const ADDRESS_LEASE: &str = "roll virtual address";
/// The traffic is moved on one load balancer after the other.
pub(crate) const SWITCH_LEASE: &str = "switch traffic";

/// The right to take a component's replicas, of one colour, out of service: one at a time.
pub(crate) fn roll_lease(component: &Component, colour: Option<Colour>) -> String {
    format!("roll {}", load_balancer::backend(component, colour))
}

/// A replica answers on its own machine.
pub(crate) fn healthy(replica: &Instance) -> Milestone {
    format!("{}: healthy", replica.name)
}

/// A load balancer sends requests to a replica.
pub(crate) fn in_rotation(replica: &Instance, load_balancer: &Instance) -> Milestone {
    format!("{}: in rotation on {}", replica.name, load_balancer.name)
}

/// Whether a plan may make machines, or needs them to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    /// What does not exist is created.
    Missing,
    /// Only what exists is worked on.
    Nothing,
    /// What exists is made anew.
    Anew,
}

pub(crate) fn line(
    platform: &Platform,
    facts: &Facts,
    instance: &Instance,
    making: Making,
    items: Vec<LineItem>,
) -> Result<Line, RoleError> {
    let roles = match instance.role {
        Role::Plain { .. } => vec!["common".to_owned()],
        _ => vec!["common".to_owned(), instance.role.name().to_owned()],
    };
    let (action, reason) = match (facts.instances.get(&instance.name), making) {
        (None, Making::Nothing) => return Err(RoleError::MissingInstance(instance.name.clone())),
        (None, _) => (MachineAction::Create, "it does not exist"),
        (Some(_), Making::Anew) => (MachineAction::Rebuild, "a release starts on an empty root"),
        (Some(Existing::Running), _) => (MachineAction::Keep, "it runs"),
        (Some(Existing::Stopped), _) => (MachineAction::Start, "it is stopped"),
        (Some(Existing::Frozen), _) => (MachineAction::Start, "it is frozen"),
    };
    // Who makes a machine gives it all of its steps: what they install is in the image already.
    let is_made = matches!(action, MachineAction::Create | MachineAction::Rebuild);
    let machine = Machine {
        action,
        reason: reason.to_owned(),
        address: facts.address(instance)?,
        mac: mac(platform, &instance.name),
        image_packages: if is_made { packages_of(&items) } else { BTreeSet::new() },
        config: config(platform, instance),
        volumes: volumes(platform, instance),
    };
    Ok(Line { instance: instance.name.clone(), roles, machine: Some(machine), items, notes: Vec::new() })
}

/// Locally administered, and always the same for an instance of an environment.
fn mac(platform: &Platform, instance: &str) -> String {
    let digest = Sha256::digest(format!("{}/{instance}", platform.incus.project));
    digest[..5].iter().fold("02".to_owned(), |mac, byte| format!("{mac}:{byte:02x}"))
}

fn volumes(platform: &Platform, instance: &Instance) -> Vec<Volume> {
    let volume = match &instance.role {
        Role::Redis => platform.redis.as_ref().map(|redis| redis::volume(redis, instance)),
        Role::Postgres | Role::PostgresMonitor => {
            platform.postgres.as_ref().map(|postgres| postgres::volume(postgres, instance))
        }
        Role::Store | Role::StoreWitness => {
            let cluster = platform.store.as_ref().and_then(Store::cluster);
            cluster.map(|cluster| store::volume(cluster, instance))
        }
        Role::Edge => platform.edge.as_ref().map(|edge| edge::volume(edge, instance)),
        _ => None,
    };
    volume.into_iter().collect()
}

fn config(platform: &Platform, instance: &Instance) -> BTreeMap<String, String> {
    let mut config = BTreeMap::from([(ROLE.to_owned(), instance.role.name().to_owned())]);
    let mut set = |key: &str, value: Option<String>| {
        config.extend(value.map(|value| (key.to_owned(), value)));
    };
    if let Role::Component { component, colour } = &instance.role {
        set("user.bascule.component", Some(component.clone()));
        set("user.bascule.colour", colour.map(|colour| colour.to_string()));
    }
    if matches!(instance.role, Role::Store | Role::StoreWitness) {
        set(store::STORE_SHAPE, store::shape(platform));
    }
    set("limits.memory", instance.memory.clone());
    set("limits.cpu", instance.cpus.map(|cpus| cpus.to_string()));
    config
}

/// Puts lines together with the leases that they take.
pub(crate) fn plan(platform: &Platform, facts: &Facts, lines: Vec<Line>) -> Plan {
    let taken = |name: &str| {
        lines.iter().flat_map(|line| &line.items).any(|item| matches!(item, LineItem::Take(lease) if lease == name))
    };
    let order = |instances: Vec<&Instance>| instances.into_iter().map(|instance| instance.name.clone()).collect();
    let mut leases = BTreeMap::new();
    for component in &platform.components {
        for colour in platform.colours() {
            let order = order(facts.down_first(platform, &component.name, *colour));
            leases.insert(roll_lease(component, *colour), Lease { capacity: 1, order });
        }
    }
    let standby_first: Vec<String> = order(facts.standby_first(platform));
    for lease in [LOAD_BALANCER_LEASE, ADDRESS_LEASE, SWITCH_LEASE] {
        leases.insert(lease.to_owned(), Lease { capacity: 1, order: standby_first.clone() });
    }
    let members: Vec<String> = order(facts.stopped_first(platform.redis_members()));
    for lease in [redis::LEASE, redis::SENTINEL_LEASE] {
        leases.insert(lease.to_owned(), Lease { capacity: 1, order: members.clone() });
    }
    let nodes = order(facts.stopped_first(platform.postgres_nodes()));
    for lease in postgres::LEASES {
        leases.insert(lease.to_owned(), Lease { capacity: 1, order: nodes.clone() });
    }
    let poolers = order(facts.stopped_first(platform.poolers()));
    leases.insert(postgres::pooler::LEASE.to_owned(), Lease { capacity: 1, order: poolers });
    let members = order(facts.stopped_first(platform.store_members()));
    for lease in store::LEASES {
        leases.insert(lease.to_owned(), Lease { capacity: 1, order: members.clone() });
    }
    let edges = order(facts.edges_down_first(platform));
    leases.insert(edge::LEASE.to_owned(), Lease { capacity: 1, order: edges });
    leases.retain(|name, _| taken(name));
    let world = World {
        project: platform.incus.project.clone(),
        bridge: platform.network.bridge.clone(),
        gateway: platform.network.gateway,
        prefix_len: platform.network.subnet.prefix_len(),
        dynamic: platform.network.dynamic().into_inner(),
        mtu: facts.mtu,
        pool: platform.incus.pool.clone(),
    };
    Plan { world: Some(world), leases, lines }
}
