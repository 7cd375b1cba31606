//! The platform file as it is written. The doc comments here are what an editor shows beside a key.
//!
//! Whatever the schema says is required is an `Option` here, and addresses are strings: a file with mistakes is read
//! as far as it goes, so that all of its mistakes are reported at once.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::platform::{ComponentKind, PoolDriver, Topology, Transport};
use crate::services::{Detection, FailoverDetection, Service, WhenFull};

/// A platform: its hosts, its load balancers, its software. `env/NAME.toml` beside this file overlays it for one
/// environment: tables are merged key by key, all other values are replaced.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Bascule platform file")]
pub(crate) struct File {
    /// The platform's name: lower-case letters, digits and hyphens.
    #[schemars(required, length(max = 40), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"), extend("patternErrorMessage" = "a name has lower-case letters, digits and inner hyphens, a letter first"), example = &"shop")]
    pub(crate) name: Option<String>,
    /// What may be lost without the platform being lost.
    #[serde(default)]
    pub(crate) survives: Survives,
    /// The Incus server or cluster that the instances live on.
    #[serde(default)]
    pub(crate) incus: Incus,
    /// The network of the instances: one bridge and one subnet for each environment.
    #[schemars(required)]
    pub(crate) network: Option<Network>,
    /// Who may log in to the instances.
    #[schemars(required)]
    pub(crate) ssh: Option<Ssh>,
    /// The Incus servers, by name: the members of the cluster, and what `bascule host up` sets up. May be left out for a
    /// single server that is set up already.
    #[serde(default)]
    pub(crate) hosts: BTreeMap<String, Host>,
    /// Where releases come from and how long they may take.
    #[schemars(required)]
    pub(crate) release: Option<Release>,
    /// The instances that all traffic goes through.
    #[serde(default)]
    pub(crate) load_balancer: LoadBalancer,
    /// The pieces of your software, by name.
    #[serde(default)]
    pub(crate) component: BTreeMap<String, Component>,
    /// Redis with Sentinel: data in memory, kept by three members or more.
    pub(crate) redis: Option<Redis>,
    /// PostgreSQL, which fails over by itself, behind poolers.
    pub(crate) postgres: Option<Postgres>,
    /// The object store, which speaks S3: any two of its four nodes may be lost.
    pub(crate) store: Option<Store>,
    /// The edge cache: serves what a bucket of the store holds, by signed URLs.
    pub(crate) edge: Option<Edge>,
    /// Plain instances for whatever you do there, by the group's name.
    #[serde(default)]
    pub(crate) group: BTreeMap<String, Group>,
    /// An instance that renews certificates by itself, every day. It needs an `[incus] address`.
    pub(crate) ops: Option<Ops>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Survives {
    /// The loss of any one instance. Nothing is asked of the hosts.
    #[default]
    Instance,
    /// The loss of any one host and of all that shares its failure domain: no two members of a group may share one.
    Host,
}

/// The Incus server or cluster that the instances live on.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Incus {
    /// The Incus project that holds everything of this environment. Default: `PLATFORM-ENVIRONMENT`.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"), extend("patternErrorMessage" = "a name has lower-case letters, digits and inner hyphens, a letter first"), example = &"shop-staging")]
    pub(crate) project: Option<String>,
    /// The daemon's unix socket. Default, without an `address`: `/var/lib/incus/unix.socket`.
    #[schemars(regex(pattern = "^/"), example = &"/var/lib/incus/unix.socket")]
    pub(crate) socket: Option<String>,
    /// Where a daemon elsewhere listens for HTTPS: its IPv4 address, with the port where that is not 8443.
    #[schemars(example = &"192.0.2.10:8443")]
    pub(crate) address: Option<String>,
    /// With `address`: the file with the daemon's own certificate, which `bascule host up` writes where it is missing. Its
    /// path is relative to the file that names it. No secret: commit it.
    #[schemars(length(min = 1), example = &"staging.incus.pem")]
    pub(crate) server_certificate_file: Option<String>,
    /// With `address`: the file with the certificate that the daemon trusts, for this environment's project only.
    /// `bascule host up` makes it where it is missing, with its key, the secret `bascule/incus/client.key`. No secret: commit
    /// it.
    #[schemars(length(min = 1), example = &"staging.client.pem")]
    pub(crate) client_certificate_file: Option<String>,
    /// The storage pool for roots and volumes.
    #[schemars(length(min = 1))]
    pub(crate) pool: String,
}

