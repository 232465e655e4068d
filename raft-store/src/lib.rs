//! The write-ahead log that is the Raft log, the snapshots, and the catalog of both.
//!
//! A [`Store`] is everything under one data folder. It implements openraft's storage
//! ([`Store::log_store`]) for any runtime, keeps what Raft purged as readable history
//! ([`Store::read`]) until retention drops it ([`Store::retain`]), and stores snapshots
//! ([`Store::snapshots`]). What an entry or a snapshot record means is not its business.
//!
//! What it promises:
//!
//! - What was reported as flushed survives any crash, and so does every vote that was saved
//!   (with [`FsyncPolicy::EveryWrite`]).
//! - What is damaged is refused with file and offset, never served and never silently cut off.
//!   Only a batch that was demonstrably never known to be durable is cut.
//! - The first failed write or sync is the last: from then on every call fails, and no completion
//!   is ever lost silently.
//! - An entry is readable when `append` returns, durable when its completion is called.
//!
//! | module | holds |
//! |---|---|
//! | `fs` | the file-system trait, the real one, the test double |
//! | `format`, `membership` | the bytes of the log |
//! | `codec`, `crypto` | how payloads are compressed and encrypted; the keys |
//! | `replay` | decoding files, shared by everything that reads them |
//! | `rebuild` | from records to the state they amount to |
//! | `survey` | which segments there are: the table of what is accepted, repaired, refused |
//! | `recovery` | from files to a log |
//! | `segment` | which segment or history file holds what |
//! | `tail` | the log in memory: hard state and recent entries |
//! | `shared` | the queue between handles and writer, the failure latch, counters |
//! | `batch` | what the writer makes of the requests it takes |
//! | `writer` | group commit: one write and one sync for all that is queued |
//! | `log_store` | openraft's traits |
//! | `read` | entries by index, from memory or files |
//! | `history` | entries from before the log began, from another node |
//! | `retention` | dropping and archiving history |
//! | `snapshot` | snapshot files |
//! | `catalog` | what is in sealed segments, so that a start need not read them |
//! | `restore` | a folder that is being built from a backup |
//! | `identity`, `roster` | whose folder it is; which nodes it has met |
//! | `json_file` | how these two are written, and never misread |
//! | `supersede` | a log that a snapshot replaces |
//! | `verify`, `store` | checking a folder; opening it |
//! | `planted` | a bug to test the tests with |

mod batch;
mod catalog;
mod codec;
mod crypto;
mod error;
mod format;
pub mod fs;
mod history;
mod identity;
mod json_file;
mod log_store;
mod membership;
mod options;
mod planted;
mod read;
mod rebuild;
mod recovery;
pub mod replay;
mod restore;
mod retention;
mod roster;
mod segment;
mod shared;
mod snapshot;
mod store;
mod supersede;
mod survey;
mod tail;
mod types;
mod verify;
mod writer;

pub use crypto::{KeyTag, Keyring};
pub use error::{Error, is_shortage};
pub use format::{EntryRecord, HardState, Mark, Position, Record, SegmentHeader};
pub use fs::{FileSystem, MemFs, RealFs};
pub use history::HistoryReceiver;
pub use identity::{Identity, read_identity};
pub use log_store::LogStore;
pub use membership::{
    decode_membership, decode_snapshot_meta, decode_stored_membership, encode_membership,
    encode_snapshot_meta, encode_stored_membership,
};
pub use options::{Clock, FsyncPolicy, Options, Reclaimed, Retention};
#[cfg(feature = "planted-bugs")]
pub use planted::acknowledge_before_write;
pub use restore::begin_restore;
pub use roster::{Acquaintance, Roster};
pub use snapshot::{SnapshotHandle, SnapshotInfo, SnapshotReader, SnapshotReceiver, SnapshotStore};
pub use store::{Stats, Store, rejoin};
pub use types::{
    CommittedLeaderId, Data, Entry, LeaderId, LogId, Membership, NodeInfo, Payload, SnapshotMeta,
    StoreConfig, StoredMembership, Vote, log_id,
};
pub use verify::{Damage, Owner, Report, owner_of, verify};
pub use writer::Writer;
