//! History from another node: it joins the log, reads like it, and goes as a whole or not at all.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::support::entry;
use crate::support::log::{Log, options};
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::replay::{RecordVisitor, visit_history};
use rstmdb_raft_store::{
    Entry, Error, FileSystem, Keyring, LogPosition, LogRecord, MemFs, Options, RealFs, Store,
    log_id, verify,
};

const FOLDER: &str = "/data/history";

/// A log that had `0..20`, then a snapshot up to 999, then `1000..1040`, in small segments.
fn log_behind_a_gap(seed: u64) -> Log {
    let mut options = options();
    options.segment_bytes = 1024;
    let mut log = Log::open(&MemFs::new(seed), &options).unwrap();
    (0..20).for_each(|index| log.write(index));
    log.purge(log_id(1, 999)).unwrap();
    (1000..1040).for_each(|index| log.write(index));
    log.commit(log_id(1, 1039)).unwrap();
    log
}

fn entries(first: u64, last: u64) -> Vec<Entry> {
    (first..=last)
        .map(|index| entry(1, index, format!("payload {index}")))
        .collect()
}

/// Takes in a run in several parts.
fn import<F: FileSystem>(store: &Store<F>, first: u64, last: u64) -> Result<(), Error> {
    let mut receiver = store.receive_history(first, last)?;
    for part in entries(first, last).chunks(7) {
        receiver.push(part)?;
    }
    receiver.finish()
}

fn path(first: u64, last: u64) -> PathBuf {
    Path::new(FOLDER).join(format!("{first:020}-{last:020}.wal"))
}

fn files(log: &Log) -> Vec<String> {
    log.fs.list(Path::new(FOLDER)).unwrap()
}

fn all<F: FileSystem>(store: &Store<F>) -> Vec<Entry> {
    let earliest = store.earliest_index();
    store.read(earliest, usize::MAX, usize::MAX).unwrap()
}

fn assert_compacted<F: FileSystem>(store: &Store<F>, index: u64) {
    let read = store.read(index, 1, 1);
    assert!(matches!(read, Err(Error::Compacted { asked, .. }) if asked == index));
}

fn assert_refused<T>(result: Result<T, Error>) {
    assert!(matches!(
        result.map(drop),
        Err(Error::HistoryRefused { .. })
    ));
}

#[test]
fn history_reads_across_the_seam_and_after_a_restart() {
    let mut log = log_behind_a_gap(0);
    assert_eq!(log.store.earliest_index(), 1000);
    let before = log.store.stats();
    import(&log.store, 950, 999).unwrap();
    import(&log.store, 900, 949).unwrap();
    for _ in 0..2 {
        assert_eq!(log.store.earliest_index(), 900);
        assert_eq!(all(&log.store), entries(900, 1039));
        assert_eq!(log.store.read(945, 10, 1 << 20).unwrap(), entries(945, 954));
        assert_eq!(log.store.read(998, 4, 1 << 20).unwrap(), entries(998, 1001));
        assert_eq!(log.store.read(930, 10, 1).unwrap(), entries(930, 930));
        assert_compacted(&log.store, 899);
        // It is history only: Raft's own log begins where it did.
        assert_eq!(log.entries(), entries(1000, 1039));
        let stats = log.store.stats();
        assert_eq!(stats.entry_count, before.entry_count + 100);
        assert_eq!(stats.segment_count, before.segment_count + 2);
        assert!(stats.total_size_bytes > before.total_size_bytes + 100 * 40);
        let report = log.verify();
        assert!(report.is_intact(), "{:?}", report.damages);
        assert_eq!((report.history_files, report.range), (2, Some((900, 1039))));
        log = log.reopen().unwrap();
    }
}

