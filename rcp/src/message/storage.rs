//! SNAPSHOT_INSTANCE, WAL_READ, WAL_STATS, FLUSH_ALL, REPLICATION_STATUS, COMPACT.
//!
//! | module | subject |
//! |---|---|
//! | [`audit`] | AUDIT_READ |
//! | [`automation`] | AUTOMATION |
//! | [`ancestors`] | ANCESTORS |
//! | [`clock`] | CLOCK_ADVANCE |
//! | `compaction` | COMPACT |
//! | [`backup`] | BACKUP_DESCRIBE, BACKUP_SNAPSHOT, BACKUP_LOG |
//! | [`keys`] | ROTATE_KEY |
//! | [`locks`] | LOCK_ACQUIRE, LOCK_RENEW, LOCK_RELEASE, LOCK_GET, LOCK_LIST |
//! | [`reload`] | RELOAD |
//! | [`timers`] | timers in records of the log |

pub mod ancestors;
pub mod audit;
pub mod automation;
pub mod backup;
pub mod clock;
mod compaction;
pub mod keys;
pub mod locks;
pub mod reload;
pub mod timers;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::meta::{Meta, names_of_write};
use super::{ParamFault, Params};
pub use compaction::{Compact, CompactResult};
use timers::{ArmedTimer, FiredTimer, Timed};

/// Parameters of SNAPSHOT_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SnapshotInstance<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
}

impl<'a> Params<'a> for SnapshotInstance<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["instance_id"])?;
        Ok(Self {
            instance_id: fields.text("instance_id")?,
        })
    }
}

/// Result of SNAPSHOT_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInstanceResult<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Names the snapshot.
    pub snapshot_id: Cow<'a, str>,
    /// The offset it covers.
    pub wal_offset: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Of its content, in hex.
    pub checksum: Cow<'a, str>,
}

/// Parameters of WAL_READ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct WalRead {
    /// Inclusive.
    pub from_offset: u64,
    /// See [`Self::page_limit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Show what is known about each write. False if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_meta: Option<bool>,
}

impl WalRead {
    /// How many records a page holds without a `limit`.
    pub const LIMIT_DEFAULT: u64 = 100;
    /// How many records a page holds at most, inclusive.
    pub const LIMIT_MAX: u64 = 1000;

    /// The limit that counts: a higher one asks for a page as long as pages get.
    pub fn page_limit(&self) -> u64 {
        self.limit
            .unwrap_or(Self::LIMIT_DEFAULT)
            .min(Self::LIMIT_MAX)
    }
}

impl Params<'_> for WalRead {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["from_offset", "limit", "include_meta"])?;
        Ok(Self {
            from_offset: fields.integer("from_offset")?,
            limit: fields.optional_integer("limit")?,
            include_meta: fields.optional_bool("include_meta")?,
        })
    }
}

/// Result of WAL_READ; `E` is [`WalEntry`] for the writer and raw JSON for the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalReadResult<E> {
    /// Ascending.
    pub records: Vec<WalRecord<E>>,
    /// Where to read on.
    pub next_offset: u64,
}

/// One record of WAL_READ or ANCESTORS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalRecord<E> {
    /// Its number.
    pub sequence: u64,
    /// Its place in the log; records of one atomic batch share it.
    pub offset: u64,
    /// What it says.
    pub entry: E,
    /// What is known about the write, if that was asked for.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub meta: Option<E>,
}

fn none<E>() -> Option<E> {
    None
}

