//! The write-ahead log that is the Raft log, the snapshots, and the catalog of both.
//!
//! A [`Store`] is everything under one data folder. It implements openraft's storage
//! ([`Store::log_store`]) for any runtime, keeps what Raft purged as readable history
//! ([`Store::read`]) until retention drops it ([`Store::retain`]), and stores snapshots
//! ([`Store::snapshots`]). It does not interpret entries or snapshot records.
//!
//! What it promises:
//!
//! - With [`FsyncPolicy::EveryWrite`], an entry reported as flushed survives any crash, and so does every
//!   saved vote.
//! - Damage is refused with file and offset. It is never served and never silently cut off. The store cuts a
//!   batch only if it can prove that the batch was never known to be durable.
//! - After the first failed write or sync, every call fails. No completion is lost silently.
//! - An entry is readable when `append` returns, durable when its completion is called.
//!
//! A module imports only those above it in this table:
//!
//! | module | holds |
//! |---|---|
//! | `error`, `types` | what can go wrong; Raft's types |
//! | `fs` | the file-system trait, the real one, the test double |
//! | `crypto` | the keys, and the cipher of each file |
//! | `format` | the bytes of the log; how payloads are compressed and encrypted |
//! | `folder` | a data folder: options, names, identity, roster, lock |
//! | `segment` | the files of the log: reading, making, recovering them |
//! | `snapshot` | snapshot files |
//! | `log` | the log while it is open: memory, queue, writer, reads, catalog |
//! | `history` | entries from before the log began, from another node; entries that left for an archive |
//! | `store` | opening a folder; openraft's traits; retention; restore |
//! | `verify` | checking a folder |

mod crypto;
mod error;
mod folder;
mod format;
pub mod fs;
mod history;
mod log;
mod segment;
mod snapshot;
mod store;
mod types;
mod verify;

pub use crypto::{KeyTag, Keyring};
pub use error::{Error, is_shortage};
pub use folder::{
    Acquaintance, Clock, FsyncPolicy, Identity, Options, Reclaimed, Retention, Roster, Stopwatch,
    read_identity, rejoin,
};
#[cfg(feature = "testing")]
pub use format::measured;
pub use format::membership::{
    decode_membership, decode_snapshot_meta, decode_stored_membership, encode_membership,
    encode_snapshot_meta, encode_stored_membership,
};
pub use format::{EntryRecord, HardState, LogPosition, LogRecord, Mark, SegmentHeader};
#[cfg(feature = "testing")]
pub use fs::MemFs;
pub use fs::{FileSystem, RealFs};
pub use history::{
    ArchiveFolder, ArchivedFile, ArchivedName, ArchivedObject, HistoryReceiver, archived_entries,
};
#[cfg(feature = "planted-bugs")]
pub use log::planted::acknowledge_before_write;
pub use log::writer::Writer;
pub use segment::replay;
pub use snapshot::{
    SnapshotHandle, SnapshotInfo, SnapshotReader, SnapshotReceiver, SnapshotStore,
    read_snapshot_file, snapshot_files,
};
pub use store::{Expired, LogStore, Stats, Store, begin_restore};
pub use types::{
    CommittedLeaderId, Data, Entry, LeaderId, LogId, Membership, NodeInfo, Payload, SnapshotMeta,
    StoreConfig, StoredMembership, Vote, log_id,
};
pub use verify::{Damage, Owner, VerifyReport, owner_of, verify};