#[test]
fn history_works_the_same_on_a_real_disk() {
    let log = log_behind_a_gap(0);
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    for name in log.fs.list(Path::new("/data/wal")).unwrap() {
        let content = log.fs.content(&Path::new("/data/wal").join(&name)).unwrap();
        std::fs::write(dir.path().join("wal").join(name), content).unwrap();
    }
    let open = || Store::open(RealFs, Options::new(dir.path())).unwrap();
    let (store, writer) = open();
    import(&store, 950, 999).unwrap();
    import(&store, 900, 949).unwrap();
    drop(store.receive_history(850, 899).unwrap());
    assert_eq!(all(&store), entries(900, 1039));
    drop((store, writer));
    let (store, _writer) = open();
    assert_eq!(all(&store), entries(900, 1039));
    let names = RealFs.list(&dir.path().join("history")).unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(verify(&RealFs, dir.path(), &Keyring::default(), false).is_intact());
}

#[test]
fn only_a_run_that_joins_is_taken_in() {
    let log = log_behind_a_gap(0);
    let store = &log.store;
    assert_refused(store.receive_history(900, 998));
    assert_refused(store.receive_history(1000, 1000));
    assert_refused(store.receive_history(1000, 999));
    // The same run twice at once: the second one comes too late, and removes nothing.
    let mut second = store.receive_history(990, 999).unwrap();
    second.push(&entries(990, 999)).unwrap();
    import(store, 990, 999).unwrap();
    assert_refused(second.finish());
    assert_eq!(log.reopen().unwrap().store.earliest_index(), 990);
    // What Raft still has is not history.
    let mut log = Log::new();
    assert_refused(log.store.receive_history(0, 0));
    log.append(entries(5, 9)).unwrap();
    log.writer.step();
    assert_eq!(log.store.earliest_index(), 5);
    assert_refused(log.store.receive_history(0, 4));
}

#[test]
fn entries_that_do_not_fit_are_refused_and_end_the_run() {
    let log = log_behind_a_gap(0);
    let wrong = [
        vec![entry(1, 991, "later")],
        vec![entry(1, 990, "a"), entry(1, 990, "again")],
        vec![entry(0, 990, "a"), entry(1, 991, "b"), entry(0, 992, "c")],
        vec![entry(2, 990, "of a term that came later")],
        (990..=1000).map(|index| entry(1, index, "x")).collect(),
        // Here 999 was purged with another term.
        (990..=999).map(|index| entry(0, index, "x")).collect(),
    ];
    for entries in wrong {
        let mut receiver = log.store.receive_history(990, 999).unwrap();
        assert_refused(receiver.push(&entries));
        assert_refused(receiver.push(&[]));
        assert_refused(receiver.finish());
    }
    let mut short = log.store.receive_history(990, 999).unwrap();
    short.push(&entries(990, 998)).unwrap();
    assert_refused(short.finish());
    assert_eq!((log.store.earliest_index(), files(&log).len()), (1000, 0));
    import(&log.store, 990, 999).unwrap();
}

#[test]
fn a_gap_cuts_history_off_at_once() {
    let mut log = log_behind_a_gap(0);
    import(&log.store, 950, 999).unwrap();
    log.purge(log_id(1, 1999)).unwrap();
    log.writer.step();
    assert_eq!(log.store.earliest_index(), 2000);
    assert_compacted(&log.store, 960);
    assert_refused(log.store.receive_history(900, 949));
    import(&log.store, 1900, 1999).unwrap();
    assert_eq!(all(&log.store), entries(1900, 1999));
    assert_eq!(files(&log).len(), 1, "what was cut off is removed");
    log.write(2000);
    let log = log.reopen().unwrap();
    assert_eq!(all(&log.store), entries(1900, 2000));
}

#[test]
fn history_before_a_gap_is_removed_at_the_next_start() {
    let mut log = log_behind_a_gap(0);
    import(&log.store, 950, 999).unwrap();
    import(&log.store, 900, 949).unwrap();
    log.purge(log_id(1, 1999)).unwrap();
    log.write(2000);
    assert_eq!(files(&log).len(), 2);
    let report = log.verify();
    assert_eq!(
        (report.range, report.damages.len()),
        (Some((2000, 2000)), 0)
    );
    let told = report
        .notes
        .iter()
        .filter(|note| note.contains("does not join"));
    assert_eq!(told.count(), 2);
    let log = log.reopen().unwrap();
    assert_eq!((log.store.earliest_index(), files(&log).len()), (2000, 0));
}

