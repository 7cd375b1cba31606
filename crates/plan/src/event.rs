//! Events are the only output of the engine and of releases; `--output json` prints exactly these, one a line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::{Evidence, Outcome};

/// One line of `--output json`. A reader skips types and keys that it does not know: new ones may come with any version,
/// and none changes its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(title = "Bascule event")]
pub enum Event {
    /// The first event of every verb whose platform file is sound.
    Started {
        /// The verb, as it was typed: `up`.
        verb: String,
        /// The platform's name; empty where none was found (`doctor`), or none is meant (`init`, `secrets rekey`).
        platform: String,
        /// The environment's name; empty as the platform's is.
        environment: String,
        /// The version of Bascule.
        version: String,
    },
    /// A phase of the run begins.
    Phase {
        /// A word for programs: `check`, `images`, `apply`, `probe`, `switch`…
        name: String,
        /// The same for people.
        title: String,
    },
    /// Something in Incus around or below the instances was looked at or made.
    Thing {
        /// What it is.
        kind: ThingKind,
        /// Its name in Incus.
        name: String,
        /// What came of it.
        outcome: Outcome,
        /// Why.
        reason: String,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// A step began on an instance.
    StepBegan {
        /// The instance.
        instance: String,
        /// The step, unique on its instance: `GROUP:NAME`.
        step: String,
        /// What it does, for people.
        title: String,
    },
    /// A long step or a phase says what it sees.
    Progress {
        /// The instance, where it is about one.
        instance: Option<String>,
        /// The step, where it is about one.
        step: Option<String>,
        /// What is seen.
        message: String,
    },
    /// A step ended on an instance.
    StepEnded {
        /// The instance.
        instance: String,
        /// The step, unique on its instance: `GROUP:NAME`.
        step: String,
        /// What it does, for people.
        title: String,
        /// What came of it.
        outcome: Outcome,
        /// Why: what differed, or what was found to be right already.
        reason: String,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// What a person needs to understand a failure.
        #[serde(default, skip_serializing_if = "Evidence::is_empty")]
        evidence: Evidence,
    },
    /// A line waits for another line, or for its turn.
    Waiting {
        /// The instance whose line waits.
        instance: String,
        /// The milestone or the lease it waits for.
        r#for: String,
        /// The same for people.
        reason: String,
    },
    /// A line got to a milestone, or holds or gives back a lease.
    Reached {
        /// The instance whose line it is.
        instance: String,
        /// The milestone, or what happened to the lease.
        what: String,
    },
    /// Traffic was moved.
    Switch {
        /// The colour that had the traffic; null before the first release.
        from: Option<String>,
        /// The colour that has it now.
        to: String,
        /// Counts the switches of this environment.
        generation: u64,
        /// The commit that has the traffic now: 40 hex digits.
        commit: String,
    },
    /// A mistake in the platform file.
    Diagnostic {
        /// The file it is in.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: String,
        /// The same for people, with the line of the file.
        rendered: String,
    },
    /// One instance at a glance (`status`).
    Instance(InstanceStatus),
    /// What one colour holds (`status`).
    Colour {
        /// `blue` or `green`; null under `multi-instance`.
        colour: Option<String>,
        /// The release: 40 hex digits.
        commit: String,
        /// `deploying`, `ready` or `failed`.
        state: String,
        /// It has the traffic.
        active: bool,
        /// Counts the switches of this environment.
        generation: u64,
    },
    /// Where clients come in (`status`).
    FrontDoor {
        /// What a client asks, e.g. `https://10.20.0.9`: at the virtual address, or at that of the first load balancer.
        url: String,
        /// The load balancer that holds the virtual address; absent where there is none, or where nobody holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<String>,
        /// When the certificate ends, RFC 3339 in UTC; absent where clients speak plain HTTP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate_expires: Option<String>,
        /// Whole days until then; negative when it has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate_days_left: Option<i64>,
    },
    /// One member of the object store (`store status`).
    StoreNode(StoreNode),
    /// The object store as a whole (`store status`).
    Store(StoreStatus),
    /// A node of PostgreSQL (`pg status`).
    PostgresNode(PostgresNode),
    /// A pooler of PostgreSQL (`pg status`).
    Pooler(PoolerStatus),
    /// A backup of PostgreSQL (`backup list`, `backup now`).
    Backup(Backup),
    /// A stretch of time to whose every moment PostgreSQL can be restored (`backup list`). Times are RFC 3339, UTC.
    RestoreWindow {
        /// Its beginning: the end of a backup.
        from: String,
        /// Its end: when the last piece of the log came to the repository that follows without a gap. What was committed in
        /// the minute before may be in the next one.
        to: String,
    },
    /// Something that a drill looked at (`drill restore`).
    DrillCheck {
        /// What, in a word or two: `restore`, `recovery`, `canary`, `rows of shop.orders`, `amcheck`, `checksums`.
        name: String,
        /// It is as it has to be.
        passed: bool,
        /// What was found.
        detail: String,
    },
    /// What came of a drill (`drill restore`).
    Drill(Drill),
    /// What came out of a restore of PostgreSQL (`restore`).
    Restored(Restored),
    /// Something that somebody has to see to (`store status`, `pg status`).
    Alert {
        /// How soon.
        severity: Severity,
        /// What it is.
        message: String,
    },
    /// Who holds the environment's lock (`status`, `unlock`). Absent while nobody does.
    Lock(LockStatus),
    /// A piece of what a command or a log said on an instance (`exec`, `logs`), or of a text that was asked for.
    Output {
        /// The instance; empty where it is none's.
        instance: String,
        /// Where it was said.
        stream: Stream,
        /// What was said. What is no UTF-8 is replaced in it.
        text: String,
        /// The bytes themselves, for a renderer that hands them on as they are.
        #[serde(skip)]
        bytes: Vec<u8>,
    },
    /// One release or rollback (`history`). Times are RFC 3339, UTC.
    History {
        /// Counted from 1.
        number: u64,
        /// `deploy` or `rollback`.
        verb: String,
        /// The release: 40 hex digits.
        commit: String,
        /// The colour it was put on; null under `multi-instance`.
        colour: Option<String>,
        /// Who ran it: `USER@HOST`.
        who: String,
        /// When it began.
        began: String,
        /// When it ended; null when it runs, or was killed.
        ended: Option<String>,
        /// How it ended, in a word.
        outcome: String,
        /// Why it failed.
        reason: Option<String>,
    },
    /// What `doctor` found about one thing that Bascule needs.
    Finding(Finding),
    /// One secret (`secrets list`).
    Secret {
        /// Its name; what begins with `bascule/` is the platform's own.
        name: String,
        /// The first 8 hex digits of a keyed hash of its value.
        fingerprint: String,
        /// The components that read it; none for what is the platform's own, or of no use.
        used_by: Vec<String>,
    },
    /// One who may read the secrets (`secrets list`).
    Reader {
        /// As `recipients.toml` names it.
        name: String,
        /// The public half of an age key.
        recipient: String,
        /// The file as it is can be read with that key.
        reads: bool,
        /// `recipients.toml` names the key.
        named: bool,
    },
    /// Something a person should know that is no failure.
    Note {
        /// A sentence.
        message: String,
    },
    /// Something failed. The run goes on to its summary.
    Failure(Failure),
    /// The last event of every run.
    Summary(Summary),
}

/// The reason of every step of an instance that is not there to be asked: all of them follow once it is made.
pub const INSTANCE_FIRST: &str = "the instance is made first";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThingKind {
    /// On this machine (`init`).
    File,
    /// The environment's Incus project.
    Project,
    /// Its bridge.
    Network,
    /// An image that instances are made from.
    Image,
    /// An instance.
    Instance,
    /// A machine that Incus runs on.
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// On standard output.
    Stdout,
    /// On standard error.
    Stderr,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceStatus {
    /// The instance's name.
    pub name: String,
    /// What makes it what it is.
    pub roles: Vec<String>,
    /// Its IPv4 address; empty until it has one.
    pub address: String,
    /// `running`, `stopped`, `frozen` or `absent`.
    pub state: String,
    /// `blue` or `green`; null where it has none.
    pub colour: Option<String>,
    /// The instance's colour has the traffic, or there are no colours.
    pub active: bool,
    /// What it runs: a commit, or the version of its main package.
    pub version: Option<String>,
    /// When the first of its certificates ends, RFC 3339 in UTC; absent where it has none, or could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates_expire: Option<String>,
    /// How many days that is from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates_days_left: Option<i64>,
    /// Every check of its line passed.
    pub healthy: bool,
    /// Why it is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A member of the object store at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreNode {
    /// The instance.
    pub name: String,
    /// It is among the majority that decides.
    pub votes: bool,
    /// It keeps data now; absent of the witness, which never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps_data: Option<bool>,
    /// What its volume has for data, in bytes.
    #[serde(default)]
    pub bytes_total: u64,
    /// How much of that is taken, in bytes.
    #[serde(default)]
    pub bytes_used: u64,
    /// Parts of objects that were found wrong on its disk and were made anew, since it started.
    #[serde(default)]
    pub parts_repaired: u64,
}

/// The object store at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreStatus {
    /// What objects hold, in bytes, without what makes them safe.
    pub bytes_used: u64,
    /// What can be written yet, in bytes, without what makes it safe.
    pub bytes_free: u64,
    /// How many objects there are, as the store cuts them: one of up to 4 MiB each.
    pub objects: u64,
    /// Parts of objects, on all nodes, that should be there and are not.
    pub parts_missing: u64,
    /// Parts that are there, and have to be moved.
    pub parts_misplaced: u64,
    /// Objects of which too few parts are left to read them, until nodes come back.
    pub objects_unfound: u64,
    /// How fast parts are made anew, in bytes a second.
    pub recovering_bytes_per_s: u64,
    /// How many nodes may be lost now, beside those that are away.
    pub may_lose: u64,
}

/// A node of PostgreSQL at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostgresNode {
    /// The instance.
    pub name: String,
    /// What it is, as it last said itself: `primary`, `secondary`, `wait_primary` (it has no standby), `catchingup`… Absent
    /// where the monitor does not answer, or does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What the monitor has it become; the same as `state` while nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// The monitor finds that it answers.
    pub healthy: bool,
    /// It may be written to, as it says itself. Absent where it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
    /// Grows by one with each node that becomes the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// What of the primary's log is not on its disk yet, in bytes. Absent of the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_bytes: Option<u64>,
}

