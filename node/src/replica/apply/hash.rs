//! The hash of an entry of the log, which goes into the chain.

use openraft::EntryPayload;
use rstmdb_engine::chain::{EntryHash, EntryKind, Logged, OpenedEntry};
use rstmdb_engine::fact;
use rstmdb_raft_store::{Entry, LogId, encode_membership};

/// The hash of this entry in the chain. It covers what the log was given, so it is the same on every node, no matter
/// how the node compresses and encrypts its files.
#[must_use]
pub fn entry_hash(entry: &Entry) -> EntryHash {
    opened(entry).hash()
}

/// What the hash of this entry is made of.
#[must_use]
pub fn opened(entry: &Entry) -> OpenedEntry {
    let of = |kind, payload: &[u8]| logged(entry.log_id, kind, payload).opened();
    match &entry.payload {
        EntryPayload::Blank => of(EntryKind::Blank, &[]),
        EntryPayload::Normal(data) => of(EntryKind::Normal, &data.0),
        EntryPayload::Membership(members) => of(EntryKind::Membership, &encode_membership(members)),
    }
}

/// The hash of an entry with these facts, whose text is `payload`.
pub(super) fn hash_of_facts(id: LogId, payload: &[u8], facts: &fact::Entry) -> EntryHash {
    logged(id, EntryKind::Normal, payload).hash_with(Some(facts))
}

fn logged(id: LogId, kind: EntryKind, payload: &[u8]) -> Logged<'_> {
    Logged {
        term: id.leader_id.term,
        offset: id.index,
        kind,
        payload,
    }
}