#[test]
fn an_unfinished_run_is_removed_at_the_next_start() {
    let log = log_behind_a_gap(0);
    import(&log.store, 990, 999).unwrap();
    let mut receiver = log.store.receive_history(980, 989).unwrap();
    receiver.push(&entries(980, 985)).unwrap();
    assert_eq!(files(&log).len(), 2);
    // The process ends without a chance to clean up.
    std::mem::forget(receiver);
    let log = log.reopen().unwrap();
    assert_eq!((log.store.earliest_index(), files(&log).len()), (990, 1));
}

#[test]
fn segments_before_a_gap_go_before_the_history_that_fills_it() {
    let log = log_behind_a_gap(0);
    import(&log.store, 950, 999).unwrap();
    let before = log.fs.list(Path::new("/data/wal")).unwrap().len();
    let keep_all = Default::default();
    let reclaimed = log.store.retain(&keep_all, u64::MAX, 0).unwrap();
    let after = log.fs.list(Path::new("/data/wal")).unwrap().len();
    assert!(reclaimed.segments_deleted > 0);
    assert_eq!(before - after, reclaimed.segments_deleted as usize);
    let log = log.reopen().unwrap();
    assert_eq!(all(&log.store), entries(950, 1039));
}

#[test]
fn retention_removes_what_a_gap_has_cut_off() {
    let mut log = log_behind_a_gap(0);
    import(&log.store, 950, 999).unwrap();
    log.purge(log_id(1, 1999)).unwrap();
    log.write(2000);
    let held = log.store.stats().segment_count;
    let reclaimed = log.store.retain(&Default::default(), 0, 0).unwrap();
    assert!(reclaimed.segments_deleted >= 1 && reclaimed.bytes > 50 * 40);
    assert_eq!(files(&log).len(), 0);
    assert_eq!(
        log.store.stats().segment_count,
        held - reclaimed.segments_deleted
    );
}

#[test]
fn history_can_come_before_the_gap_it_fills_is_on_disk() {
    let mut log = Log::new();
    log.purge(log_id(1, 99)).unwrap();
    import(&log.store, 50, 99).unwrap();
    log.writer.step();
    assert_eq!(all(&log.store), entries(50, 99));
    log.write(100);
    let log = log.reopen().unwrap();
    assert_eq!(all(&log.store), entries(50, 100));
}

#[test]
fn many_files_are_read_though_few_stay_indexed() {
    let log = log_behind_a_gap(0);
    for last in (0..1000u64).rev().step_by(20) {
        import(&log.store, last - 19, last).unwrap();
    }
    assert_eq!((log.store.earliest_index(), files(&log).len()), (0, 50));
    for _ in 0..2 {
        assert_eq!(all(&log.store), entries(0, 1039));
    }
    let log = log.reopen().unwrap();
    for from in (0..1000).step_by(15) {
        let page = log.store.read(from, 10, 1 << 20).unwrap();
        assert_eq!(page, entries(from, from + 9));
    }
    // The positions of a file are found once, not at every read.
    log.store.read(500, 1, 1 << 20).unwrap();
    let before = log.store.stats().bytes_read;
    log.store.read(501, 1, 1).unwrap();
    assert!(log.store.stats().bytes_read - before < 200);
}

#[test]
fn a_power_cut_at_any_step_leaves_the_run_whole_or_not_at_all() {
    let ops = [
        FaultOp::Open,
        FaultOp::Write,
        FaultOp::Sync,
        FaultOp::SyncDir,
        FaultOp::Name,
        FaultOp::Read,
    ];
    let (mut whole, mut absent) = (0, 0);
    for (seed, op) in (0..40).flat_map(|seed| ops.iter().map(move |op| (seed, *op))) {
        let log = log_behind_a_gap(seed);
        import(&log.store, 980, 999).unwrap();
        log.fs.inject(DiskFault {
            op,
            nth: 1 + seed % 9,
            error: ErrorKind::Other,
            sticky: true,
        });
        let done = import(&log.store, 960, 979).is_ok();
        assert_eq!(log.store.earliest_index(), if done { 960 } else { 980 });
        log.fs.crash();
        let log = log.reopen().unwrap();
        let earliest = log.store.earliest_index();
        assert!(earliest == 960 || (earliest == 980 && !done), "{earliest}");
        assert_eq!(all(&log.store), entries(earliest, 1039));
        assert!(log.verify().is_intact());
        *if earliest == 960 {
            &mut whole
        } else {
            &mut absent
        } += 1;
        if earliest == 980 {
            import(&log.store, 960, 979).unwrap();
            assert_eq!(all(&log.store), entries(960, 1039));
        }
    }
    assert!(whole > 20 && absent > 20, "{whole} {absent}");
}

