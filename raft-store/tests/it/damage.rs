//! Cuts and flips at every byte. The store cuts off exactly the records that it never knew to be durable. It refuses
//! damage in durable ones.

use std::io;
use std::path::PathBuf;

use crate::support::entry;
use crate::support::log::{Log, options};
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::{Error, FileSystem, Identity, MemFs, Vote};

/// As in `docs/wal-format.md`.
const SEGMENT_HEADER_BYTES: usize = 192;

/// Three batches of one entry, then a batch of three: the last is covered by no mark.
fn log_with_unmarked_batch() -> (Log, u64, u64) {
    let mut log = Log::new();
    (0..3).for_each(|index| log.write(index));
    let before = log.verify().end.offset;
    let batch = (3..6)
        .map(|index| entry(1, index, format!("payload {index}")))
        .collect();
    let _completion = log.append(batch).unwrap();
    log.writer.step();
    let end = log.verify().end.offset;
    (log, before, end)
}

fn reopened_with(log: &Log, content: &[u8]) -> Result<Log, Error> {
    let fs = MemFs::new(0);
    let path = log.segment(1);
    drop(FileSystem::create(&fs, &path).unwrap());
    fs.set_content(&path, content).unwrap();
    Log::open(&fs, &options())
}

/// The log must end at `last`, take the next entry, and still have it after another start.
fn assert_goes_on_after(mut log: Log, last: u64) {
    assert_eq!(log.last_index(), Some(last));
    assert_eq!(log.entries().len() as u64, last + 1);
    log.write(last + 1);
    let mut log = log.reopen().unwrap();
    let entries = log.entries();
    assert_eq!(entries.len() as u64, last + 2);
    for (index, found) in entries.iter().enumerate() {
        assert_eq!(*found, entry(1, index as u64, format!("payload {index}")));
    }
}

/// The last entry whose record ends at or below `offset`.
fn last_below(log: &Log, end: u64, offset: u64) -> u64 {
    let records = log.records();
    let ends = records.iter().skip(1).map(|(at, _)| at.offset).chain([end]);
    let whole = records.iter().zip(ends).filter(|(_, end)| *end <= offset);
    whole.filter_map(|((_, index), _)| *index).last().unwrap()
}

/// The file had its full length before anything was written to it. So a file that is shorter may have lost
/// acknowledged entries, and no torn write makes it shorter.
#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let (log, _, end) = log_with_unmarked_batch();
    let content = log.fs.content(&log.segment(1)).unwrap();
    let behind = [end as usize + 1, content.len() / 2, content.len() - 1];
    for cut in (SEGMENT_HEADER_BYTES..=end as usize).chain(behind) {
        let refused = reopened_with(&log, &content[..cut]).map(drop);
        assert!(
            matches!(refused, Err(Error::Damaged { .. })),
            "{cut}: {refused:?}"
        );
    }
}

#[test]
fn a_last_segment_that_lost_its_header_or_itself_is_refused() {
    let mut options = options();
    options.segment_bytes = 1024;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    (0..20).for_each(|index| log.write(index));
    let last = log.store.stats().segment_count;
    let path = log.segment(last);
    let content = log.fs.content(&path).unwrap();
    for cut in 0..SEGMENT_HEADER_BYTES {
        log.fs.set_content(&path, &content[..cut]).unwrap();
        assert!(!log.verify().is_intact(), "{cut}");
        log.fs.kill();
        let refused = Log::open(&log.fs, &options).map(drop);
        assert!(
            matches!(&refused, Err(Error::Damaged { file, .. }) if *file == path),
            "{cut}"
        );
    }
    FileSystem::remove(&log.fs, &path).unwrap();
    assert!(!log.verify().is_intact());
    assert!(matches!(log.reopen().map(drop), Err(Error::Damaged { .. })));
}

#[test]
fn zeros_from_every_byte_of_the_last_batch_keep_exactly_the_whole_records() {
    let (log, before, end) = log_with_unmarked_batch();
    for cut in before..=end {
        let mut content = log.fs.content(&log.segment(1)).unwrap();
        content[cut as usize..].fill(0);
        // Zeros over padding or a zero byte change nothing.
        let unchanged = content == log.fs.content(&log.segment(1)).unwrap();
        let offset = if unchanged { end } else { cut };
        let last = last_below(&log, end, offset);
        let found = reopened_with(&log, &content).unwrap();
        assert!(found.last_index() >= Some(last));
        let last = found.last_index().unwrap();
        assert_goes_on_after(found, last);
    }
}

