//! A disk that has room for the log and not for a snapshot.

use std::io::{self, ErrorKind};

use crate::support::entry;
use crate::support::log::{Log, options, outcome};
use bytes::Bytes;
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::{Error, MemFs, SnapshotMeta, is_shortage, log_id};

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

/// A log without compression, so that a payload takes its own size in a segment.
fn uncompressed() -> Log {
    let mut options = options();
    options.compress = false;
    Log::open(&MemFs::new(0), &options).unwrap()
}

#[test]
fn a_log_whose_next_segment_cannot_be_created_waits_and_goes_on() {
    for op in [FaultOp::Open, FaultOp::Write] {
        let mut log = uncompressed();
        let payload = "x".repeat(40 << 10);
        log.append(vec![entry(1, 0, payload.clone())]).unwrap();
        log.writer.step();
        log.fs.inject(DiskFault {
            op,
            nth: 1,
            error: ErrorKind::StorageFull,
            sticky: false,
        });
        let completion = log.append(vec![entry(1, 1, payload.clone())]).unwrap();
        assert!(!log.writer.step());
        assert!(log.store.shortage().is_some() && log.store.failed().is_none());
        assert!(log.writer.step());
        assert!(outcome(completion).unwrap().is_ok());
        assert_eq!(log.store.shortage(), None);
        log.write(2);
        let mut log = log.reopen().unwrap();
        assert_eq!(
            (log.entries().len(), log.store.stats().segment_count),
            (3, 2)
        );
        assert!(log.verify().is_intact());
    }
}

#[test]
fn a_log_that_waits_for_room_is_closed_without_what_it_was_given() {
    let mut log = uncompressed();
    log.append(vec![entry(1, 0, "x".repeat(60 << 10))]).unwrap();
    log.writer.step();
    log.fs.inject(DiskFault {
        op: FaultOp::Open,
        nth: 1,
        error: ErrorKind::StorageFull,
        sticky: true,
    });
    let completion = log.append(vec![entry(1, 1, "x".repeat(9 << 10))]).unwrap();
    let Log {
        fs, store, writer, ..
    } = log;
    store.close();
    writer.run();
    assert!(outcome(completion).unwrap().is_err());
    assert!(store.failed().is_none());
    drop(store);
    fs.kill();
    let log = Log::open(&fs, &options()).unwrap();
    assert_eq!(log.last_index(), Some(0));
}

#[test]
fn want_of_descriptors_inodes_and_space_is_told_from_other_failures() {
    for number in [23, 24, 28, 122] {
        assert!(
            is_shortage(&io::Error::from_raw_os_error(number)),
            "{number}"
        );
    }
    for number in [2, 5, 13, 30] {
        assert!(
            !is_shortage(&io::Error::from_raw_os_error(number)),
            "{number}"
        );
    }
}
