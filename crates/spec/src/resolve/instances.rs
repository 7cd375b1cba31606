//! From the tables of the file to instances.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Context;
use super::hosts::Hosts;
use super::names::{INSTANCE_NAME_MAX, RESERVED, label};
use super::pins::{Pins, room};
use super::{postgres, services, store};
use crate::platform::{Colour, Instance, Network, Role, Topology};
use crate::raw::{self, Placement};
use crate::words::{count, heading};

/// Every instance of the file, in the order that [`crate::Platform::instances`] promises.
///
/// `front_door` is the load balancers' virtual address, which no instance can have.
pub(super) fn instances(
    file: &raw::File,
    network: Option<&Network>,
    front_door: Option<Ipv4Addr>,
    context: &mut Context<'_>,
) -> Vec<Instance> {
    let hosts = Hosts::new(file, context);
    let groups = groups(file, context);
    let mut instances = Vec::new();
    let mut pins: Pins =
        front_door.map(|address| (address, "[load_balancer] as its virtual address".to_owned())).into_iter().collect();
    let mut owners: BTreeMap<String, &Group<'_>> = BTreeMap::new();
    for group in &groups {
        group.check_size(&hosts, context);
        for instance in group.instances(&hosts, network, &mut pins, context) {
            match owners.insert(instance.name.clone(), group) {
                // `lb` was refused already.
                Some(_) if group.path.last().is_some_and(|name| RESERVED.contains(name)) => break,
                Some(other) => {
                    let (this, other) = (heading(&group.path), heading(&other.path));
                    let message = format!("{other} and {this} both make an instance `{}`", instance.name);
                    context.report_key(&group.path, message, "rename one of the two");
                    break;
                }
                None => instances.push(instance),
            }
        }
    }
    if let Some(network) = network {
        room(network, &instances, front_door, context);
    }
    instances
}

/// Instances that the file describes in one table.
pub(super) struct Group<'a> {
    pub(super) path: Vec<&'a str>,
    /// The key that says how many there are.
    pub(super) count_key: &'static str,
    pub(super) placement: &'a Placement,
    /// Members that stand in for each other, by name: one list, or one for each colour.
    pub(super) members: Vec<Vec<(String, Role)>>,
    pub(super) quorum: bool,
    /// Whether the platform promises that it goes on when one is lost, so that one alone is too few.
    pub(super) promised: bool,
}

fn groups<'a>(file: &'a raw::File, context: &mut Context<'_>) -> Vec<Group<'a>> {
    let balancer = &file.load_balancer;
    let mut groups = vec![Group {
        path: vec!["load_balancer"],
        count_key: "instances",
        placement: &balancer.placement,
        members: vec![members("lb", balancer.instances, &Role::LoadBalancer)],
        quorum: false,
        promised: true,
    }];
    for name in context.keys(&["component"]) {
        let Some((name, component)) = file.component.get_key_value(name) else {
            continue;
        };
        let colours: &[Option<Colour>] = match balancer.topology {
            Topology::BlueGreen => &[Some(Colour::Blue), Some(Colour::Green)],
            Topology::MultiInstance => &[None],
        };
        let of_colour = |colour: &Option<Colour>| {
            let prefix = colour.map_or_else(|| name.to_owned(), |colour| format!("{name}-{colour}"));
            members(&prefix, component.replicas, &Role::Component { component: name.to_owned(), colour: *colour })
        };
        groups.push(Group {
            path: vec!["component", name],
            count_key: "replicas",
            placement: &component.placement,
            members: colours.iter().map(of_colour).collect(),
            quorum: false,
            promised: true,
        });
    }
    if let Some(redis) = &file.redis {
        groups.push(Group {
            path: vec!["redis"],
            count_key: "instances",
            placement: &redis.placement,
            members: vec![members("redis", redis.instances, &Role::Redis)],
            quorum: true,
            promised: true,
        });
    }
    groups.extend(file.postgres.iter().flat_map(postgres::groups));
    groups.extend(file.store.as_ref().and_then(store::nodes));
    if let Some(edge) = &file.edge {
        groups.push(Group {
            path: vec!["edge"],
            count_key: "instances",
            placement: &edge.placement,
            members: vec![members("edge", edge.instances, &Role::Edge)],
            quorum: false,
            promised: true,
        });
    }
    for name in context.keys(&["group"]) {
        let Some((name, group)) = file.group.get_key_value(name) else {
            continue;
        };
        label(name, &["group", name], context);
        groups.push(Group {
            path: vec!["group", name],
            count_key: "instances",
            placement: &group.placement,
            members: vec![members(name, group.instances.unwrap_or(0), &plain(name, group, file, context))],
            quorum: group.quorum,
            promised: false,
        });
    }
    if let Some(ops) = &file.ops {
        groups.push(Group {
            path: vec!["ops"],
            count_key: "instances",
            placement: &ops.placement,
            members: vec![members("ops", 1, &Role::Ops)],
            quorum: false,
            promised: false,
        });
        check_ops(file, ops, context);
    }
    groups
}