/// What a record of the log says. Readers must expect more fields and types.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WalEntry<'a> {
    /// A machine version was put.
    PutMachine {
        /// The name.
        machine: Cow<'a, str>,
        /// The version.
        version: u32,
        /// SHA-256, in hex.
        definition_hash: Cow<'a, str>,
        /// As put.
        definition: Cow<'a, RawValue>,
        /// The format of the definition, if it is not 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        format: Option<u32>,
    },
    /// An instance was created.
    CreateInstance {
        /// The instance.
        instance_id: Cow<'a, str>,
        /// The machine's name.
        machine: Cow<'a, str>,
        /// The machine's version.
        version: u32,
        /// Where it began.
        initial_state: Cow<'a, str>,
        /// With what.
        initial_ctx: Cow<'a, RawValue>,
        /// The names that entering the state emitted.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        emits: Vec<Cow<'a, str>>,
        /// The states that were passed before it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        via: Vec<Cow<'a, str>>,
        /// It was imported, with these times.
        #[serde(skip_serializing_if = "Option::is_none")]
        imported: Option<Imported>,
        /// What the log knows beside it.
        #[serde(flatten)]
        origin: FactOrigin<'a>,
    },
    /// An event was applied.
    ApplyEvent {
        /// The instance.
        instance_id: Cow<'a, str>,
        /// The event.
        event: Cow<'a, str>,
        /// The state before.
        from_state: Cow<'a, str>,
        /// The state after.
        to_state: Cow<'a, str>,
        /// Null if there was none.
        payload: Option<Cow<'a, RawValue>>,
        /// The context after.
        ctx: Cow<'a, RawValue>,
        /// As given.
        #[serde(skip_serializing_if = "Option::is_none")]
        event_id: Option<Cow<'a, str>>,
        /// The names that the event emitted.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        emits: Vec<Cow<'a, str>>,
        /// The states that were passed on the way.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        via: Vec<Cow<'a, str>>,
        /// What the log knows beside it.
        #[serde(flatten)]
        origin: FactOrigin<'a>,
    },
    /// An instance was deleted.
    DeleteInstance {
        /// The instance.
        instance_id: Cow<'a, str>,
        /// What the log knows beside it.
        #[serde(flatten)]
        origin: FactOrigin<'a>,
    },
    /// A timer fired, and its event was refused or came too late.
    TimerSpent {
        /// The instance.
        instance_id: Cow<'a, str>,
        /// The timer.
        timer: FiredTimer<'a>,
        /// The event that it would have applied. Absent: it would have deleted the instance.
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<Cow<'a, str>>,
        /// Why not: the code of the refusal, or `LATE` or `SKIPPED`.
        code: Cow<'a, str>,
        /// Why not, for people.
        message: Cow<'a, str>,
        /// What the log knows beside it.
        #[serde(flatten)]
        origin: FactOrigin<'a>,
    },
    /// Timers were set without an event.
    SetTimers {
        /// The instance.
        instance_id: Cow<'a, str>,
        /// All its timers afterwards.
        timers: Vec<ArmedTimer<'a>>,
        /// What the log knows beside it.
        #[serde(flatten)]
        origin: FactOrigin<'a>,
    },
    /// Everything was removed.
    FlushAll {
        /// What the log knows beside it.
        #[serde(flatten)]
        origin: FactOrigin<'a>,
    },
    /// A snapshot was taken.
    Snapshot {},
    /// An entry of the consensus itself.
    Checkpoint {},
}

/// When an imported instance was created and changed last where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Unix ms.
    pub created_at: u64,
    /// Unix ms.
    pub updated_at: u64,
}

/// When a fact was decided, which client asked, and the offset of the instance's previous fact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FactOrigin<'a> {
    /// Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Cow<'a, str>>,
    /// The instance's fact before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_offset: Option<u64>,
    /// As given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// The timers of a creation, an event or a deletion.
    #[serde(flatten)]
    pub timed: Timed<'a>,
}

/// Result of WAL_STATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WalStatsResult {
    /// Records retained.
    pub entry_count: u64,
    /// Segment files.
    pub segment_count: u64,
    /// Their size.
    pub total_size_bytes: u64,
    /// The highest offset.
    pub latest_offset: u64,
    /// Since the node started.
    pub io_stats: IoStats,
}

/// What the log has read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IoStats {
    /// Bytes written.
    pub bytes_written: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Write calls.
    pub writes: u64,
    /// Read calls.
    pub reads: u64,
    /// Syncs.
    pub fsyncs: u64,
}

/// Parameters of FLUSH_ALL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FlushAll<'a> {
    /// What the client says about it.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only tell what it would remove.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl<'a> Params<'a> for FlushAll<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write![];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

/// Result of FLUSH_ALL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlushAllResult {
    /// Always true.
    pub flushed: bool,
    /// How many there were.
    pub instances_removed: u64,
    /// How many there were.
    pub machines_removed: u64,
    /// True in the answer to a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Result of REPLICATION_STATUS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum ReplicationStatusResult<'a> {
    /// A cluster of one.
    Standalone {},
    /// The leader.
    Primary {
        /// `sync`.
        mode: Cow<'a, str>,
        /// The leader's last offset.
        primary_sequence: u64,
        /// How many there are.
        connected_replicas: u64,
        /// Each of them.
        replicas: Vec<ReplicaStatus<'a>>,
    },
    /// Any other member.
    Replica {
        /// The leader's address.
        upstream: Cow<'a, str>,
        /// What this node has applied.
        last_applied_sequence: u64,
        /// What the leader has, as far as this node knows.
        primary_sequence: u64,
        /// The difference.
        lag_entries: u64,
        /// The same in time.
        lag_seconds: f64,
    },
}

/// One replica, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus<'a> {
    /// The node's id.
    pub replica_id: Cow<'a, str>,
    /// What it has on disk.
    pub last_acked_sequence: u64,
    /// How far it is behind.
    pub lag_entries: u64,
}
