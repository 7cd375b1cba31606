//! The services that a platform runs for its software.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Redis with Sentinel: its members are the instances of role [`Role::Redis`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redis {
    /// The size of each member's volume, as Incus writes it: `8GiB`.
    pub volume: String,
    /// The most that each may hold in memory, in bytes.
    pub data_max_bytes: u64,
    pub when_full: WhenFull,
}

impl Redis {
    /// The secret by which members, Redis and Sentinels, know each other.
    pub const MEMBER_PASSWORD: &str = "bascule/redis/member";

    /// The secret by which a component, or a group of instances, comes to Redis, as the user of its name.
    pub fn password_of(user: &str) -> String {
        format!("bascule/redis/user/{user}")
    }
}

/// What Redis does when its memory is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Writes are refused, nothing is lost.
    #[default]
    Refuse,
    /// What was not used for longest goes, of those keys that end by themselves.
    EvictExpiring,
    /// What was not used for longest goes: Redis is a cache.
    Evict,
}

/// A service of the platform that software can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    Redis,
    /// The object store.
    Store,
    /// A database of PostgreSQL.
    Postgres,
}

/// PostgreSQL: its nodes are the instances of role [`Role::Postgres`](crate::Role::Postgres), which decide nothing by themselves:
/// the monitor does, and poolers are what software comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postgres {
    /// The size of each node's volume, as Incus writes it: `20GiB`.
    pub volume: String,
    /// The same in bytes.
    pub volume_bytes: u64,
    /// The memory that each node has, in bytes, where the file says so.
    pub memory_bytes: Option<u64>,
    /// The formation that serves; without a name, the first one.
    pub formation: Option<String>,
    pub detection: FailoverDetection,
    /// Where the load balancers serve the pool.
    pub port: u16,
    /// In the order of their names.
    pub databases: Vec<Database>,
    pub backup: Option<Backup>,
}

impl Postgres {
    /// The secret by which nodes come to the monitor.
    pub const MONITOR_PASSWORD: &str = "bascule/postgres/monitor";
    /// The secret by which standbys come to the primary.
    pub const REPLICATION_PASSWORD: &str = "bascule/postgres/replication";
    /// The secret by which poolers look who is the primary.
    pub const POOLER_PASSWORD: &str = "bascule/postgres/pooler";

    /// What the names of a formation's nodes begin with, before a hyphen and a number.
    pub fn node_prefix(formation: Option<&str>) -> String {
        formation.map_or_else(|| "pg".to_owned(), |formation| format!("pg-{formation}"))
    }

    /// The secret by which a component, or a group of instances, comes to its database, as the user of its name.
    pub fn password_of(user: &str) -> String {
        format!("bascule/postgres/user/{user}")
    }

    /// The secret by which the shape of a database is changed.
    pub fn migration_password_of(database: &str) -> String {
        format!("bascule/postgres/migrate/{database}")
    }

    /// The database that is open to somebody.
    pub fn database_of(&self, user: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.users.contains(user))
    }
}

/// A database, with those to whom it is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Also the name of its owner, which nobody logs in as (`NAME_owner`), and of who changes its shape (`NAME_migrate`).
    pub name: String,
    /// Who reads and writes its rows.
    pub users: BTreeSet<String>,
    /// Those of them that also change its shape.
    pub migrators: BTreeSet<String>,
    pub extensions: BTreeSet<String>,
    /// How many rows a table has at least, by its name, `table` or `schema.table`.
    #[serde(default)]
    pub expect: BTreeMap<String, u64>,
}

/// Backups of PostgreSQL, and of its log of changes, to a bucket of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Nobody else uses it.
    pub bucket: String,
    /// So many full backups are kept, each with what was made after it.
    pub keep_full: u32,
    /// So many differential backups are kept.
    pub keep_differential: u32,
}

impl Backup {
    /// The name of those who write them, the nodes, among the users of the store.
    pub const WRITER: &str = "postgres";
    /// The name of those who only read them, to restore.
    pub const READER: &str = "postgres-restore";
    /// The secret by which everything in the bucket is encrypted.
    pub const PASSPHRASE: &str = "bascule/postgres/backup";
}

/// How soon a primary that does not answer is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailoverDetection {
    /// Writes go on after about 5 s; a network or a machine that stutters for 2 s costs a failover.
    #[default]
    Fast,
    /// Writes go on after about 10 s; what stutters for 4 s costs a failover.
    Normal,
    /// Writes go on after about a minute; for networks and machines that stand still for many seconds.
    Safe,
}

/// The object store, which speaks S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    pub engine: StoreEngine,
    /// In the order of their names.
    pub buckets: Vec<Bucket>,
}

impl Store {
    /// The secret by which the store's own parts know each other.
    pub const CLUSTER_KEY: &str = "bascule/store/cluster";
    const USER: &str = "bascule/store/user/";