#[test]
fn a_failure_costs_the_run_but_not_the_store() {
    let ops = [
        FaultOp::Open,
        FaultOp::Write,
        FaultOp::Sync,
        FaultOp::SyncDir,
        FaultOp::Name,
    ];
    for (op, nth) in ops.iter().flat_map(|op| (1..4).map(move |nth| (*op, nth))) {
        let log = log_behind_a_gap(0);
        log.fs.inject(DiskFault {
            op,
            nth,
            error: ErrorKind::Other,
            sticky: false,
        });
        if import(&log.store, 960, 999).is_err() {
            assert_eq!((log.store.earliest_index(), files(&log).len()), (1000, 0));
            import(&log.store, 960, 999).unwrap();
        }
        assert_eq!(files(&log).len(), 1);
        assert!(log.store.failed().is_none());
        assert_eq!(all(&log.reopen().unwrap().store), entries(960, 1039));
    }
}

#[test]
fn damage_is_named_by_read_and_by_verify_and_does_not_stop_the_start() {
    let mut log = log_behind_a_gap(0);
    import(&log.store, 980, 999).unwrap();
    import(&log.store, 960, 979).unwrap();
    let file = path(980, 999);
    let content = log.fs.content(&file).unwrap();
    for place in (0..content.len()).step_by(11) {
        let mut damaged = content.clone();
        damaged[place] ^= 2;
        let cut = content[..place].to_vec();
        for wrong in [damaged, cut] {
            log.fs.set_content(&file, &wrong).unwrap();
            log = log.reopen().unwrap();
            assert_eq!(log.store.read(960, 20, 1 << 20).unwrap().len(), 20);
            let told = log.store.read(985, 1, 1).unwrap_err();
            assert!(
                matches!(&told, Error::Damaged { file: named, covers, .. }
                    if *named == file && covers.contains("history")),
                "{place}: {told}"
            );
            let report = log.verify();
            assert_eq!(report.damages.len(), 1);
            assert_eq!(report.damages[0].file, file);
            log.write(log.last_index().unwrap() + 1);
        }
    }
    // What the advice says: without the file, what it joined goes too, and both come again.
    log.fs.remove(&file).unwrap();
    let log = log.reopen().unwrap();
    assert_eq!((log.store.earliest_index(), files(&log).len()), (1000, 0));
    import(&log.store, 960, 999).unwrap();
}

#[test]
fn a_file_under_another_name_is_damage() {
    let log = log_behind_a_gap(0);
    import(&log.store, 980, 989 + 10).unwrap();
    let content = log.fs.content(&path(980, 999)).unwrap();
    log.fs.remove(&path(980, 999)).unwrap();
    for first in [970, 985] {
        drop(log.fs.create(&path(first, 999)).unwrap());
        log.fs.set_content(&path(first, 999), &content).unwrap();
    }
    let log = log.reopen().unwrap();
    assert_eq!(log.store.earliest_index(), 970, "the longer of two");
    assert!(matches!(
        log.store.read(990, 1, 1),
        Err(Error::Damaged { .. })
    ));
    assert!(!log.verify().is_intact());
}

#[test]
fn damage_that_comes_while_running_is_found_at_the_read() {
    let log = log_behind_a_gap(0);
    import(&log.store, 980, 999).unwrap();
    let mut content = log.fs.content(&path(980, 999)).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    log.fs.set_content(&path(980, 999), &content).unwrap();
    let told = log.store.read(980, 20, 1 << 20).unwrap_err();
    assert!(
        told.to_string().contains("fetches it again automatically"),
        "{told}"
    );
    assert!(log.store.failed().is_none());
    assert_eq!(log.store.read(1000, 5, 1 << 20).unwrap().len(), 5);
}