/// The network of the instances.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    /// The bridge's name: a Linux interface, so at most 15 characters. Default: `PLATFORM-ENVIRONMENT`.
    #[schemars(regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"), extend("patternErrorMessage" = "a name has lower-case letters, digits and inner hyphens, a letter first"), example = &"shop-staging")]
    pub(crate) bridge: Option<String>,
    /// The environment's own IPv4 subnet; its first address is the bridge.
    #[schemars(required, example = &"10.20.0.0/24")]
    pub(crate) subnet: Option<String>,
}

/// Who may log in to the instances.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ssh {
    /// The IPv4 networks and addresses that may reach the SSH servers.
    #[schemars(required, extend("examples" = [["10.20.0.0/24"]]))]
    pub(crate) allow_from: Option<Vec<String>>,
    /// The operators' OpenSSH public keys.
    #[serde(default)]
    pub(crate) authorized_keys: Vec<String>,
    /// A file with more public keys, one on each line; its path is relative to the file that names it.
    #[schemars(length(min = 1), example = &"operators.pub")]
    pub(crate) authorized_keys_file: Option<String>,
}

/// An Incus server: a member of the cluster, or the only one.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Host {
    /// What fails together: hosts that share a rack or a power supply have the same. Default: the host's own name.
    #[schemars(length(min = 1), example = &"rack-1")]
    pub(crate) failure_domain: Option<String>,
    /// The machine's own IPv4 address. With it, `bascule host up` makes the machine an Incus server: a bare Debian 12 or 13
    /// is enough.
    #[schemars(example = &"192.0.2.10")]
    pub(crate) address: Option<String>,
    /// With `address`: how the machine is reached. Default: `ssh`, as root.
    pub(crate) transport: Option<Transport>,
    /// With `address`: what the storage pool is made of, where Incus has none. Default: `btrfs`.
    pub(crate) pool_driver: Option<PoolDriver>,
    /// With `address`: what the storage pool is made on, where Incus has none: an empty block device, or, with `btrfs` where
    /// that is the machine's own file system, `/var/lib/incus/storage-pools/POOL`. Default: a loop file.
    #[schemars(regex(pattern = "^(/[A-Za-z0-9._:-]+)+$"), extend("patternErrorMessage" = "a path is absolute, of letters, digits and ._/:-"), example = &"/dev/disk/by-id/nvme-eui.1")]
    pub(crate) pool_source: Option<String>,
    /// With `address`: how large the pool's loop file may grow. What is not written takes no room. Default: `100GiB`.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,5}GiB$"), extend("patternErrorMessage" = "a size is a whole number of GiB"), example = &"200GiB")]
    pub(crate) pool_size: Option<String>,
}

/// Where releases come from and how long they may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// The folder that holds `COMMIT/COMPONENT.tar.gz`, relative to the file that names it.
    #[schemars(required, length(min = 1), example = &"artifacts")]
    pub(crate) artifacts: Option<String>,
    /// How many seconds an old colour may keep its sessions once the colour is needed again.
    #[serde(default = "default_60")]
    #[schemars(range(min = 0, max = 86_400))]
    pub(crate) drain_timeout_s: u32,
    /// How many seconds a replica of a new release may take to become healthy.
    #[serde(default = "default_60")]
    #[schemars(range(min = 1, max = 3_600))]
    pub(crate) health_timeout_s: u32,
}

/// The instances that all traffic goes through.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct LoadBalancer {
    /// How many there are.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) instances: u32,
    /// How a release takes over.
    pub(crate) topology: Topology,
    /// The port that serves traffic.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: u16,
    /// Concurrent connections that each load balancer accepts.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub(crate) connections_max: u32,
    /// The virtual address that clients use, inside the subnet: of two load balancers or more, one that is well holds it.
    #[schemars(example = &"10.20.0.9")]
    pub(crate) address: Option<String>,
    /// HTTPS at the front door; `port` then only sends clients there. Default: none, clients speak plain HTTP.
    pub(crate) tls: Option<Tls>,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// HTTPS at the front door.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The port that serves HTTPS.
    #[serde(default = "default_443")]
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: u16,
    /// The certificate and its intermediates, PEM, its own first; the path is relative to the file that names it. You
    /// renew it. Either this or `names`.
    #[schemars(length(min = 1), example = &"front.pem")]
    pub(crate) certificate_file: Option<String>,
    /// The host names by which clients come, beside the address: the environment's own authority issues the certificate,
    /// and `up` renews it. Clients have to trust `env/NAME.ca.pem`. Either this or `certificate_file`.
    #[serde(default)]
    #[schemars(inner(length(min = 1)), extend("examples" = [["shop.example"]]))]
    pub(crate) names: Vec<String>,
    /// With `certificate_file`: the name of the secret that is its private key, PEM.
    #[serde(default = "default_front_key")]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"), extend("patternErrorMessage" = "a secret's name has lower-case letters, digits and `_`, a letter first"), example = &"front_key")]
    pub(crate) key: String,
}

