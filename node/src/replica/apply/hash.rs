//! The hash of an entry of the log, which goes into the chain.

use openraft::EntryPayload;
use rstmdb_engine::chain::{EntryHash, Kind, Logged};
use rstmdb_raft_store::{Entry, encode_membership};

/// The hash of this entry in the chain. It covers what the log was given, so it is the same on every node, no matter
/// how the node compresses and encrypts its files.
#[must_use]
pub fn entry_hash(entry: &Entry) -> EntryHash {
    let of = |kind, payload: &[u8]| {
        let logged = Logged {
            term: entry.log_id.leader_id.term,
            offset: entry.log_id.index,
            kind,
            payload,
        };
        logged.hash()
    };
    match &entry.payload {
        EntryPayload::Blank => of(Kind::Blank, &[]),
        EntryPayload::Normal(data) => of(Kind::Normal, &data.0),
        EntryPayload::Membership(members) => of(Kind::Membership, &encode_membership(members)),
    }
}
