//! What a platform file means once it was read and found sound: every name resolved, every instance derived.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::services::{Backup, Edge, Postgres, Redis, Service, Store};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The platform's name, e.g. `shop`.
    pub name: String,
    /// The environment's name, e.g. `lab`.
    pub environment: String,
    /// The certificate of the environment's own authority, PEM: the file `env/ENVIRONMENT.ca.pem`. Absent until it is made.
    pub internal_authority: Option<String>,
    pub incus: Incus,
    pub network: Network,
    pub ssh: Ssh,
    /// The machines that `host up` sets up, in the order of the file.
    pub hosts: Vec<Host>,
    pub release: Release,
    pub load_balancer: LoadBalancer,
    /// In the order of the file.
    pub components: Vec<Component>,
    pub redis: Option<Redis>,
    pub postgres: Option<Postgres>,
    pub store: Option<Store>,
    pub edge: Option<Edge>,
    /// Every instance, in a stable order: load balancers, components (blue before green), Redis, PostgreSQL, the
    /// object store, edges, plain groups, `ops-1`.
    pub instances: Vec<Instance>,
    /// What the instance `ops-1` works with, where there is one. Absent until it is made.
    pub ops: Option<Ops>,
}

/// What lies beside the platform on the instance that works on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ops {
    /// The environment's secrets, encrypted for it, too: the text of `env/ENVIRONMENT.secrets.age`.
    pub secrets: String,
    /// The certificate by which Incus knows it, PEM: the file `env/ENVIRONMENT.ops.pem`.
    pub client_certificate: String,
    /// The daemon's own certificate, PEM.
    pub server_certificate: String,
}

impl Ops {
    /// The secret that is its age key.
    pub const AGE_KEY: &str = "bascule/ops/age.key";
    /// The secret that is the key of its client certificate.
    pub const CLIENT_KEY: &str = "bascule/ops/client.key";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incus {
    /// `PLATFORM-ENVIRONMENT` unless the file says otherwise.
    pub project: String,
    pub endpoint: Endpoint,
    /// Storage pool for roots and volumes.
    pub pool: String,
}

/// How the daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// By its unix socket on this machine, as an administrator.
    Socket(PathBuf),
    /// By HTTPS, with a certificate that may be restricted to the project.
    Https(Https),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Https {
    pub address: SocketAddrV4,
    /// The file with the daemon's own certificate, which is the only one that is believed.
    pub server_certificate: PathBuf,
    /// The file with the certificate that the daemon trusts.
    pub client_certificate: PathBuf,
    /// The secret that is its key.
    pub client_key: String,
}

impl Https {
    /// The secret that is the key of the operators' certificate.
    pub const CLIENT_KEY: &str = "bascule/incus/client.key";
}

/// A machine that `host up` makes an Incus server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub name: String,
    pub address: Ipv4Addr,
    pub transport: Transport,
    pub pool_driver: PoolDriver,
    pub pool: PoolDisk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// By the system's SSH client, as root, with a pinned host key.
    Ssh,
    /// It is the machine that Bascule runs on.
    Local,
}

/// How a new storage pool copies on write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolDriver {
    /// In Debian's own kernel.
    #[default]
    Btrfs,
    /// From Debian's `contrib`; its module is built on the machine, for each kernel anew.
    Zfs,
}

/// What a new storage pool is made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolDisk {
    /// A sparse loop file of at most this size, e.g. `100GiB`.
    LoopFile(String),
    /// A block device, or the pool's own folder on a machine whose file system is btrfs.
    Source(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// At most 15 characters.
    pub bridge: String,
    pub subnet: Ipv4Net,
    /// The subnet's first address: the bridge itself.
    pub gateway: Ipv4Addr,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// Sources that may log in; never empty.
    pub allow_from: Vec<Ipv4Net>,
    /// OpenSSH public keys of the operators, for root; never empty.
    pub authorized_keys: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The folder that holds `COMMIT/COMPONENT.tar.gz`, made absolute.
    pub artifacts: PathBuf,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    pub topology: Topology,
    /// The port that serves traffic.
    pub port: u16,
    /// Concurrent connections HAProxy accepts.
    pub connections_max: u32,
    /// The virtual address: one of the load balancers holds it, and no instance has it for its own.
    pub address: Option<Ipv4Addr>,
    pub tls: Option<Tls>,
}

