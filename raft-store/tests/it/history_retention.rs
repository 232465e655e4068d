//! Retention of history from another node: it goes before the log, oldest first, by the same policy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::entry;
use crate::support::log::{Log, options};
use rstmdb_raft_store::{Error, FileSystem, MemFs, Retention, Store, log_id};

/// History `900..1000` in five files, and a log `1000..1040` in some segments, all purged.
fn log_with_history(time: &Arc<AtomicU64>) -> Log {
    let (clock, mut options) = (time.clone(), options());
    options.segment_bytes = 1024;
    options.clock = Arc::new(move || clock.load(Ordering::Relaxed));
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    log.purge(log_id(1, 999)).unwrap();
    (1000..1040).for_each(|index| log.write(index));
    log.commit(log_id(1, 1039)).unwrap();
    for first in (900..1000).rev().filter(|index| index % 20 == 0) {
        import(&log, first);
    }
    log.purge(log_id(1, 1030)).unwrap();
    log.writer.step();
    log.writer.idle();
    log
}

fn import(log: &Log, first: u64) {
    let mut receiver = log.store.receive_history(first, first + 19).unwrap();
    let run: Vec<_> = (first..first + 20)
        .map(|index| entry(1, index, format!("payload {index}")))
        .collect();
    receiver.push(&run).unwrap();
    receiver.finish().unwrap();
}

fn started_at(time_ms: u64) -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(time_ms))
}

fn keep_events(events: u64) -> Retention {
    Retention {
        events: Some(events),
        ..Retention::default()
    }
}

#[test]
fn history_goes_before_the_log_and_oldest_first() {
    let mut log = log_with_history(&started_at(1000));
    let segments = log.fs.list(Path::new("/data/wal")).unwrap().len();
    for (events, earliest) in [(130, 900), (121, 900), (120, 920), (70, 960), (45, 980)] {
        log.store.retain(&keep_events(events), u64::MAX, 0).unwrap();
        assert_eq!(log.store.earliest_index(), earliest, "{events}");
        assert_eq!(log.fs.list(Path::new("/data/wal")).unwrap().len(), segments);
        log = log.reopen().unwrap();
        assert_eq!(log.store.earliest_index(), earliest, "{events}");
        let read = log.store.read(earliest, usize::MAX, usize::MAX).unwrap();
        assert_eq!(read.len() as u64, 1040 - earliest);
    }
    log.store.retain(&keep_events(0), u64::MAX, 0).unwrap();
    assert!(log.store.earliest_index() > 1000);
    assert!(log.fs.list(Path::new("/data/history")).unwrap().is_empty());
    assert!(log.verify().is_intact());
    assert!(matches!(
        log.store.read(990, 1, 1),
        Err(Error::Compacted { .. })
    ));
}

#[test]
fn history_is_kept_from_the_floor_on() {
    let log = log_with_history(&started_at(1000));
    let reclaimed = log.store.retain(&keep_events(0), 950, 0).unwrap();
    assert_eq!(reclaimed.segments_deleted, 2);
    assert_eq!(log.store.earliest_index(), 940);
}

#[test]
fn history_counts_as_young_as_its_arrival() {
    let time = started_at(1000);
    let log = log_with_history(&time);
    time.store(5000, Ordering::Relaxed);
    import(&log, 880);
    let log = log.reopen().unwrap();
    let policy = Retention {
        hours: Some(1),
        ..Retention::default()
    };
    let after_an_hour = 3_600_000 + 2000;
    log.store.retain(&policy, u64::MAX, after_an_hour).unwrap();
    assert_eq!(
        log.store.earliest_index(),
        880,
        "the oldest is the youngest"
    );
    let later = after_an_hour + 5000;
    let reclaimed = log.store.retain(&policy, u64::MAX, later).unwrap();
    assert!(reclaimed.segments_deleted >= 6);
    assert!(log.store.earliest_index() >= 1000);
}

fn incompressible(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(len).collect()
}

