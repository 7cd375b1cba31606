use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::Resource;

/// Everything a run will do, decided before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Absent where the lines are about hosts: they are below Incus, not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<World>,
    /// Leases by name: how many lines may hold each at a time, and in which order lines may take it.
    pub leases: BTreeMap<String, Lease>,
    /// One line an instance.
    pub lines: Vec<Line>,
}

/// What must exist in Incus around the instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// The Incus project: one for each environment.
    pub project: String,
    /// Bridge name, at most 15 characters: the kernel's limit for an interface.
    pub bridge: String,
    pub gateway: Ipv4Addr,
    pub prefix_len: u8,
    /// First and last address that DHCP gives to what has none of its own.
    pub dynamic: (Ipv4Addr, Ipv4Addr),
    /// Largest packet of the bridge in bytes: the uplink's, or packets are lost silently. Incus's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The storage pool for roots and volumes; it must exist already.
    pub pool: String,
}

/// One instance or host, and the straight line of items that is walked on it from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub instance: String,
    pub roles: Vec<String>,
    /// Absent for a host, which nobody makes: it is there, or cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    pub items: Vec<LineItem>,
    /// Why something that one might expect is not in this line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Line {
    /// Its steps from top to bottom, without where it meets other lines.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.items.iter().filter_map(LineItem::step)
    }
}

/// The container below a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub action: MachineAction,
    /// Why this action was chosen when planning.
    pub reason: String,
    pub address: Ipv4Addr,
    /// The network card's hardware address. An instance that is made again under its name gets the same one: neighbours
    /// and DHCP leases that still know the old one would keep it off the network for a while.
    pub mac: String,
    /// Packages baked into the image it is cloned from, sorted; none where it is not made.
    pub image_packages: BTreeSet<String>,
    /// Incus configuration keys of the instance (`limits.memory`, `user.bascule.role`…).
    pub config: BTreeMap<String, String>,
    /// What outlives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// A volume of its own, mounted on an instance: data that must outlive the instance's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Unique within the environment.
    pub name: String,
    /// Where it is mounted.
    pub path: String,
    /// As Incus writes it, e.g. `8GiB`.
    pub size: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineAction {
    /// It exists and runs.
    Keep,
    /// It exists and is stopped or frozen.
    Start,
    /// It does not exist.
    Create,
    /// It exists and is made anew from its image: same name, same address, empty root.
    Rebuild,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineItem {
    Step(Step),
    /// Tells all lines that this one got here.
    Reach(Milestone),
    /// Holds this line until another reached the milestone.
    Await(Milestone),
    /// The same for the sake of steps that come later in this line: where the check found them right, nobody is waited for.
    AwaitFor {
        milestone: Milestone,
        /// Their ids.
        steps: Vec<String>,
    },
    /// Takes a lease; held until the matching `Release`.
    Take(String),
    Release(String),
}

impl LineItem {
    /// The step, where the item is one.
    pub fn step(&self) -> Option<&Step> {
        if let Self::Step(step) = self { Some(step) } else { None }
    }

    /// The milestone that has to be reached by another line, where the item waits for one.
    pub fn awaited(&self) -> Option<&Milestone> {
        match self {
            Self::Await(milestone) | Self::AwaitFor { milestone, .. } => Some(milestone),
            _ => None,
        }
    }
}

pub type Milestone = String;

/// A resource with its place in the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique within the line, stable over runs, e.g. `common/ssh/config`.
    pub id: String,
    /// What a person reads, in the imperative: `harden the SSH server`.
    pub title: String,
    pub resource: Resource,
}

impl Step {
    /// The role and the group of steps this one belongs to: `common/ssh` of `common/ssh/config`.
    pub fn group(&self) -> &str {
        self.id.rsplit_once('/').map_or(self.id.as_str(), |(group, _)| group)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub capacity: usize,
    /// Instances in the order in which they may take the lease; one that is not listed may take it after all others.
    pub order: Vec<String>,
}
