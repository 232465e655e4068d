//! The log: a batch of records.

use std::hint::black_box;

use rstmdb_engine::fact::Message;
use rstmdb_raft_store::measured::RecordBatch;
use rstmdb_raft_store::{Data, Entry, Payload, log_id};

use super::engine::OpenOrder;
use crate::count;

/// Records of one batch.
pub const ENTRIES: u64 = 32;

fn records(ctx_bytes: usize) {
    let entry = OpenOrder::new("", ctx_bytes, None).entry();
    let entry = |index| {
        let mut fact = entry.clone();
        fact.index = index;
        Entry {
            log_id: log_id(1, index),
            payload: Payload::Normal(Data(fact.encode_to_vec().into())),
        }
    };
    let entries: Vec<Entry> = (1..=ENTRIES).map(entry).collect();
    let mut batch = RecordBatch::default();
    count(|| {
        let bytes = batch.encode(black_box(&entries));
        assert!(black_box(bytes).is_ok(), "not encoded");
    });
}

/// A batch of entries that are just long enough to be compressed.
pub(super) fn records_small() {
    records(100);
}

pub(super) fn records_large() {
    records(10 << 10);
}
