//! A snapshot of another node and a log that does not lead to it.

use crate::support::entry;
use crate::support::log::{Log, options};
use futures_util::FutureExt;
use openraft::storage::RaftLogStorage;
use rstmdb_raft_store::{
    Entry, Error, LogId, MemFs, SnapshotHandle, SnapshotMeta, StoredMembership, log_id,
};

/// Where the snapshot ends: committed in term 3.
const END: u64 = 15;

/// A log whose entries to 9 are committed; those from 10 to `last` are of term 2, and no other node has them.
fn cut_off(last: u64) -> Log {
    let mut log = Log::new();
    (0..10).for_each(|index| log.write(index));
    log.commit(log_id(1, 9)).unwrap();
    let lost = (10..=last).map(|index| entry(2, index, "never committed"));
    drop(log.append(lost.collect()).unwrap());
    log.writer.step();
    log
}

/// Another node's snapshot that ends at `end`, received but not installed.
fn receive(log: &Log, end: LogId) -> SnapshotHandle<MemFs> {
    let theirs = Log::open(&MemFs::new(1), &options()).unwrap();
    let meta = SnapshotMeta {
        last_log_id: Some(end),
        last_membership: StoredMembership::default(),
    };
    let records = ["state".into()].into_iter();
    let sent = theirs.store.snapshots().write(&meta, 7, records).unwrap();
    let mut receiver = log.store.snapshots().receive().unwrap();
    let block = sent.read_block(0, usize::MAX).unwrap();
    receiver.write_block(&block).unwrap();
    receiver.finish().unwrap()
}

fn assert_begins_behind(log: &mut Log, end: LogId) {
    assert_eq!(log.store.earliest_index(), end.index + 1);
    for index in 0..=end.index {
        let read = log.store.read(index, 100, 1 << 20);
        assert!(
            matches!(read, Err(Error::Compacted { asked, .. }) if asked == index),
            "{index}: {read:?}"
        );
    }
    let state = log.raft.get_log_state().now_or_never().unwrap().unwrap();
    assert_eq!(state.last_purged_log_id, Some(end));
    assert_eq!(state.last_log_id, Some(end));
    assert_eq!(log.entries(), []);
}

#[test]
fn what_was_never_committed_is_not_shown_below_an_installed_snapshot() {
    let end = log_id(3, END);
    // The log ends below the snapshot's end, at it, and beyond it.
    for last in [12, END, 20] {
        let mut log = cut_off(last);
        let snapshot = receive(&log, end);
        log.store.install(&snapshot).unwrap();
        assert_begins_behind(&mut log, end);
        // openraft says it as well, a moment later.
        log.truncate(Some(log_id(1, 9))).unwrap();
        log.purge(end).unwrap();
        assert_begins_behind(&mut log, end);
        assert!(log.writer.step());
        assert_begins_behind(&mut log, end);
        let mut log = log.reopen().unwrap();
        assert_begins_behind(&mut log, end);
        drop(log.append(vec![entry(3, END + 1, "next")]).unwrap());
        log.writer.step();
        assert_eq!(log.reopen().unwrap().last_index(), Some(END + 1));
    }
}

/// openraft refuses to start over a log that reaches beyond a snapshot of a later term.
#[test]
fn a_crash_before_the_installation_is_made_up_for_at_the_start() {
    let end = log_id(3, END);
    for last in [12, END, 20] {
        let log = cut_off(last);
        receive(&log, end);
        let mut log = log.reopen().unwrap();
        assert_begins_behind(&mut log, end);
        assert!(log.writer.step());
        let mut log = log.reopen().unwrap();
        assert_begins_behind(&mut log, end);
        assert!(log.verify().is_intact());
    }
}

#[test]
fn a_log_that_leads_to_the_snapshot_stays() {
    let mut log = cut_off(20);
    // These entries are committed, but this node does not know it.
    let snapshot = receive(&log, log_id(2, END));
    log.store.install(&snapshot).unwrap();
    for _ in 0..2 {
        assert_eq!(log.store.earliest_index(), 0);
        assert_eq!(log.entries().len(), 21);
        log = log.reopen().unwrap();
    }
    log.purge(log_id(2, END)).unwrap();
    log.writer.step();
    for _ in 0..2 {
        assert_eq!(log.store.read(0, 100, 1 << 20).unwrap().len(), 21);
        assert_eq!(log.entries().len(), 5);
        log = log.reopen().unwrap();
    }
}

fn committed(index: u64) -> Entry {
    entry(3, index, "committed")
}

/// Takes in runs of history.
fn take_in(log: &Log, runs: &[(u64, u64)]) {
    for (first, last) in runs.iter().copied() {
        let mut receiver = log.store.receive_history(first, last).unwrap();
        let entries: Vec<_> = (first..=last).map(committed).collect();
        receiver.push(&entries).unwrap();
        receiver.finish().unwrap();
    }
}

/// The writer may be slow: history that comes meanwhile joins the snapshot at once.
#[test]
fn history_joins_a_snapshot_before_the_gap_is_written() {
    let end = log_id(3, END);
    for last in [12, 20] {
        let mut log = cut_off(last);
        let snapshot = receive(&log, end);
        log.store.install(&snapshot).unwrap();
        take_in(&log, &[(8, END), (3, 7)]);
        drop(log.append(vec![committed(END + 1)]).unwrap());
        let expected: Vec<_> = (3..=END + 1).map(committed).collect();
        for _ in 0..2 {
            assert_eq!(log.store.earliest_index(), 3);
            assert_eq!(log.store.read(3, 100, 1 << 20).unwrap(), expected);
            assert_eq!(log.entries(), expected[expected.len() - 1..]);
            log.writer.step();
        }
        let log = log.reopen().unwrap();
        assert_eq!(log.store.read(3, 100, 1 << 20).unwrap(), expected);
    }
}

/// The gap of the first snapshot must not cut off what joins the second.
#[test]
fn history_joins_the_second_of_two_snapshots_before_their_gaps_are_written() {
    // Other runs than before, one of them under the same name, and all in one.
    for again in [&[(16, 20), (3, END)][..], &[(10, 20), (3, 9)], &[(3, 20)]] {
        let mut log = cut_off(12);
        let first = receive(&log, log_id(3, END));
        log.store.install(&first).unwrap();
        take_in(&log, &[(3, END)]);
        let second = receive(&log, log_id(3, 20));
        log.store.install(&second).unwrap();
        assert_eq!(log.store.earliest_index(), 21);
        take_in(&log, again);
        drop(log.append(vec![committed(21)]).unwrap());
        let expected: Vec<_> = (3..=21).map(committed).collect();
        for _ in 0..2 {
            assert_eq!(log.store.earliest_index(), 3, "{again:?}");
            assert_eq!(log.store.read(3, 100, 1 << 20).unwrap(), expected);
            log.writer.step();
        }
        let log = log.reopen().unwrap();
        assert_eq!(log.store.read(3, 100, 1 << 20).unwrap(), expected);
    }
}