impl LoadBalancer {
    /// What a client asks at one of its addresses, without a path.
    pub fn url(&self, address: Ipv4Addr) -> String {
        let (scheme, port, usual) = match &self.tls {
            Some(tls) => ("https", tls.port, 443),
            None => ("http", self.port, 80),
        };
        let port = if port == usual { String::new() } else { format!(":{port}") };
        format!("{scheme}://{address}{port}")
    }
}

/// HTTPS at the front door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The port that serves HTTPS; the plain one only redirects there.
    pub port: u16,
    pub certificate: FrontCertificate,
}

/// Where the front door's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrontCertificate {
    /// Whoever runs the platform brings it, and renews it.
    Given(GivenCertificate),
    /// The environment's own authority issues it to each load balancer, for these DNS names and its addresses.
    Own { names: Vec<String> },
}

/// A secret whose value comes from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenSecret<'a> {
    pub name: &'a str,
    /// What it is, as a person says it.
    pub what: &'static str,
    /// Who reads it.
    pub user: &'static str,
}

/// A certificate that lies beside the platform file, its key among the secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenCertificate {
    /// PEM: itself first, then its intermediates.
    pub chain: String,
    /// The name of the secret that is its private key.
    pub key: String,
    /// The last second, since 1970, at which it is good.
    pub expires_s: u64,
}

/// A piece of the user's software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub name: String,
    pub kind: ComponentKind,
    /// The port its replicas listen on.
    pub port: u16,
    /// Whether that port speaks TLS, with a certificate of the environment's own authority.
    pub tls: bool,
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
    pub uses: BTreeSet<Service>,
    /// The database whose shape it changes.
    pub migrates: Option<String>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    LoadBalancer,
    /// A replica of a component; `colour` is absent under `multi-instance`.
    Component {
        component: String,
        colour: Option<Colour>,
    },
    /// A member: a Redis and a Sentinel.
    Redis,
    /// A node of PostgreSQL.
    Postgres,
    /// It decides which node of PostgreSQL is the primary.
    PostgresMonitor,
    /// It lends connections to the primary of PostgreSQL.
    Pooler,
    /// A node of the object store, which keeps data and answers requests.
    Store,
    /// It keeps no data of the object store, and has a voice when its nodes decide by majority.
    StoreWitness,
    /// An edge cache, in front of the object store.
    Edge,
    /// An instance with the `common` role only, for whatever its owner does there.
    Plain {
        group: String,
        uses: BTreeSet<Service>,
    },
    /// What has to be done again and again is done there, by timers.
    Ops,
}

impl Role {
    /// The name that `--only` and `status` use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LoadBalancer => "load_balancer",
            Self::Component { .. } => "component",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::PostgresMonitor => "postgres_monitor",
            Self::Pooler => "pooler",
            Self::Store => "store",
            Self::StoreWitness => "store_witness",
            Self::Edge => "edge",
            Self::Plain { .. } => "common",
            Self::Ops => "ops",
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