/// A piece of your software.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Component {
    /// A program, or files.
    #[schemars(required)]
    pub(crate) kind: Option<ComponentKind>,
    /// How many replicas run it (under `blue-green`: of each colour).
    #[serde(default = "default_2")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) replicas: u32,
    /// The port that its replicas listen on. Default for `static`: 443.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: Option<u16>,
    /// Whether the program speaks TLS on its port, with the certificate and key in the file that the environment variable
    /// `TLS_CERTIFICATE` names. What is `static` always does.
    #[serde(default)]
    pub(crate) tls: bool,
    /// The path prefixes that it answers.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^/[A-Za-z0-9._~/%+-]*$")), extend("patternErrorMessage" = "a prefix has letters, digits and ._~/%+-", "examples" = [["/api/"]]))]
    pub(crate) routes: Vec<String>,
    /// Whether it answers everything that no route claims. Exactly one component does.
    #[serde(default)]
    pub(crate) default: bool,
    /// How requests are spread over its replicas.
    #[serde(default)]
    pub(crate) balance: Balance,
    /// With `path-segment`: which segment of the path, counted from 1, chooses the replica.
    #[schemars(range(min = 1, max = 16))]
    pub(crate) hash_segment: Option<u8>,
    /// The path that answers 200 while a replica may be sent requests. Default for `static`: `/__nginx_alive`.
    #[schemars(regex(pattern = r"^/[A-Za-z0-9._~/%+=&?-]*$"), extend("patternErrorMessage" = "a path has letters, digits and ._~/%+=&?-"), example = &"/health/ready")]
    pub(crate) health: Option<String>,
    /// The path whose body holds the commit. Default for `static`: `/version.json`.
    #[schemars(regex(pattern = r"^/[A-Za-z0-9._~/%+=&?-]*$"), extend("patternErrorMessage" = "a path has letters, digits and ._~/%+=&?-"), example = &"/version")]
    pub(crate) version: Option<String>,
    /// How many seconds a tunnel (a WebSocket, a long download) may be idle.
    #[serde(default = "default_3600")]
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) tunnel_timeout_s: u32,
    /// How many seconds a replica may take to finish its requests after SIGTERM.
    #[serde(default = "default_30")]
    #[schemars(range(min = 1, max = 3_600))]
    pub(crate) stop_timeout_s: u32,
    /// Environment variables of the program. Secrets do not belong here.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Names of secrets that the program reads as systemd credentials; their values are in `env/NAME.secrets.age`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^[a-z][a-z0-9_]*$")), extend("uniqueItems" = true, "patternErrorMessage" = "a secret's name has lower-case letters, digits and `_`, a letter first", "examples" = [["session_key"]]))]
    pub(crate) secrets: Vec<String>,
    /// The platform's services that it uses: they let it in, and it is told where they are.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true, "examples" = [["redis"]]))]
    pub(crate) uses: Vec<Service>,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Balance {
    /// One replica after the other.
    #[default]
    RoundRobin,
    /// Round robin, with a cookie that keeps a client on its replica.
    Sticky,
    /// A consistent hash of one segment of the path (see `hash_segment`): the same path, the same replica.
    PathSegment,
}

/// Redis, with a Sentinel beside each member: when the master is lost, they make a replica the master.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Redis {
    /// How many members there are: an odd number, since Sentinels decide by majority.
    #[schemars(range(min = 3, max = 9))]
    pub(crate) instances: u32,
    /// How large the volume of each member is. It has to hold the data twice: the log of changes is rewritten beside itself.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,8}(MiB|GiB)$"), extend("patternErrorMessage" = "a size is a whole number of MiB or GiB"), example = &"8GiB")]
    pub(crate) volume: String,
    /// How much data each member may hold in memory; the program itself and copies for replicas come on top.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,8}(MiB|GiB)$"), extend("patternErrorMessage" = "a size is a whole number of MiB or GiB"), example = &"512MiB")]
    pub(crate) data_max: String,
    /// What happens when `data_max` is reached.
    pub(crate) when_full: WhenFull,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// PostgreSQL: a primary, and standbys that have all that was committed. When the primary is lost, a monitor makes a standby the