/// A pooler of PostgreSQL at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolerStatus {
    /// The instance.
    pub name: String,
    /// The node that it uses. Absent where it uses none, or none that the monitor knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// A write that came through it just now was kept.
    pub writes: bool,
}

/// A backup of PostgreSQL. Times are RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// Its name in the repository, e.g. `20260104-020312F`.
    pub label: String,
    /// How much is in it.
    pub kind: BackupKind,
    /// When it began.
    pub began: String,
    /// When it was complete: the first moment that it can be restored to.
    pub ended: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The position in the log where it began, e.g. `0/2000028`.
    pub lsn_start: String,
    /// The position in the log where it was complete.
    pub lsn_stop: String,
    /// The first piece of the log that it needs.
    pub wal_start: String,
    /// The last piece of the log that it needs.
    pub wal_stop: String,
    /// How large all databases were, in bytes.
    pub database_bytes: u64,
    /// What it takes in the repository by itself, without the backups that it needs, in bytes.
    pub stored_bytes: u64,
    /// The backups that it goes back to.
    pub needs: Vec<String>,
    /// A page of the database had a wrong checksum when it was copied.
    pub damaged: bool,
}

/// A formation of PostgreSQL that a restore made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// Its name.
    pub formation: String,
    /// The instance that has the data.
    pub node: String,
    /// When the last transaction was committed that is there; RFC 3339, UTC. None, where the log had none after the backup.
    pub last_commit: Option<String>,
    /// The position in the log up to where it was followed.
    pub lsn: String,
    /// How large all databases are, in bytes.
    pub bytes: u64,
}

