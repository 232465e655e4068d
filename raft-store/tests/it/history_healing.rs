//! Damaged history: a read or a check notices it. The store replaces it whole or not at all. Other history stays
//! readable.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::support::entry;
use crate::support::log::{Log, options};
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::{Entry, Error, FileSystem, MemFs, Retention, log_id};

const LOWER: (u64, u64) = (900, 949);
const UPPER: (u64, u64) = (950, 999);

fn entries((first, last): (u64, u64)) -> Vec<Entry> {
    (first..=last)
        .map(|index| entry(1, index, format!("payload {index}")))
        .collect()
}

/// A log from 1000 on, with two files of history before it.
fn log_of(cluster_id: u128) -> Log {
    let mut options = options();
    options.cluster_id = cluster_id;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    log.purge(log_id(1, 999)).unwrap();
    (1000..1010).for_each(|index| log.write(index));
    for range in [UPPER, LOWER] {
        let mut receiver = log.store.receive_history(range.0, range.1).unwrap();
        receiver.push(&entries(range)).unwrap();
        receiver.finish().unwrap();
    }
    log
}

fn path((first, last): (u64, u64)) -> PathBuf {
    PathBuf::from(format!("/data/history/{first:020}-{last:020}.wal"))
}

fn damage(log: &Log, range: (u64, u64), at: usize) {
    let mut content = log.fs.content(&path(range)).unwrap();
    content[at] ^= 4;
    log.fs.set_content(&path(range), &content).unwrap();
}

fn replace(log: &Log, range: (u64, u64)) -> Result<(), Error> {
    let mut receiver = log.store.replace_history(range)?;
    for part in entries(range).chunks(7) {
        receiver.push(part)?;
    }
    receiver.finish()
}

fn read(log: &Log, range: (u64, u64)) -> Result<Vec<Entry>, Error> {
    let count = (range.1 - range.0 + 1) as usize;
    log.store.read(range.0, count, usize::MAX)
}

#[test]
fn damage_is_noticed_by_a_read_and_replaced_in_its_place() {
    let bytes = log_of(7).fs.content(&path(UPPER)).unwrap().len();
    for at in (0..bytes).step_by(71) {
        // What was not read since the start is not in memory.
        let log = log_of(7).reopen().unwrap();
        assert_eq!(log.store.history_files(), [LOWER, UPPER]);
        damage(&log, UPPER, at);
        assert!(log.store.damaged_history().is_empty());
        assert!(matches!(read(&log, UPPER), Err(Error::Damaged { .. })));
        assert_eq!(log.store.damaged_history(), [UPPER]);
        assert_eq!(read(&log, LOWER).unwrap(), entries(LOWER));
        replace(&log, UPPER).unwrap();
        assert!(log.store.damaged_history().is_empty());
        assert_eq!(read(&log, UPPER).unwrap(), entries(UPPER));
        let log = log.reopen().unwrap();
        assert_eq!(read(&log, UPPER).unwrap(), entries(UPPER));
        assert_eq!(read(&log, LOWER).unwrap(), entries(LOWER));
    }
}

#[test]
fn damage_and_loss_are_noticed_by_a_check() {
    let log = log_of(7);
    log.store.check_history(LOWER).unwrap();
    damage(&log, LOWER, 500);
    assert!(log.store.check_history(LOWER).is_err());
    log.fs.remove(&path(UPPER)).unwrap();
    assert!(log.store.check_history(UPPER).is_err());
    assert_eq!(log.store.damaged_history(), [LOWER, UPPER]);
    replace(&log, LOWER).unwrap();
    replace(&log, UPPER).unwrap();
    assert!(log.store.damaged_history().is_empty());
    for range in [LOWER, UPPER] {
        log.store.check_history(range).unwrap();
        assert_eq!(read(&log, range).unwrap(), entries(range));
    }
    assert!(log.verify().is_intact());
}

#[test]
fn what_was_only_a_moment_of_the_disk_is_forgotten_by_a_check() {
    let log = log_of(7).reopen().unwrap();
    log.fs.inject(DiskFault {
        op: FaultOp::Read,
        nth: 1,
        error: ErrorKind::Other,
        sticky: false,
    });
    assert!(read(&log, LOWER).is_err());
    assert_eq!(log.store.damaged_history(), [LOWER]);
    log.store.check_history(LOWER).unwrap();
    assert!(log.store.damaged_history().is_empty());
}

#[test]
fn a_replacement_that_fails_or_does_not_fit_changes_nothing() {
    let log = log_of(7);
    let before = log.fs.content(&path(LOWER)).unwrap();
    let mut short = log.store.replace_history(LOWER).unwrap();
    short.push(&entries((900, 910))).unwrap();
    assert!(matches!(short.finish(), Err(Error::HistoryRefused { .. })));
    let mut other = log.store.replace_history(LOWER).unwrap();
    assert!(other.push(&entries((901, 949))).is_err());
    for op in [FaultOp::Write, FaultOp::Sync, FaultOp::Name] {
        log.fs.inject(DiskFault {
            op,
            nth: 1,
            error: ErrorKind::StorageFull,
            sticky: false,
        });
        assert!(replace(&log, LOWER).is_err(), "{op:?}");
    }
    drop(other);
    assert_eq!(log.fs.content(&path(LOWER)).unwrap(), before);
    assert_eq!(log.fs.list("/data/history".as_ref()).unwrap().len(), 2);
    assert!(log.store.replace_history((900, 948)).is_err());
    let policy = Retention {
        events: Some(10),
        ..Retention::default()
    };
    let begun = log.store.replace_history(LOWER).unwrap();
    log.store.retain(&policy, u64::MAX, 0).unwrap();
    assert!(matches!(begun.finish(), Err(Error::HistoryRefused { .. })));
    assert!(log.store.history_files().is_empty());
    assert!(log.fs.list("/data/history".as_ref()).unwrap().is_empty());
}

#[test]
fn history_of_another_cluster_is_damage() {
    let theirs = log_of(8).fs.content(&path(LOWER)).unwrap();
    let log = log_of(7);
    log.fs.set_content(&path(LOWER), &theirs).unwrap();
    let log = log.reopen().unwrap();
    let Err(Error::Damaged { what, .. }) = read(&log, LOWER) else {
        panic!("it is shown");
    };
    assert!(what.contains("cluster"), "{what}");
    assert_eq!(log.store.damaged_history(), [LOWER]);
}