#[test]
fn one_node_fills_another_from_its_files() {
    let mut options = options();
    options.segment_bytes = 4096;
    let mut from = Log::open(&MemFs::new(0), &options).unwrap();
    (0..1100).for_each(|index| from.write(index));
    assert_eq!(from.store.history_run(1000, 1 << 20), None, "not committed");
    from.commit(log_id(1, 1050)).unwrap();
    from.writer.idle();
    assert_eq!(from.store.history_run(1052, 1 << 20), None);
    assert_eq!(from.store.history_run(0, 1 << 20), None);
    assert_eq!(from.store.history_run(1051, 0), Some((1050, 1050)));
    assert_eq!(from.store.history_run(40, u64::MAX), Some((0, 39)));
    for log in [log_behind_a_gap(0), log_behind_a_gap(1)] {
        let mut runs = 0;
        let next = |log: &Log| from.store.history_run(log.store.earliest_index(), 8192);
        while let Some((first, last)) = next(&log) {
            let (bytes, each) = ((last - first + 1) * 64, 64);
            assert!(bytes <= 8192 + each, "{first}..={last}");
            let mut receiver = log.store.receive_history(first, last).unwrap();
            let mut next = first;
            while next <= last {
                let part = from
                    .store
                    .read(next, (last + 1 - next) as usize, 1000)
                    .unwrap();
                next += part.len() as u64;
                receiver.push(&part).unwrap();
            }
            receiver.finish().unwrap();
            runs += 1;
        }
        assert_eq!(all(&log.store), entries(0, 1039));
        assert!((7..20).contains(&runs), "{runs}");
        // The next time from files whose positions are not in memory.
        from = from.reopen().unwrap();
    }
}

#[test]
fn a_node_serves_what_it_took_in_itself() {
    let log = log_behind_a_gap(0);
    assert_eq!(log.store.history_run(1000, 1 << 20), None);
    import(&log.store, 980, 999).unwrap();
    import(&log.store, 960, 979).unwrap();
    assert_eq!(log.store.history_run(1010, 1 << 20), Some((960, 1009)));
    assert_eq!(log.store.history_run(1000, 1 << 20), Some((960, 999)));
    assert_eq!(log.store.history_run(960, 1 << 20), None);
    let (first, last) = log.store.history_run(1000, 512).unwrap();
    assert!(last == 999 && (985..999).contains(&first), "{first}");
    let log = log.reopen().unwrap();
    assert_eq!(log.store.history_run(1000, 1 << 20), Some((960, 999)));
}

/// Takes note of every entry that is shown.
#[derive(Default)]
struct Shown(Vec<Entry>);

impl RecordVisitor for Shown {
    fn record(&mut self, _at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        if let LogRecord::Entry(entry) = record {
            self.0.push(entry.to_entry()?);
        }
        Ok(())
    }
}

#[test]
fn visitors_are_shown_history_from_its_beginning_and_damage_in_it() {
    let log = log_behind_a_gap(13);
    let visit = |shown: &mut Shown| {
        let (dir, keys) = (&log.options.dir, &log.options.keys);
        visit_history(&log.fs, dir, keys, shown)
    };
    let mut shown = Shown::default();
    visit(&mut shown).unwrap();
    assert_eq!(shown.0, []);
    // Fetched newest first, shown oldest first.
    import(&log.store, 950, 999).unwrap();
    import(&log.store, 900, 949).unwrap();
    visit(&mut shown).unwrap();
    assert_eq!(shown.0, entries(900, 999));
    let mut content = log.fs.content(&path(950, 999)).unwrap();
    content[400] ^= 1;
    log.fs.set_content(&path(950, 999), &content).unwrap();
    let damaged = visit(&mut Shown::default());
    assert!(matches!(damaged, Err(Error::Damaged { .. })), "{damaged:?}");
}