#[test]
fn size_counts_history_and_log_together() {
    let log = log_with_history(&started_at(1000));
    let mut receiver = log.store.receive_history(890, 899).unwrap();
    for index in 890..900 {
        receiver
            .push(&[entry(1, index, incompressible(300 << 10))])
            .unwrap();
    }
    receiver.finish().unwrap();
    assert!(log.store.stats().total_size_bytes > 2 << 20);
    let keep_mb = |mb| Retention {
        mb: Some(mb),
        ..Retention::default()
    };
    assert_eq!(
        log.store
            .retain(&keep_mb(3), u64::MAX, 0)
            .unwrap()
            .segments_deleted,
        0,
        "less than 3 MiB"
    );
    let reclaimed = log.store.retain(&keep_mb(2), u64::MAX, 0).unwrap();
    assert_eq!(reclaimed.segments_deleted, 1);
    assert_eq!(log.store.earliest_index(), 900);
}

#[test]
fn dropped_history_can_be_archived() {
    let log = log_with_history(&started_at(1000));
    let name = format!("{:020}-{:020}.wal", 900, 919);
    let content = log
        .fs
        .content(&Path::new("/data/history").join(&name))
        .unwrap();
    let policy = Retention {
        archive_dir: Some("/archive".into()),
        ..keep_events(119)
    };
    log.store.retain(&policy, u64::MAX, 0).unwrap();
    log.fs.crash();
    let kept = log.fs.content(&Path::new("/archive").join(&name)).unwrap();
    assert_eq!(kept, content);
    assert_eq!(log.reopen().unwrap().store.earliest_index(), 920);
}

#[test]
fn an_archive_that_is_another_nodes_is_left_alone() {
    let log = log_with_history(&started_at(1000));
    let archived = Path::new("/archive").join(format!("{:020}-{:020}.wal", 900, 919));
    FileSystem::create_dir_all(&log.fs, Path::new("/archive")).unwrap();
    FileSystem::create(&log.fs, &archived).unwrap();
    log.fs.set_content(&archived, b"another node's").unwrap();
    let policy = Retention {
        archive_dir: Some("/archive".into()),
        ..keep_events(119)
    };
    for _ in 0..2 {
        let refused = log.store.retain(&policy, u64::MAX, 0);
        assert!(
            matches!(&refused, Err(Error::ArchiveTaken { path }) if *path == archived),
            "{refused:?}"
        );
        assert_eq!(log.store.earliest_index(), 900, "nothing was dropped");
    }
    assert_eq!(log.fs.content(&archived).unwrap(), b"another node's");
    // The copy that a crash left before the original was removed is its own.
    let original = Path::new("/data/history").join(archived.file_name().unwrap());
    let own = log.fs.content(&original).unwrap();
    log.fs.set_content(&archived, &own).unwrap();
    log.store.retain(&policy, u64::MAX, 0).unwrap();
    assert_eq!(log.store.earliest_index(), 920);
}

#[test]
fn what_was_dropped_can_come_again() {
    let log = log_with_history(&started_at(1000));
    log.store.retain(&keep_events(119), u64::MAX, 0).unwrap();
    assert_eq!(log.store.earliest_index(), 920);
    import(&log, 900);
    let log = log.reopen().unwrap();
    assert_eq!(log.store.earliest_index(), 900);
}

/// Takes runs in and drops them until another thread has read often enough.
#[test]
fn readers_see_whole_runs_while_history_comes_and_goes() {
    const PAGES: u64 = 300;
    let log = log_with_history(&started_at(1000));
    std::thread::scope(|scope| {
        let store = log.store.clone();
        let reader = scope.spawn(move || {
            let mut pages = 0;
            while pages < PAGES {
                pages += u64::from(read_some(&store));
            }
        });
        while !reader.is_finished() {
            for first in (800..900).rev().filter(|index| index % 20 == 0) {
                import(&log, first);
            }
            let reclaimed = log.store.retain(&keep_events(140), u64::MAX, 0);
            assert_eq!(reclaimed.unwrap().segments_deleted, 5);
        }
    });
    let log = log.reopen().unwrap();
    assert_eq!(log.store.earliest_index(), 900);
    assert!(log.verify().is_intact());
}

/// Reads across the seam; false when retention was faster.
fn read_some(store: &Store<MemFs>) -> bool {
    let from = store.earliest_index();
    match store.read(from, 90, 1 << 20) {
        Ok(page) => {
            for (n, found) in page.iter().enumerate() {
                let index = from + n as u64;
                assert_eq!(*found, entry(1, index, format!("payload {index}")));
            }
            true
        }
        Err(Error::Compacted { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}