/// primary, and poolers, through which everybody comes, go on there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Postgres {
    /// How many nodes there are. With 2, commits are on one node only while the other is away; with 3, they are always on two.
    #[schemars(range(min = 2, max = 3))]
    pub(crate) instances: u32,
    /// How large the volume of each node is: data, and the log of changes, which may take up to a quarter of it.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,8}GiB$"), extend("patternErrorMessage" = "a size is a whole number of GiB"), example = &"50GiB")]
    pub(crate) volume: String,
    /// Which of several formations of nodes serves: one that `bascule restore` made. Without it, the first one.
    #[schemars(regex(pattern = "^[a-z][a-z0-9]{0,11}$"), extend("patternErrorMessage" = "the name of a formation has lower-case letters and digits, a letter first, 12 at most"), example = &"r1")]
    pub(crate) formation: Option<String>,
    /// How soon a primary that does not answer is replaced.
    pub(crate) detection: FailoverDetection,
    /// Where the load balancers serve the pool, to those whom a database is open to.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: u16,
    /// The databases, by name.
    pub(crate) database: BTreeMap<String, Database>,
    /// Backups to the object store. Without it there are none.
    pub(crate) backup: Option<Backup>,
    /// Where the monitor is, `pg-monitor`, and what it may use.
    pub(crate) monitor: PostgresMonitor,
    /// The poolers.
    pub(crate) pooler: Pooler,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// A database.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Database {
    /// The components and groups that read and write its rows. They say `uses = ["postgres"]`, and each has one database.
    #[schemars(extend("uniqueItems" = true, "examples" = [["api"]]))]
    pub(crate) users: Vec<String>,
    /// Those of the components among them that also change its shape: they get a second password.
    #[schemars(extend("uniqueItems" = true, "examples" = [["api"]]))]
    pub(crate) migrators: Vec<String>,
    /// The extensions that it has. They come with PostgreSQL.
    #[schemars(inner(regex(pattern = "^[a-z][a-z0-9_-]{0,62}$")), extend("uniqueItems" = true, "patternErrorMessage" = "the name of an extension has lower-case letters, digits, `_` and `-`", "examples" = [["pg_trgm"]]))]
    pub(crate) extensions: Vec<String>,
    /// How many rows a table has at least: a drill that restores a backup counts them. A table of another schema than `public`
    /// is `schema.table`.
    #[schemars(extend("examples" = [{"orders": 1000}]))]
    pub(crate) expect: BTreeMap<String, u64>,
}

/// Backups of PostgreSQL, by pgBackRest, to a bucket of the object store: a full one every Sunday at 02:00 UTC, what differs from it
/// every other day, and the log of changes all the time. The restore is to any moment in between.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {
    /// The bucket that they go to: one that nobody else uses.
    #[schemars(required, length(min = 1), example = &"backups")]
    pub(crate) bucket: Option<String>,
    /// How many full backups are kept, and with each what was made after it. What is older goes, the log with it.
    #[serde(default = "default_4")]
    #[schemars(range(min = 1, max = 520))]
    pub(crate) keep_full: u32,
    /// How many differential backups are kept. Any moment since the oldest full one can be restored without them, too; it takes
    /// longer.
    #[serde(default = "default_7")]
    #[schemars(range(min = 1, max = 520))]
    pub(crate) keep_differential: u32,
}

/// The monitor of PostgreSQL: it decides which node is the primary. Without it everything goes on as it is.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct PostgresMonitor {
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// The poolers before PostgreSQL: each lends up to 60 connections of a database to 1,000 clients.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Pooler {
    /// How many there are.
    #[schemars(range(min = 1, max = 4))]
    pub(crate) instances: u32,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// The object store, which speaks S3. Of each object, every node keeps one part; `parity` of them may be lost, and what they
