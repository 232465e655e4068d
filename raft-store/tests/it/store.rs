//! The store's promises one by one: failure, locking, identity, history, retention, policies.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::entry;
use crate::support::log::{Log, options, outcome};
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::{
    Error, FileSystem, FsyncPolicy, Identity, MemFs, Options, Retention, Store, Vote, log_id,
    read_identity, rejoin,
};

fn fault(op: FaultOp, error: ErrorKind) -> DiskFault {
    DiskFault {
        op,
        nth: 1,
        error,
        sticky: false,
    }
}

#[test]
fn a_failed_sync_is_final_and_everyone_hears_of_it() {
    let mut log = Log::new();
    log.write(0);
    let told = Arc::new(AtomicU64::new(0));
    let counter = told.clone();
    log.store.on_failure(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let first = log.append(vec![entry(1, 1, "x")]).unwrap();
    let second = log.append(vec![entry(1, 2, "x")]).unwrap();
    log.fs.inject(fault(FaultOp::Sync, ErrorKind::Other));
    assert!(log.writer.step());
    assert!(outcome(first).unwrap().is_err());
    assert!(outcome(second).unwrap().is_err());
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert!(log.store.failed().is_some());
    // The disk works again; the store must not.
    assert!(log.append(vec![entry(1, 3, "x")]).is_err());
    assert!(log.vote(Vote::new(9, 1)).is_err());
    assert!(log.purge(log_id(1, 0)).is_err());
    let late = told.clone();
    log.store.on_failure(move |_| {
        late.fetch_add(10, Ordering::Relaxed);
    });
    assert_eq!(told.load(Ordering::Relaxed), 11);
    let syncs = log.store.stats().fsyncs;
    log.writer.step();
    assert_eq!(log.store.stats().fsyncs, syncs);
}

#[test]
fn a_full_disk_fails_the_write_and_keeps_what_was_acknowledged() {
    let mut log = Log::new();
    log.write(0);
    log.fs.inject(fault(FaultOp::Write, ErrorKind::StorageFull));
    let completion = log.append(vec![entry(1, 1, "x")]).unwrap();
    log.writer.step();
    let error = outcome(completion).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let log = log.reopen().unwrap();
    assert_eq!(log.last_index(), Some(0));
}

#[test]
fn a_disk_too_small_for_the_next_segment_is_waited_for() {
    let mut options = options();
    options.segment_bytes = 4096;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    log.fs.set_capacity_bytes(6000);
    let written = (0..100).take_while(|index| {
        let completion = log.append(vec![entry(1, *index, vec![0; 200])]).unwrap();
        log.writer.step();
        let told = outcome(completion);
        told.map(Result::unwrap).is_some()
    });
    let written = written.count() as u64;
    assert!((5..40).contains(&written));
    assert!(log.store.free_bytes().unwrap() < 6000);
    log.fs.set_capacity_bytes(u64::MAX);
    log.writer.step();
    assert_eq!(log.reopen().unwrap().last_index(), Some(written));
}

#[test]
fn a_dropped_writer_reports_an_error_for_everything_queued() {
    let mut log = Log::new();
    let completion = log.append(vec![entry(1, 0, "x")]).unwrap();
    drop(log.writer);
    assert!(outcome(completion).unwrap().is_err());
}

#[test]
fn closing_writes_what_is_queued_and_a_mark() {
    let mut log = Log::new();
    let completion = log.append(vec![entry(1, 0, "x")]).unwrap();
    log.store.close();
    assert!(log.append(vec![entry(1, 1, "x")]).is_err());
    let Log {
        fs,
        options,
        writer,
        store,
        raft,
    } = log;
    writer.run();
    assert!(outcome(completion).unwrap().is_ok());
    drop((store, raft));
    let log = Log::open(&fs, &options).unwrap();
    let marks = log
        .records()
        .iter()
        .filter(|(_, index)| index.is_none())
        .count();
    assert_eq!((log.last_index(), marks), (Some(0), 2));
}

#[test]
fn an_entry_is_readable_before_it_is_durable() {
    let mut log = Log::new();
    let completion = log.append(vec![entry(1, 0, "x")]).unwrap();
    assert_eq!(log.entries(), vec![entry(1, 0, "x")]);
    log.writer.step();
    assert!(outcome(completion).unwrap().is_ok());
}

#[test]
fn an_append_that_leaves_a_hole_is_refused() {
    let mut log = Log::new();
    log.write(0);
    assert!(log.append(vec![entry(1, 2, "x")]).is_err());
}

#[test]
fn queued_appends_share_one_write_and_one_sync() {
    let mut log = Log::new();
    log.write(0);
    let before = log.store.stats();
    let completions: Vec<_> = (1..200)
        .map(|index| log.append(vec![entry(1, index, "x")]).unwrap())
        .collect();
    log.writer.step();
    assert!(
        completions
            .into_iter()
            .all(|completion| outcome(completion).unwrap().is_ok())
    );
    let after = log.store.stats();
    assert_eq!(
        (after.writes - before.writes, after.fsyncs - before.fsyncs),
        (1, 1)
    );
}

#[test]
fn saving_committed_costs_no_sync_and_survives_with_the_next_batch() {
    let mut log = Log::new();
    log.write(0);
    let before = log.store.stats();
    log.commit(log_id(1, 0)).unwrap();
    assert!(!log.writer.step());
    assert_eq!(log.store.stats(), before);
    log.write(1);
    // Beyond the end of the log: openraft may know of more than this node has on disk.
    log.commit(log_id(1, 7)).unwrap();
    log.writer.idle();
    let log = log.reopen().unwrap();
    assert_eq!(log.store.committed(), Some(log_id(1, 1)));
}

#[test]
fn a_vote_is_durable_when_it_is_saved_and_survives_many_segments() {
    let mut options = options();
    options.segment_bytes = 1024;
    let mut log = Log::open(&MemFs::new(3), &options).unwrap();
    log.vote(Vote::new_committed(4, 2)).unwrap();
    (0..50).for_each(|index| log.write(index));
    log.fs.crash();
    let log = log.reopen().unwrap();
    assert_eq!(log.store.vote(), Some(Vote::new_committed(4, 2)));
}

#[test]
fn a_second_open_of_the_folder_is_refused() {
    let log = Log::new();
    let second = Store::open(log.fs.clone(), log.options.clone());
    assert!(matches!(second.map(drop), Err(Error::Locked { .. })));
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(dir.path());
    let first = Store::open(rstmdb_raft_store::RealFs, options.clone()).unwrap();
    let second = Store::open(rstmdb_raft_store::RealFs, options.clone());
    assert!(matches!(second.map(drop), Err(Error::Locked { .. })));
    drop(first);
    assert!(Store::open(rstmdb_raft_store::RealFs, options).is_ok());
}

fn identity(node_id: u64) -> Identity {
    Identity {
        cluster_id: 7,
        node_id,
        incarnation: 11,
        cluster_name: "tour".into(),
    }
}

#[test]
fn a_folder_belongs_to_one_node_for_ever() {
    let log = Log::new();
    assert_eq!(log.store.identity().unwrap(), None);
    let mine = identity(1);
    log.store.write_identity(&mine).unwrap();
    log.store.write_identity(&mine).unwrap();
    let other = identity(2);
    assert!(matches!(
        log.store.write_identity(&other),
        Err(Error::WrongIdentity { .. })
    ));
    let mut log = log.reopen().unwrap();
    assert_eq!(log.store.identity().unwrap(), Some(mine));
    log.options.cluster_id = 8;
    assert!(matches!(
        log.reopen().map(drop),
        Err(Error::WrongIdentity { .. })
    ));
}

#[test]
fn a_crash_before_the_identity_was_written_leaves_the_cluster_in_the_log() {
    let (fs, mut options) = (MemFs::new(0), options());
    options.cluster_id = 7;
    let mut log = Log::open(&fs, &options).unwrap();
    assert_eq!(log.store.cluster_id(), 7);
    assert_eq!(read_identity(&fs, &options.dir).unwrap(), None);
    log.options.cluster_id = 8;
    let log = log.reopen().unwrap();
    assert_eq!(log.store.cluster_id(), 7);
    let mine = identity(1);
    log.store.write_identity(&mine).unwrap();
    assert_eq!(read_identity(&fs, &options.dir).unwrap(), Some(mine));
    assert_eq!(read_identity(&fs, Path::new("/none")).unwrap(), None);
}

#[test]
fn a_used_folder_without_its_log_is_refused_until_it_rejoins() {
    let mut log = Log::new();
    log.store.write_identity(&identity(1)).unwrap();
    log.write(0);
    log.fs.remove(&log.segment(1)).unwrap();
    let (fs, options) = (log.fs.clone(), log.options.clone());
    assert!(matches!(log.reopen().map(drop), Err(Error::Damaged { .. })));
    fs.kill();
    rejoin(&fs, &options.dir).unwrap();
    let log = Log::open(&fs, &options).unwrap();
    assert_eq!(
        (log.store.identity().unwrap(), log.last_index()),
        (None, None)
    );
}

fn log_with_history() -> Log {
    let mut options = options();
    options.segment_bytes = 4096;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    (0..200).for_each(|index| log.write(index));
    log.commit(log_id(1, 199)).unwrap();
    log.purge(log_id(1, 150)).unwrap();
    log.writer.step();
    log.writer.idle();
    log
}

#[test]
fn purged_entries_stay_readable_as_history() {
    let mut log = log_with_history();
    assert_eq!(log.entries().first().unwrap().log_id.index, 151);
    {
        let log = &log.store;
        let page = log.read(3, 10, 1 << 20).unwrap();
        assert_eq!(page.len(), 10);
        assert_eq!(page[0], entry(1, 3, "payload 3"));
        assert_eq!(log.read(0, usize::MAX, usize::MAX).unwrap().len(), 200);
        assert_eq!(log.read(5, 100, 1).unwrap().len(), 1);
        assert_eq!(log.read(200, 100, 100).unwrap().len(), 0);
    }
    let log = log.reopen().unwrap();
    assert_eq!(
        log.store.read(0, usize::MAX, usize::MAX).unwrap().len(),
        200
    );
    assert_eq!(log.store.purged(), Some(log_id(1, 150)));
}

#[test]
fn retention_drops_whole_segments_below_the_floor_only() {
    let log = log_with_history();
    let all = log.store.stats();
    let policy = Retention {
        events: Some(100),
        ..Retention::default()
    };
    assert_eq!(log.store.retain(&policy, 0, 0).unwrap().segments_deleted, 0);
    let reclaimed = log.store.retain(&policy, u64::MAX, 0).unwrap();
    assert!(reclaimed.segments_deleted > 0 && reclaimed.bytes > 0);
    let earliest = log.store.earliest_index();
    assert!((1..=100).contains(&earliest), "{earliest}");
    assert_eq!(
        all.segment_count - reclaimed.segments_deleted,
        log.store.stats().segment_count
    );
    assert!(matches!(
        log.store.read(0, 1, 1),
        Err(Error::Compacted { asked: 0, .. })
    ));
    assert_eq!(
        log.store.read(earliest, 1, 1).unwrap()[0].log_id.index,
        earliest
    );
    let log = log.reopen().unwrap();
    assert_eq!(log.store.earliest_index(), earliest);
    assert!(log.verify().is_intact());
}

#[test]
fn retention_never_drops_what_is_not_purged() {
    let log = log_with_history();
    let policy = Retention {
        events: Some(0),
        ..Retention::default()
    };
    log.store.retain(&policy, u64::MAX, 0).unwrap();
    assert!((100..=151).contains(&log.store.earliest_index()));
    assert_eq!(log.reopen().unwrap().entries().len(), 49);
}

#[test]
fn retention_by_age_and_size() {
    let log = log_with_history();
    let hours = Retention {
        hours: Some(1),
        ..Retention::default()
    };
    assert_eq!(
        log.store
            .retain(&hours, u64::MAX, 3_600_000)
            .unwrap()
            .segments_deleted,
        0
    );
    let size = Retention {
        mb: Some(1),
        ..Retention::default()
    };
    assert_eq!(
        log.store
            .retain(&size, u64::MAX, 0)
            .unwrap()
            .segments_deleted,
        0
    );
    assert!(
        log.store
            .retain(&hours, u64::MAX, 3_700_000)
            .unwrap()
            .segments_deleted
            > 0
    );
}

#[test]
fn dropped_segments_can_be_archived() {
    let log = log_with_history();
    let content = log.fs.content(&log.segment(1)).unwrap();
    let archive_dir = Some("/archive".into());
    let policy = Retention {
        events: Some(0),
        archive_dir,
        ..Retention::default()
    };
    let reclaimed = log.store.retain(&policy, u64::MAX, 0).unwrap();
    let archived = log.fs.list(Path::new("/archive")).unwrap();
    assert_eq!(archived.len() as u64, reclaimed.segments_deleted);
    log.fs.crash();
    let kept = log
        .fs
        .content(Path::new("/archive/0000000000000001.wal"))
        .unwrap();
    assert_eq!(kept, content);
}

#[test]
fn a_purge_beyond_the_end_starts_a_new_history() {
    let mut log = Log::new();
    (0..5).for_each(|index| log.write(index));
    log.purge(log_id(3, 99)).unwrap();
    assert_eq!(log.last_index(), Some(99));
    assert!(log.append(vec![entry(3, 5, "x")]).is_err());
    log.write(100);
    for _ in 0..2 {
        assert_eq!(log.store.earliest_index(), 100);
        assert_eq!(log.entries().len(), 1);
        assert!(matches!(
            log.store.read(2, 1, 1),
            Err(Error::Compacted { .. })
        ));
        log = log.reopen().unwrap();
    }
}

#[test]
fn a_purge_beyond_the_end_moves_the_beginning_before_it_is_written() {
    let mut log = Log::new();
    (0..10).for_each(|index| log.write(index));
    log.purge(log_id(1, 100)).unwrap();
    // A search for missing history must not end now with the result that nothing is missing.
    assert_eq!(log.store.earliest_index(), 101);
    assert!(log.writer.step());
    assert_eq!(log.store.earliest_index(), 101);
    log.write(101);
    assert_eq!(log.store.earliest_index(), 101);
    let log = log.reopen().unwrap();
    assert_eq!(log.store.earliest_index(), 101);
}

#[test]
fn every_policy_acknowledges_and_a_clean_end_keeps_everything() {
    for policy in [
        FsyncPolicy::EveryN(3),
        FsyncPolicy::EveryMs(5),
        FsyncPolicy::Never,
    ] {
        let mut options = options();
        options.fsync_policy = policy;
        let mut log = Log::open(&MemFs::new(1), &options).unwrap();
        let before = log.store.stats().fsyncs;
        (0..10).for_each(|index| log.write(index));
        let syncs = log.store.stats().fsyncs - before;
        let expected = if policy == FsyncPolicy::EveryN(3) {
            3
        } else {
            0
        };
        assert_eq!(syncs, expected, "{policy:?}");
        log.store.close();
        let Log {
            fs,
            writer,
            store,
            raft,
            ..
        } = log;
        writer.run();
        drop((store, raft));
        fs.crash();
        assert_eq!(
            Log::open(&fs, &options).unwrap().last_index(),
            Some(9),
            "{policy:?}"
        );
    }
}

/// A log and its wall clock, which shows `now_ms`.
fn syncing_every_50_ms(now_ms: u64) -> (Log, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(now_ms));
    let clock = time.clone();
    let mut options = options();
    options.fsync_policy = FsyncPolicy::EveryMs(50);
    options.clock = Arc::new(move || clock.load(Ordering::Relaxed));
    (Log::open(&MemFs::new(1), &options).unwrap(), time)
}

#[test]
fn every_ms_syncs_once_the_time_has_come() {
    let (mut log, time) = syncing_every_50_ms(1);
    log.write(0);
    assert_eq!(log.store.stats().fsyncs, 0);
    time.store(51, Ordering::Relaxed);
    log.write(1);
    assert_eq!(log.store.stats().fsyncs, 1);
}

#[test]
fn every_ms_does_not_wait_for_a_clock_that_was_set_back() {
    let (mut log, time) = syncing_every_50_ms(3_600_000);
    log.write(0);
    assert_eq!(log.store.stats().fsyncs, 0);
    time.store(1, Ordering::Relaxed);
    log.write(1);
    assert_eq!(log.store.stats().fsyncs, 1);
}
