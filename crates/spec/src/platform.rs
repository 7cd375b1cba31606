//! What a platform file means once it was read and found sound: every name resolved, every instance derived.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Platform {
    /// The platform's name, e.g. `shop`.
    pub name: String,
    /// The environment's name, e.g. `lab`.
    pub environment: String,
    pub incus: Incus,
    pub network: Network,
    pub ssh: Ssh,
    pub release: Release,
    pub load_balancer: LoadBalancer,
    /// In the order of the file.
    pub components: Vec<Component>,
    /// Every instance, in a stable order: load balancers, components (blue before green), plain groups.
    pub instances: Vec<Instance>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Incus {
    /// `PLATFORM-ENVIRONMENT` unless the file says otherwise.
    pub project: String,
    /// Path of the daemon's unix socket.
    pub socket: PathBuf,
    /// Storage pool for roots and volumes.
    pub pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// At most 15 characters.
    pub bridge: String,
    pub subnet: Ipv4Net,
    /// The subnet's first address: the bridge itself.
    pub gateway: Ipv4Addr,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// Sources that may log in; never empty.
    pub allow_from: Vec<Ipv4Net>,
    /// OpenSSH public keys of the operators, for root; never empty.
    pub authorized_keys: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// The folder that holds `COMMIT/COMPONENT.tar.gz`, made absolute.
    pub artifacts: PathBuf,
    /// The file that holds the values of the components' secrets, made absolute.
    pub secrets: Option<PathBuf>,
    /// How long an old colour may keep its sessions when it is needed again.
    pub drain_timeout_ms: u64,
    /// How long a replica of a new release may take to become healthy.
    pub health_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Each colour has N replicas of every component; a release goes to the idle colour and traffic is switched to it.
    BlueGreen,
    /// N replicas and no colours; a release rolls through them.
    MultiInstance,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    pub topology: Topology,
    /// The port that serves traffic.
    pub port: u16,
    /// Concurrent connections HAProxy accepts.
    pub connections_max: u32,
}

/// A piece of the user's software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    pub name: String,
    pub kind: ComponentKind,
    /// The port its replicas listen on.
    pub port: u16,
    /// Path prefixes it answers; empty for the default component, which answers everything else.
    pub routes: Vec<String>,
    pub balance: Balance,
    /// Path that answers 200 while a replica may be sent requests (and 404 while it drains).
    pub health: String,
    /// Path whose body holds the commit.
    pub version: String,
    /// How long a tunnel (a WebSocket, a long download) may be idle.
    pub tunnel_timeout_ms: u64,
    /// How long a replica may take to finish its requests after SIGTERM.
    pub stop_timeout_ms: u64,
    pub environment: BTreeMap<String, String>,
    /// Names of the secrets it reads as systemd credentials.
    pub secrets: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// A program `bin/NAME`, run by systemd.
    Binary,
    /// Files served by nginx.
    Static,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Round robin, with a cookie that keeps a client on its replica.
    Sticky,
    /// A consistent hash of the n-th segment of the path (counted from 1): the same track, the same replica.
    PathSegment(u8),
    RoundRobin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    Blue,
    Green,
}

impl Colour {
    pub const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    pub fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// `lb-1`, `api-blue-2`, `api-1` (without colours), `GROUP-1`.
    pub name: String,
    pub role: Role,
    /// The host it is placed on, where the file names hosts.
    pub host: Option<String>,
    /// An address that the file pins; otherwise one is given when the instance is made and never moves.
    pub address: Option<Ipv4Addr>,
    /// E.g. `1GiB`; without it, no limit.
    pub memory: Option<String>,
    /// Number of CPUs; without it, no limit.
    pub cpus: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    LoadBalancer,
    /// A replica of a component; `colour` is absent under `multi-instance`.
    Component {
        component: String,
        colour: Option<Colour>,
    },
    /// An instance with the `common` role only, for whatever its owner does there.
    Plain {
        group: String,
    },
}

impl Role {
    /// The name that `--only` and `status` use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LoadBalancer => "load_balancer",
            Self::Component { .. } => "component",
            Self::Plain { .. } => "common",
        }
    }
}

impl Platform {
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The replicas of a component, of one colour where there are colours.
    pub fn replicas<'a>(&'a self, component: &'a str, colour: Option<Colour>) -> impl Iterator<Item = &'a Instance> {
        self.instances.iter().filter(move |instance| {
            matches!(&instance.role, Role::Component { component: name, colour: of } if name == component && *of == colour)
        })
    }

    pub fn load_balancers(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.role == Role::LoadBalancer)
    }

    /// The colours that exist: both, or none at all (`[None]`) under `multi-instance`.
    pub fn colours(&self) -> &'static [Option<Colour>] {
        match self.load_balancer.topology {
            Topology::BlueGreen => &[Some(Colour::Blue), Some(Colour::Green)],
            Topology::MultiInstance => &[None],
        }
    }
}
