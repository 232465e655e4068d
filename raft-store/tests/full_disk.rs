//! A disk that has room for the log and not for a snapshot.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use rstmdb_raft_store::{Error, SnapshotMeta, log_id};
use support::log::Log;

fn write_snapshot(log: &Log, index: u64) -> Result<(), Error> {
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(1, index)),
        ..SnapshotMeta::default()
    };
    let records = (0..index).map(|n| Bytes::from(format!("record {n}")));
    log.store.snapshots().write(&meta, 9, records).map(drop)
}

#[test]
fn a_snapshot_that_does_not_fit_costs_nothing_but_itself() {
    let mut log = Log::new();
    (0..4).for_each(|index| log.write(index));
    write_snapshot(&log, 1).unwrap();
    let used = u64::MAX - log.store.free_bytes().unwrap();
    let mut failed = 0;
    for room in 0..2000 {
        log.fs.set_capacity_bytes(used + room);
        if write_snapshot(&log, 3).is_ok() {
            break;
        }
        failed += 1;
        assert!(log.store.failed().is_none());
        let current = log.store.snapshots().current().unwrap().unwrap();
        assert!(current.info().index >= Some(1), "room for {room}");
    }
    assert!(failed > 20, "{failed}");
    log.fs.set_capacity_bytes(u64::MAX);
    log.write(4);
    write_snapshot(&log, 4).unwrap();
    assert_eq!(log.store.snapshots().list().len(), 1);
}