#[test]
fn a_flip_in_the_last_batch_cuts_from_there() {
    let (log, before, end) = log_with_unmarked_batch();
    for place in before..end {
        let mut content = log.fs.content(&log.segment(1)).unwrap();
        content[place as usize] ^= 0x40;
        let last = last_below(&log, end, place);
        assert_goes_on_after(reopened_with(&log, &content).unwrap(), last);
    }
}

#[test]
fn a_flip_below_a_mark_is_refused_with_its_place() {
    let (log, before, _) = log_with_unmarked_batch();
    for place in 0..before {
        let mut content = log.fs.content(&log.segment(1)).unwrap();
        content[place as usize] ^= 0x01;
        match reopened_with(&log, &content).map(drop) {
            Err(Error::Damaged { offset, .. }) => assert!(offset <= place),
            other => panic!("a flip at {place} gave {other:?}"),
        }
    }
}

#[test]
fn zeros_below_a_mark_are_refused() {
    let (log, before, _) = log_with_unmarked_batch();
    for place in (SEGMENT_HEADER_BYTES as u64..before - 8).step_by(8) {
        let mut content = log.fs.content(&log.segment(1)).unwrap();
        content[place as usize..before as usize].fill(0);
        assert!(matches!(
            reopened_with(&log, &content),
            Err(Error::Damaged { .. })
        ));
    }
}

#[test]
fn a_closing_mark_covers_the_last_batch() {
    let (mut log, before, end) = log_with_unmarked_batch();
    log.writer.idle();
    let marked_end = log.verify().end.offset;
    assert!(marked_end > end);
    for place in before..end {
        let mut content = log.fs.content(&log.segment(1)).unwrap();
        content[place as usize] ^= 0x80;
        assert!(matches!(
            reopened_with(&log, &content),
            Err(Error::Damaged { .. })
        ));
    }
    for place in end..marked_end {
        let mut content = log.fs.content(&log.segment(1)).unwrap();
        content[place as usize] ^= 0x80;
        assert_goes_on_after(reopened_with(&log, &content).unwrap(), 5);
    }
}

#[test]
fn damage_in_a_sealed_segment_is_refused_and_named_by_verify() {
    let mut options = options();
    options.segment_bytes = 1024;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    (0..60).for_each(|index| log.write(index));
    assert!(log.store.stats().segment_count > 3);
    assert!(log.verify().is_intact());
    let path = log.segment(2);
    let content = log.fs.content(&path).unwrap();
    for place in (0..content.len()).step_by(7) {
        let mut flipped = content.clone();
        flipped[place] ^= 2;
        log.fs.set_content(&path, &flipped).unwrap();
        let report = log.verify();
        assert!(
            report.damages.iter().any(|damage| damage.file == path),
            "{place}: {report:?}"
        );
        log.fs.kill();
        let refused = Log::open(&log.fs, &options).map(drop);
        assert!(
            matches!(refused, Err(Error::Damaged { .. })),
            "{place}: {refused:?}"
        );
    }
    log.fs
        .set_content(&path, &content[..content.len() - 8])
        .unwrap();
    assert!(!log.verify().is_intact());
    log.fs.set_content(&path, &content).unwrap();
    log.fs.kill();
    assert_eq!(Log::open(&log.fs, &options).unwrap().last_index(), Some(59));
}

#[test]
fn a_cold_read_of_damaged_bytes_is_an_error_and_never_data() {
    let mut log = Log::new();
    (0..5).for_each(|index| log.write(index));
    log.commit(entry(1, 4, "").log_id).unwrap();
    log.write(5);
    let at = log
        .records()
        .iter()
        .find(|(_, index)| *index == Some(2))
        .unwrap()
        .0
        .offset as usize;
    let mut content = log.fs.content(&log.segment(1)).unwrap();
    content[at + 20] ^= 1;
    log.fs.set_content(&log.segment(1), &content).unwrap();
    assert!(matches!(
        log.store.read(2, 1, 1000),
        Err(Error::Damaged { .. })
    ));
    assert_eq!(log.store.read(3, 1, 1000).unwrap().len(), 1);
}

#[test]
fn a_missing_segment_is_refused() {
    let mut options = options();
    options.segment_bytes = 1024;
    for missing in [1, 2] {
        let mut log = Log::open(&MemFs::new(0), &options).unwrap();
        (0..60).for_each(|index| log.write(index));
        FileSystem::remove(&log.fs, &log.segment(missing)).unwrap();
        assert!(!log.verify().is_intact(), "{missing}");
        assert!(matches!(log.reopen().map(drop), Err(Error::Damaged { .. })));
    }
}