/// How much is in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// Everything.
    Full,
    /// What differs from the last full one.
    Differential,
    /// What differs from the last one of any kind.
    Incremental,
}

/// What came of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drill {
    /// The backup that was restored.
    pub backup: String,
    /// All that was looked at is as it has to be.
    pub passed: bool,
    /// How long it took, with the making of its instance, in milliseconds.
    pub duration_ms: u64,
    /// How long it took from an empty volume until PostgreSQL answered, in milliseconds. Absent where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_ms: Option<u64>,
    /// What was committed in so many milliseconds before the restore began would have been lost. Primaries write a row every
    /// minute by which that is known, so that it is a minute too much at most. Absent where no such row is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
    /// How large the databases are that were restored.
    pub bytes: u64,
    /// The instance is still there.
    pub kept: bool,
}

/// How soon somebody has to see to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// In working hours.
    Warning,
    /// At once.
    Page,
}

/// Who holds the lock of an environment. Times are RFC 3339, UTC, by the holder's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockStatus {
    /// Counts those who held it.
    pub generation: u64,
    /// A person and a machine: `ada@laptop`.
    pub who: String,
    /// The verb that it was taken for.
    pub doing: String,
    /// When it was taken.
    pub since: String,
    /// When its lease runs out, unless the holder renews it.
    pub until: String,
    /// The holder runs on this machine and has certainly ended: the next verb takes the lock over at once.
    pub ended: bool,
}

/// One failure, told so that it can be acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The step that failed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What failed, in one sentence.
    pub message: String,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What was seen when it failed.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One thing that Bascule needs of the machine it runs on, as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was looked at, in a few words that stay the same from version to version.
    pub check: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What goes wrong without it; absent where all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What mends it: a command, or what to do; absent where all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it should be.
    Ok,
    /// Bascule works, but slower or with less room than it might.
    Warning,
    /// Some verb will not work before this is mended.
    Missing,
}

/// Counts of steps and things. `changed` counts what would change when nothing was applied (`applied` is false).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// What was changed, or would be.
    pub changed: u64,
    /// What was right already.
    pub unchanged: u64,
    /// What failed.
    pub failed: u64,
    /// How long the whole run took, in milliseconds.
    pub duration_ms: u64,
    /// How many instances it was about.
    pub instances: u64,
    /// Changes were made, not only looked for.
    pub applied: bool,
}