/// kept is worked out from the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Store {
    /// Who runs it: the platform itself, or somebody else.
    pub(crate) engine: StoreEngine,
    /// How many nodes keep data. Where their number is even, one more instance, a witness, keeps none and has a voice: the
    /// last of the `addresses` and of the `hosts`.
    #[schemars(range(min = 3, max = 15))]
    pub(crate) instances: u32,
    /// How many nodes may be lost at once, with every object still read and written. The same part of the room is not
    /// yours: with 4 nodes and a parity of 2, the half.
    #[schemars(range(min = 1, max = 4))]
    pub(crate) parity: u32,
    /// How large the volume of each node is.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,8}GiB$"), extend("patternErrorMessage" = "a size is a whole number of GiB"), example = &"200GiB")]
    pub(crate) volume: String,
    /// How soon a node that does not answer is taken for lost.
    pub(crate) detection: Detection,
    /// Where the load balancers serve it, by HTTPS, to those whom it is open to.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: u16,
    /// The storage class that objects go to after a bucket's `cold_after_days`: one that you have made, see the book. Default:
    /// none, and they stay where they are.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]{0,62}$"), extend("patternErrorMessage" = "a storage class has capital letters, digits and `_`, a letter first"), example = &"COLD")]
    pub(crate) cold_tier: Option<String>,
    /// With `engine = "external"`: where it answers, a URL without a path.
    #[schemars(regex(pattern = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"), extend("patternErrorMessage" = "an endpoint is a URL without a path, https://HOST or https://HOST:PORT"), example = &"https://s3.example.com")]
    pub(crate) endpoint: Option<String>,
    /// With `engine = "external"`: its region.
    #[schemars(regex(pattern = "^[a-z0-9-]+$"), extend("patternErrorMessage" = "a region has lower-case letters, digits and hyphens"), example = &"eu-central-1")]
    pub(crate) region: Option<String>,
    /// With `engine = "external"`: the name of the secret that is the access key, a file of AWS credentials.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"), extend("patternErrorMessage" = "a secret's name has lower-case letters, digits and `_`, a letter first"), example = &"store_key")]
    pub(crate) key: Option<String>,
    /// The buckets, by name.
    pub(crate) bucket: BTreeMap<String, Bucket>,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StoreEngine {
    /// The platform's own: Ceph's object gateway.
    #[default]
    Ceph,
    /// Any other store that speaks S3, at an `endpoint`.
    External,
}

/// A bucket of the object store.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bucket {
    /// The components and groups that may read and write it. They say `uses = ["store"]`.
    #[schemars(extend("uniqueItems" = true, "examples" = [["api"]]))]
    pub(crate) users: Vec<String>,
    /// Those that may only read it.
    #[schemars(extend("uniqueItems" = true, "examples" = [["web"]]))]
    pub(crate) readers: Vec<String>,
    /// Whether what is overwritten or deleted is kept as an older version.
    pub(crate) versioning: bool,
    /// After how many days older versions go.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) keep_noncurrent_days: u32,
    /// After how many days the parts of an upload that was never completed go.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) abort_uploads_days: u32,
    /// After how many days objects go. Default: never.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) expire_days: Option<u32>,
    /// After how many days objects go to the store's `cold_tier`, where it names one. Default: never.
    #[schemars(range(min = 1, max = 36_500))]
    pub(crate) cold_after_days: Option<u32>,
    /// The most that it may hold. Default: no limit.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,8}(MiB|GiB)$"), extend("patternErrorMessage" = "a size is a whole number of MiB or GiB"), example = &"100GiB")]
    pub(crate) quota: Option<String>,
    /// The origins whose pages may use it by themselves (CORS).
    #[schemars(inner(regex(pattern = r"^https?://[A-Za-z0-9.*-]+(:[0-9]{1,5})?$")), extend("uniqueItems" = true, "patternErrorMessage" = "an origin is a URL without a path", "examples" = [["https://shop.example"]]))]
    pub(crate) cors_origins: Vec<String>,
}