fn plain(name: &str, group: &raw::Group, file: &raw::File, context: &mut Context<'_>) -> Role {
    Role::Plain { group: name.to_owned(), uses: services::used(file, &group.uses, &["group", name, "uses"], context) }
}

/// It comes to Incus over the network, through the host's firewall.
fn check_ops(file: &raw::File, ops: &raw::Ops, context: &mut Context<'_>) {
    if file.incus.address.is_none() && !context.is_suspect(&["incus", "address"]) {
        let message = "the ops instance comes to Incus by HTTPS, but [incus] names no `address`";
        let help = "set `address` in [incus] and run `bascule host up`, or remove [ops]: certificates are then renewed by `bascule up` alone";
        context.report(&["ops"], message, help);
    }
    if ops.placement.addresses.is_none() && !context.is_suspect(&["ops", "addresses"]) {
        let message = "the ops instance has no pinned address, by which the host's firewall could admit it to Incus";
        context.report(&["ops"], message, "add `addresses = [\"…\"]` to [ops], with a free address of the subnet");
    }
}

pub(super) fn members(prefix: &str, count: u32, role: &Role) -> Vec<(String, Role)> {
    (1..=count).map(|number| (format!("{prefix}-{number}"), role.clone())).collect()
}

impl<'a> Group<'a> {
    /// Whether there are enough members, and not too many, for what the group must survive.
    fn check_size(&self, hosts: &Hosts<'_>, context: &mut Context<'_>) {
        let path = self.key(self.count_key);
        let size = self.members.first().map_or(0, Vec::len);
        if context.is_suspect(&path) {
            return;
        }
        let title = heading(&self.path);
        if self.quorum && (size < 3 || size.is_multiple_of(2)) {
            let why = match size {
                0 | 1 => "one member is no quorum: its loss is the loss of all".to_owned(),
                2 => "two members lose the quorum when either is lost".to_owned(),
                _ => format!("{size} members survive no more losses than {}", size - 1),
            };
            let odd = if size > 3 { format!("{} or {}", size - 1, size + 1) } else { "3".to_owned() };
            let help = format!(
                "set `{}` to {odd}: a group that elects a leader needs an odd number of at least 3",
                self.count_key
            );
            context.report(&path, format!("{title} has a quorum of {size}: {why}"), help);
        }
        if hosts.apart && self.promised && size < 2 {
            let message =
                format!("{title} has one member: the loss of its host is the loss of all, but `survives` is \"host\"");
            context.report(&path, message, format!("set `{} = 2` or more", self.count_key));
        }
        if let Some((name, _)) = self.members.iter().flatten().find(|(name, _)| name.len() > INSTANCE_NAME_MAX) {
            let message = format!(
                "the instance name `{name}` has {} characters, but the most is {INSTANCE_NAME_MAX}",
                name.len()
            );
            let help = format!("shorten the name in {title} by {}", count(name.len() - INSTANCE_NAME_MAX, "character"));
            context.report_key(&self.path, message, help);
        }
    }

    fn instances(
        &self,
        hosts: &Hosts<'_>,
        network: Option<&Network>,
        pins: &mut Pins,
        context: &mut Context<'_>,
    ) -> Vec<Instance> {
        let placed_on = self.hosts(hosts, context);
        self.check_domains(hosts, &placed_on, context);
        let mut addresses = self.addresses(network, pins, context).into_iter();
        let mut instances = Vec::new();
        for members in &self.members {
            for (index, (name, role)) in members.iter().enumerate() {
                instances.push(Instance {
                    name: name.clone(),
                    role: role.clone(),
                    host: placed_on.get(index % placed_on.len().max(1)).map(|host| (*host).to_owned()),
                    address: addresses.next().flatten(),
                    memory: self.placement.memory.clone(),
                    cpus: self.placement.cpus,
                });
            }
        }
        instances
    }

    pub(super) fn size(&self) -> usize {
        self.members.first().map_or(0, Vec::len)
    }

    pub(super) fn key<'b>(&'b self, key: &'b str) -> Vec<&'b str> {
        self.path.iter().copied().chain([key]).collect()
    }

    pub(super) fn item<'b>(&'b self, key: &'b str, index: &'b str) -> Vec<&'b str> {
        self.path.iter().copied().chain([key, index]).collect()
    }
}