    /// The names of all secrets whose values the environment must have.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.drawn_secrets().chain(self.given_secrets().map(|given| given.name)).collect()
    }

    /// Those of them for which any strong value will do: the components', and the one by which URLs are signed. One that
    /// several use comes several times.
    pub fn drawn_secrets(&self) -> impl Iterator<Item = &str> {
        let of_edge = self.edge.iter().map(|edge| edge.signing_key.as_str());
        self.components.iter().flat_map(|component| &component.secrets).map(String::as_str).chain(of_edge)
    }

    /// Those of them that come from elsewhere: no value that is drawn would do.
    pub fn given_secrets(&self) -> impl Iterator<Item = GivenSecret<'_>> {
        let front_door = self.given_certificate().map(|given| GivenSecret {
            name: &given.key,
            what: "the private key of the front door's certificate",
            user: "load_balancer",
        });
        let store = self.store.as_ref().and_then(Store::external).map(|external| GivenSecret {
            name: &external.key,
            what: "the access key of the object store, as a file of AWS credentials",
            user: "store",
        });
        front_door.into_iter().chain(store)
    }

    /// The names of the secrets that only the platform itself uses, beside those of authorities and clients of Incus: where
    /// they are missing they are drawn.
    pub fn own_secrets(&self) -> BTreeSet<String> {
        let redis = self.redis.iter().flat_map(|_| {
            let users = self.users_of(Service::Redis).into_iter().map(Redis::password_of);
            users.chain([Redis::MEMBER_PASSWORD.to_owned()])
        });
        let store = self
            .store
            .iter()
            .filter(|store| store.cluster().is_some())
            .flat_map(|store| store.users().into_iter().map(Store::key_of).chain([Store::CLUSTER_KEY.to_owned()]));
        let postgres = self.postgres.iter().flat_map(|postgres| {
            let own = [Postgres::MONITOR_PASSWORD, Postgres::REPLICATION_PASSWORD, Postgres::POOLER_PASSWORD];
            let of_users = postgres.databases.iter().flat_map(|database| &database.users);
            let of_databases =
                postgres.databases.iter().map(|database| Postgres::migration_password_of(&database.name));
            let of_backups = postgres.backup.iter().map(|_| Backup::PASSPHRASE.to_owned());
            let own = own.into_iter().map(str::to_owned).chain(of_databases).chain(of_backups);
            own.chain(of_users.map(|user| Postgres::password_of(user)))
        });
        redis.chain(store).chain(postgres).collect()
    }

    /// The components, and the groups of plain instances, that use a service.
    pub fn users_of(&self, service: Service) -> BTreeSet<&str> {
        let components = self.components.iter().filter(|component| component.uses.contains(&service));
        let groups = self.instances.iter().filter_map(|instance| match &instance.role {
            Role::Plain { group, uses } if uses.contains(&service) => Some(group.as_str()),
            _ => None,
        });
        components.map(|component| component.name.as_str()).chain(groups).collect()
    }

    /// The service is open to an instance.
    pub fn uses(&self, instance: &Instance, service: Service) -> bool {
        match &instance.role {
            Role::Component { component, .. } => {
                self.component(component).is_some_and(|component| component.uses.contains(&service))
            }
            Role::Plain { uses, .. } => uses.contains(&service),
            Role::Edge => service == Service::Store,
            Role::Postgres => service == Service::Store && self.backup().is_some(),
            _ => false,
        }
    }

    pub fn redis_members(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.role == Role::Redis)
    }

    /// Where PostgreSQL is backed up to, where it is.
    pub fn backup(&self) -> Option<&Backup> {
        self.postgres.as_ref()?.backup.as_ref()
    }

    pub fn postgres_nodes(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.role == Role::Postgres)
    }

    pub fn postgres_monitor(&self) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.role == Role::PostgresMonitor)
    }

    pub fn poolers(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.role == Role::Pooler)
    }

    /// The nodes that keep the object store's data, in the order of their numbers.
    pub fn store_nodes(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.role == Role::Store)
    }

    /// Its nodes, and its witness where it has one: those that decide by majority.
    pub fn store_members(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| matches!(instance.role, Role::Store | Role::StoreWitness))
    }

    pub fn edges(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.role == Role::Edge)
    }

    /// The front door's certificate, where whoever runs the platform brings it.
    pub fn given_certificate(&self) -> Option<&GivenCertificate> {
        match &self.load_balancer.tls.as_ref()?.certificate {
            FrontCertificate::Given(given) => Some(given),
            FrontCertificate::Own { .. } => None,
        }
    }

    /// The instance that works on its own, where the platform has one.
    pub fn ops_instance(&self) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.role == Role::Ops)
    }

    pub fn load_balancers(&self) -> impl Iterator<Item = &Instance> {
        // They are the first, and everybody asks for them.
        self.instances.iter().take_while(|instance| instance.role == Role::LoadBalancer)
    }

    /// The colours that exist: both, or none at all (`[None]`) under `multi-instance`.
    pub fn colours(&self) -> &'static [Option<Colour>] {
        match self.load_balancer.topology {
            Topology::BlueGreen => &[Some(Colour::Blue), Some(Colour::Green)],
            Topology::MultiInstance => &[None],
        }
    }
}