/// The edge cache: nginx in front of a bucket of the object store. It keeps what was asked for in the last seven days, and serves
/// it when the store is not there, too. Every URL is signed.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Edge {
    /// How many there are. Each object is kept by one of them.
    #[serde(default = "default_2")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) instances: u32,
    /// The bucket that it serves, and may only read.
    #[schemars(required, length(min = 1), example = &"media")]
    pub(crate) bucket: Option<String>,
    /// The path prefixes that it answers. What comes after one is the key of an object.
    #[schemars(required, length(min = 1), inner(regex(pattern = r"^(/[A-Za-z0-9_~+-][A-Za-z0-9._~+-]*)+/$")), extend("uniqueItems" = true, "patternErrorMessage" = "a prefix has letters, digits and ._~+- between slashes, one at each end, and no dot after a slash", "examples" = [["/media/"]]))]
    pub(crate) routes: Option<Vec<String>>,
    /// The name of the secret by which URLs are signed. A component that signs has it among its `secrets`.
    #[schemars(required, regex(pattern = "^[a-z][a-z0-9_]*$"), extend("patternErrorMessage" = "a secret's name has lower-case letters, digits and `_`, a letter first"), example = &"media_key")]
    pub(crate) signing_key: Option<String>,
    /// The most that each may keep on its disk. What was not asked for longest goes first. To go on without the store for seven
    /// days it has to hold what is asked for in seven days.
    #[serde(default = "default_cache_max")]
    #[schemars(regex(pattern = "^[1-9][0-9]{0,8}(MiB|GiB)$"), extend("patternErrorMessage" = "a size is a whole number of MiB or GiB"), example = &"100GiB")]
    pub(crate) cache_max: String,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// Plain instances with the common role only.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Group {
    /// How many there are.
    #[schemars(required, range(min = 1, max = 100))]
    pub(crate) instances: Option<u32>,
    /// Whether the group elects a leader, and so needs an odd number of at least 3.
    #[serde(default)]
    pub(crate) quorum: bool,
    /// The platform's services that are open to it.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true, "examples" = [["redis"]]))]
    pub(crate) uses: Vec<Service>,
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// The instance that does by itself what has to be done again and again, with an age key and a client certificate of its
/// own.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Ops {
    /// `addresses` is required: the firewall of the host admits this address to Incus before the instance is made.
    #[serde(flatten)]
    pub(crate) placement: Placement,
}

/// Where the instances of a group are and what they may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Placement {
    /// The hosts they are placed on, in turn. Default: all hosts, those of different failure domains first.
    #[schemars(length(min = 1), extend("uniqueItems" = true, "examples" = [["host-1", "host-2"]]))]
    pub(crate) hosts: Option<Vec<String>>,
    /// Pinned addresses, one for each instance (blue before green). Default: addresses are given and never move.
    #[schemars(length(min = 1), extend("examples" = [["10.20.0.2"]]))]
    pub(crate) addresses: Option<Vec<String>>,
    /// Memory that each may use. Default: no limit.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,8}(MiB|GiB)$"), extend("patternErrorMessage" = "a size is a whole number of MiB or GiB"), example = &"512MiB")]
    pub(crate) memory: Option<String>,
    /// CPUs that each may use. Default: no limit.
    #[schemars(range(min = 1, max = 1_024))]
    pub(crate) cpus: Option<u32>,
}

impl Default for Incus {
    fn default() -> Self {
        Self {
            project: None,
            socket: None,
            address: None,
            server_certificate_file: None,
            client_certificate_file: None,
            pool: "default".to_owned(),
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            instances: 3,
            volume: "8GiB".to_owned(),
            data_max: "512MiB".to_owned(),
            when_full: WhenFull::Refuse,
            placement: Placement::default(),
        }
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            instances: 2,
            volume: "20GiB".to_owned(),
            formation: None,
            detection: FailoverDetection::Fast,
            port: 6_432,
            database: BTreeMap::new(),
            backup: None,
            monitor: PostgresMonitor::default(),
            pooler: Pooler::default(),
            placement: Placement::default(),
        }
    }
}

impl Default for Pooler {
    fn default() -> Self {
        Self { instances: 2, placement: Placement::default() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            engine: StoreEngine::Ceph,
            instances: 4,
            parity: 2,
            volume: "20GiB".to_owned(),
            detection: Detection::Fast,
            port: 9_000,
            cold_tier: None,
            endpoint: None,
            region: None,
            key: None,
            bucket: BTreeMap::new(),
            placement: Placement::default(),
        }
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            readers: Vec::new(),
            versioning: false,
            keep_noncurrent_days: 30,
            abort_uploads_days: 7,
            expire_days: None,
            cold_after_days: None,
            quota: None,
            cors_origins: Vec::new(),
        }
    }
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            instances: 1,
            topology: Topology::BlueGreen,
            port: 80,
            connections_max: 100_000,
            address: None,
            tls: None,
            placement: Placement::default(),
        }
    }
}

fn default_2() -> u32 {
    2
}

fn default_4() -> u32 {
    4
}

fn default_7() -> u32 {
    7
}

fn default_cache_max() -> String {
    "10GiB".to_owned()
}

fn default_30() -> u32 {
    30
}

fn default_60() -> u32 {
    60
}

fn default_443() -> u16 {
    443
}

fn default_3600() -> u32 {
    3_600
}

fn default_front_key() -> String {
    "front_key".to_owned()
}