    /// The secret by which a component, or a group of instances, comes to the store: an access key and its secret, as a
    /// file of AWS credentials.
    pub fn key_of(user: &str) -> String {
        format!("{}{user}", Self::USER)
    }

    /// Whether a secret is such a key.
    pub fn is_key(secret: &str) -> bool {
        secret.starts_with(Self::USER)
    }

    /// Everybody to whom a bucket is open.
    pub fn users(&self) -> BTreeSet<&str> {
        self.buckets.iter().flat_map(|bucket| bucket.access.keys()).map(String::as_str).collect()
    }

    /// The buckets that are open to somebody.
    pub fn buckets_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Bucket> {
        self.buckets.iter().filter(move |bucket| bucket.access.contains_key(user))
    }

    /// The platform's own store, unless it is somebody else's.
    pub fn cluster(&self) -> Option<&StoreCluster> {
        match &self.engine {
            StoreEngine::Ceph(cluster) => Some(cluster),
            StoreEngine::External(_) => None,
        }
    }

    /// Somebody else's store, where it is one.
    pub fn external(&self) -> Option<&ExternalStore> {
        match &self.engine {
            StoreEngine::Ceph(_) => None,
            StoreEngine::External(external) => Some(external),
        }
    }
}

/// The server behind the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreEngine {
    Ceph(StoreCluster),
    External(ExternalStore),
}

/// The platform's own store: its nodes are the instances of role [`Role::Store`](crate::Role::Store).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCluster {
    /// The size of each node's volume, as Incus writes it: `20GiB`.
    pub volume: String,
    /// The same in bytes.
    pub volume_bytes: u64,
    /// How many nodes may be lost. Of each object, the others keep one part each.
    pub parity: usize,
    pub detection: Detection,
    /// Where the load balancers serve it.
    pub port: u16,
}

/// How soon a node that does not answer is taken for lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// After about 8 s in which requests wait; a network that stutters for 5 s costs a recovery.
    #[default]
    Fast,
    /// After about 25 s.
    Normal,
}

/// A store that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalStore {
    /// A URL without a path.
    pub endpoint: String,
    pub region: String,
    /// The secret that is the access key, for all who use the store.
    pub key: String,
}

/// A bucket of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    pub name: String,
    /// Who may use it.
    pub access: BTreeMap<String, Access>,
    /// Whether what is overwritten or deleted is kept as an older version.
    pub versioning: bool,
    /// After so many days older versions go.
    pub keep_noncurrent_days: u32,
    /// After so many days the parts of an upload that was never completed go.
    pub abort_uploads_days: u32,
    /// After so many days objects go.
    pub expire_days: Option<u32>,
    /// Where objects go after how many days.
    pub cold: Option<Cold>,
    /// The most that it may hold, in bytes.
    pub quota_bytes: Option<u64>,
    /// The origins whose pages may use it.
    pub cors_origins: Vec<String>,
}

/// When objects go to another storage class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cold {
    pub after_days: u32,
    pub tier: String,
}

/// What somebody may do in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    Read,
    /// And write and delete.
    Write,
}

/// The edge cache, in front of a bucket of the store: its instances are those of role [`Role::Edge`](crate::Role::Edge).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    pub bucket: String,
    /// Path prefixes of the front door, each with a slash at both ends: what comes after one is the key of an object.
    pub routes: Vec<String>,
    /// The secret by which URLs are signed.
    pub signing_key: String,
    /// The most that each may keep, in MiB.
    pub cache_max_mib: u64,
}

impl Edge {
    /// Its name among the users of the store, and in HAProxy.
    pub const NAME: &str = "edge";

    /// How large the volume of each is, as Incus writes it: nginx looks every few seconds whether it keeps too much, and
    /// what is just being fetched comes on top.
    pub fn volume(&self) -> String {
        format!("{}MiB", self.cache_max_mib + self.cache_max_mib / 10 + 1024)
    }

    /// Where something is in the store, `/BUCKET/KEY`, by its path at the front door; or the beginning of both.
    pub fn in_store(&self, path: &str) -> Option<String> {
        let key = self.routes.iter().filter_map(|route| path.strip_prefix(route.as_str()));
        key.min_by_key(|key| key.len()).map(|key| format!("/{}/{key}", self.bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_longest_route_is_the_key() {
        let edge = Edge {
            bucket: "tracks".to_owned(),
            routes: vec!["/media/".to_owned(), "/media/live/".to_owned()],
            signing_key: "media_key".to_owned(),
            cache_max_mib: 10 * 1024,
        };
        assert_eq!(edge.in_store("/media/42/1.ts").as_deref(), Some("/tracks/42/1.ts"));
        assert_eq!(edge.in_store("/media/live/1.ts").as_deref(), Some("/tracks/1.ts"));
        assert_eq!(edge.in_store("/media/").as_deref(), Some("/tracks/"));
        assert_eq!(edge.in_store("/other/1.ts"), None);
        assert_eq!(edge.volume(), "12288MiB");
    }
}