/// Segments are dropped from the front: up to what Raft has purged, and no further.
#[test]
fn a_log_that_does_not_reach_back_to_what_was_purged_is_refused() {
    let mut options = options();
    options.segment_bytes = 1024;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    (0..60).for_each(|index| log.write(index));
    log.purge(entry(1, 30, "").log_id).unwrap();
    log.write(60);
    let first = |log: &Log| log.records().iter().find_map(|(_, index)| *index).unwrap();
    for number in 1.. {
        FileSystem::remove(&log.fs, &log.segment(number)).unwrap();
        let needed = first(&log) <= 31;
        assert_eq!(log.verify().is_intact(), needed, "{number}");
        match log.reopen() {
            Ok(reopened) => log = reopened,
            Err(Error::Damaged { .. }) if !needed => return,
            Err(error) => panic!("{number}: {error}"),
        }
        assert!(needed, "{number}");
    }
}

/// A log of many small segments, which a node has open, and the path of one in the middle.
fn running() -> (Log, PathBuf) {
    let mut options = options();
    options.segment_bytes = 1024;
    let mut log = Log::open(&MemFs::new(0), &options).unwrap();
    (0..400).for_each(|index| log.write(index));
    let middle = log.segment(5);
    (log, middle)
}

#[test]
fn while_a_node_runs_only_what_looked_wrong_is_read_again() {
    let (log, middle) = running();
    let verified = || {
        let before = log.fs.operations();
        let report = log.verify();
        (report, log.fs.operations() - before)
    };
    let (report, all) = verified();
    assert!(report.is_intact(), "{report:?}");
    let mut content = log.fs.content(&middle).unwrap();
    content[300] ^= 1;
    log.fs.set_content(&middle, &content).unwrap();
    let (report, with_one_again) = verified();
    let [damage] = report.damages.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(damage.file, middle);
    assert!(with_one_again < all + all / 2, "{all}, {with_one_again}");
}

#[test]
fn while_a_node_runs_a_segment_that_does_not_continue_the_log_is_still_damage() {
    let (log, middle) = running();
    let mut other = Log::open(&MemFs::new(1), &log.options).unwrap();
    other.vote(Vote::new(3, 2)).unwrap();
    (0..400).for_each(|index| other.write(index));
    let theirs = other.fs.content(&middle).unwrap();
    log.fs.set_content(&middle, &theirs).unwrap();
    let report = log.verify();
    let [damage] = report.damages.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(damage.file, middle);
    assert!(damage.what.contains("does not continue"), "{damage}");
}

#[test]
fn while_a_node_runs_a_log_that_was_not_found_at_once_is_read_all_the_same() {
    let (log, _) = running();
    let sound = log.verify();
    let fail_to_open = |nth, sticky| {
        log.fs.inject(DiskFault {
            op: FaultOp::Open,
            nth,
            error: io::ErrorKind::Other,
            sticky,
        });
    };
    for nth in 1..=4 {
        fail_to_open(nth, false);
        let report = log.verify();
        assert!(report.is_intact(), "{nth}: {report:?}");
        assert_eq!(report.segments, sound.segments, "{nth}: {report:?}");
    }
    fail_to_open(1, true);
    assert!(!log.verify().is_intact());
}

#[test]
fn verify_misses_the_log_of_a_used_folder_and_the_snapshot_behind_a_purge() {
    let mut log = Log::new();
    let node = Identity {
        cluster_id: 5,
        node_id: 1,
        incarnation: 7,
        cluster_name: String::new(),
    };
    log.store.write_identity(&node).unwrap();
    (0..5).for_each(|index| log.write(index));
    let report = log.verify();
    assert!(report.is_intact() && report.missing_snapshot(&log.options.dir).is_none());
    log.purge(entry(1, 2, "").log_id).unwrap();
    log.write(5);
    let report = log.verify();
    assert!(report.is_intact(), "the log alone is whole: {report:?}");
    let missing = report.missing_snapshot(&log.options.dir).unwrap();
    assert!(missing.what.contains("entry 2"), "{missing}");
    FileSystem::remove(&log.fs, &log.segment(1)).unwrap();
    assert!(!log.verify().is_intact());
    assert!(log.reopen().is_err());
}
