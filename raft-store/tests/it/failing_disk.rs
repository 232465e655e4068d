//! A disk that fails or fills up at each operation of a recorded run. What the log acknowledged is there afterwards. A
//! failure of the log is final, and any other failure is not.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use crate::support::entry;
use crate::support::log::{Log, options, outcome};
use bytes::Bytes;
use futures_util::FutureExt;
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::{
    Entry, Error, FileSystem, Identity, MemFs, Options, Retention, SnapshotMeta, Vote, log_id,
};

/// The last entry that the snapshot from another node covers.
const RECEIVED: u64 = 30;

/// What the store acknowledged to the run, which the run must find again.
#[derive(Default)]
struct Told {
    entries: BTreeMap<u64, Entry>,
    /// Entries below this offset may be gone, because the run has at least asked for their removal.
    kept_from: u64,
    /// The end of what was asked for.
    asked_to: u64,
    vote: Option<Vote>,
    /// The newest snapshot that was told to be there.
    snapshot: Option<u64>,
    identity: bool,
    met: bool,
}

struct Run {
    log: Log,
    told: Told,
    /// Everything that failed, for people.
    failures: Vec<String>,
}

fn small() -> Options {
    let mut options = options();
    options.segment_bytes = 2048;
    options.cluster_id = 7;
    options
}

fn numbered(index: u64) -> Entry {
    entry(1, index, format!("payload {index}"))
}

impl Run {
    fn note<T>(&mut self, what: &str, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        result
            .map_err(|error| self.failures.push(format!("{what}: {error}")))
            .ok()
    }

    /// A step outside the log: it may fail, but the log must not.
    fn beside<T>(
        &mut self,
        what: &str,
        step: impl FnOnce(&mut Log) -> Result<T, Error>,
    ) -> Option<T> {
        let failed = self.log.store.failed().is_some();
        let done = step(&mut self.log);
        assert_eq!(self.log.store.failed().is_some(), failed, "{what}");
        self.note(what, done)
    }

    /// Entries in a batch of their own.
    fn append(&mut self, indexes: std::ops::Range<u64>) {
        let entries: Vec<Entry> = indexes.clone().map(numbered).collect();
        let failed = self.log.store.failed();
        let appended = self.log.append(entries.clone());
        self.told.asked_to = indexes.end;
        let Some(completion) = self.note("append", appended) else {
            assert!(failed.is_some(), "an append was refused by a sound log");
            return;
        };
        assert!(failed.is_none(), "a failed log has taken an append");
        self.log.step_with_room();
        match outcome(completion).expect("the writer completes what it takes") {
            Ok(()) => {
                let kept = entries.into_iter().map(|entry| (entry.log_id.index, entry));
                self.told.entries.extend(kept);
            }
            Err(error) => {
                let first = self.log.store.failed().expect("the failure is latched");
                assert!(error.to_string().contains(&first.to_string()), "{error}");
                self.failures.push(format!("write: {error}"));
            }
        }
    }

    fn vote(&mut self, vote: Vote) {
        let saved = self.log.vote(vote);
        if self.note("vote", saved).is_some() {
            self.told.vote = Some(vote);
        }
    }

    fn purge(&mut self, index: u64) {
        let purged = self.log.purge(log_id(1, index));
        self.note("purge", purged);
        self.log.step_with_room();
    }

    /// The node's own snapshot. The log is purged because of it only if it exists.
    fn snapshot(&mut self, index: u64) {
        let written = self.beside("snapshot", |log| write_snapshot(log, index));
        if written.is_some() {
            self.told.snapshot = Some(index);
            self.purge(index);
        }
    }

    /// Another node's snapshot, beyond the end of the log.
    fn receive_snapshot(&mut self, blocks: &[Bytes]) {
        let received = self.beside("receive", |log| {
            let mut receiver = log.store.snapshots().receive()?;
            for block in blocks {
                receiver.write_block(block)?;
            }
            receiver.finish()
        });
        let Some(handle) = received else {
            return;
        };
        self.told.snapshot = Some(RECEIVED);
        // It fails when the log has, and is then made up for at the next start.
        let _ = self.log.store.install(&handle);
        self.told.kept_from = RECEIVED + 1;
        self.told.asked_to = RECEIVED + 1;
        self.purge(RECEIVED);
    }

    fn receive_history(&mut self) {
        let received = self.beside("history", |log| {
            let mut receiver = log.store.receive_history(20, RECEIVED)?;
            for half in [20..26, 26..RECEIVED + 1] {
                receiver.push(&half.map(numbered).collect::<Vec<_>>())?;
            }
            receiver.finish()
        });
        if received.is_some() {
            let entries = (20..=RECEIVED).map(|index| (index, numbered(index)));
            self.told.entries.extend(entries);
            self.told.kept_from = 20;
        }
    }

    fn retain(&mut self) {
        let policy = Retention {
            events: Some(4),
            ..Retention::default()
        };
        self.told.kept_from = self.told.asked_to.saturating_sub(4);
        self.beside("retention", |log| log.store.retain(&policy, u64::MAX, 0));
    }

    fn roster_and_identity(&mut self) {
        let written = self.beside("identity", |log| log.store.write_identity(&identity()));
        self.told.identity |= written.is_some();
        let met = self.beside("roster", |log| log.store.roster()?.meet(2, 20));
        self.told.met |= met.is_some();
    }

    fn all(&mut self, blocks: &[Bytes]) {
        self.roster_and_identity();
        (0..12).for_each(|index| self.append(index..index + 1));
        self.vote(Vote::new(3, 1));
        self.snapshot(8);
        self.append(12..20);
        self.receive_snapshot(blocks);
        let next = self.told.asked_to;
        self.append(next..next + 3);
        self.receive_history();
        (0..20).for_each(|n| self.append(next + 3 + n..next + 4 + n));
        self.snapshot(next + 10);
        self.retain();
        self.log.writer.idle();
        self.a_failed_log_stays_failed();
    }

    /// Every later request gets the first reason.
    fn a_failed_log_stays_failed(&mut self) {
        let Some(first) = self.log.store.failed() else {
            return;
        };
        let first = first.to_string();
        let end = self.told.asked_to;
        let told = [
            self.log.append(vec![numbered(end)]).map(drop),
            self.log.vote(Vote::new(9, 1)),
            self.log.purge(log_id(1, end)),
            self.log.truncate(None),
        ];
        for told in told {
            assert!(told.unwrap_err().to_string().contains(&first));
        }
        let synced = self.log.store.sync().now_or_never().unwrap();
        assert!(synced.unwrap_err().to_string().contains(&first));
    }
}

fn write_snapshot(log: &mut Log, index: u64) -> Result<(), Error> {
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(1, index)),
        ..SnapshotMeta::default()
    };
    let records = (0..index).map(|n| Bytes::from(format!("record {n}")));
    log.store.snapshots().write(&meta, 9, records).map(drop)
}

fn identity() -> Identity {
    Identity {
        cluster_id: 7,
        node_id: 1,
        incarnation: 11,
        cluster_name: "failing".into(),
    }
}

/// A snapshot of another node, as it is sent.
fn blocks() -> Vec<Bytes> {
    let mut log = Log::open(&MemFs::new(0), &small()).unwrap();
    write_snapshot(&mut log, RECEIVED).unwrap();
    let handle = log.store.snapshots().current().unwrap().unwrap();
    let starts = (0..handle.info().bytes).step_by(100);
    starts
        .map(|at| handle.read_block(at, 100).unwrap())
        .collect()
}

/// Runs on a disk that was prepared, then starts again on a sound one and checks all of it.
/// Returns what failed.
fn run_and_check(fs: &MemFs, blocks: &[Bytes], power_cut: bool, context: &str) -> Vec<String> {
    let mut run = match Log::open(fs, &small()) {
        Ok(log) => Run {
            log,
            told: Told::default(),
            failures: Vec::new(),
        },
        Err(error) => {
            reopen(fs, power_cut, context);
            return vec![format!("open: {error}")];
        }
    };
    run.all(blocks);
    let Run {
        log,
        told,
        failures,
    } = run;
    drop(log);
    let mut log = reopen(fs, power_cut, context);
    let context = format!("{context}, power cut {power_cut}: {failures:?}");
    check(&mut log, &told, &context);
    failures
}

fn reopen(fs: &MemFs, power_cut: bool, context: &str) -> Log {
    fs.set_capacity_bytes(u64::MAX);
    if power_cut {
        fs.crash();
    } else {
        fs.kill();
    }
    Log::open(fs, &small()).unwrap_or_else(|error| panic!("{context}: {error}"))
}

fn check(log: &mut Log, told: &Told, context: &str) {
    let store = log.store.clone();
    let earliest = store.earliest_index();
    for (index, entry) in told.entries.range(told.kept_from..) {
        let found = store.read(*index, 1, usize::MAX);
        assert_eq!(found.ok(), Some(vec![entry.clone()]), "{context}");
    }
    for found in store.read(earliest, usize::MAX, usize::MAX).unwrap() {
        assert_eq!(found, numbered(found.log_id.index), "{context}");
    }
    assert!(log.last_index() < Some(told.asked_to), "{context}");
    assert!(store.vote() >= told.vote, "{context}");
    let snapshots = store.snapshots();
    let current = snapshots.current().unwrap();
    let covered = current.as_ref().and_then(|snapshot| snapshot.info().index);
    assert!(covered >= told.snapshot, "{covered:?}: {context}");
    assert!(
        covered >= store.purged().map(|id| id.index),
        "purged without a snapshot: {context}"
    );
    if let Some(snapshot) = current {
        let records = snapshots.open_records(&snapshot).unwrap();
        let records: Vec<Bytes> = records.collect::<Result<_, _>>().unwrap();
        assert_eq!(Some(records.len() as u64), covered, "{context}");
    }
    assert!(!told.identity || store.identity().unwrap() == Some(identity()));
    let met = store.roster().unwrap().incarnation_of(2);
    assert!(!told.met || met == Some(20), "{context}");
    for dir in ["/data/snapshots", "/data/history", "/data/wal"] {
        let names = log.fs.list(Path::new(dir)).unwrap();
        assert!(
            !names.iter().any(|name| name.ends_with(".tmp")),
            "{names:?} in {dir}: {context}"
        );
    }
    let next = log.last_index().map_or(0, |last| last + 1);
    log.write(next);
}

fn fault(op: FaultOp, nth: u64, sticky: bool) -> DiskFault {
    let error = ErrorKind::Other;
    DiskFault {
        op,
        nth,
        error,
        sticky,
    }
}

/// By the step that failed.
fn count(steps: &mut BTreeMap<String, u64>, failures: &[String]) {
    for failure in failures {
        let step = failure.split(':').next().unwrap().to_owned();
        *steps.entry(step).or_default() += 1;
    }
}

#[test]
fn a_disk_that_fails_once_or_for_good_at_any_operation_loses_nothing_acknowledged() {
    let blocks = blocks();
    let sound = MemFs::new(0);
    assert_eq!(run_and_check(&sound, &blocks, true, "sound"), [""; 0]);
    let operations = sound.operations();
    let ops = [
        FaultOp::Open,
        FaultOp::Read,
        FaultOp::Write,
        FaultOp::Sync,
        FaultOp::SyncDir,
        FaultOp::Name,
    ];
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for op in ops {
        // There are fewer of each kind than of all.
        for nth in 1..=operations {
            let mut hit = false;
            for (sticky, power_cut) in [(false, false), (false, true), (true, true)] {
                let fs = MemFs::new(nth);
                fs.inject(fault(op, nth, sticky));
                let context = format!("{op:?} {nth}, sticky {sticky}");
                let failures = run_and_check(&fs, &blocks, power_cut, &context);
                hit |= !failures.is_empty();
                count(&mut kinds, &failures);
            }
            // The store ignores a failure to remove leftovers, so one run without an error does not prove the end.
            if !hit && nth > 100 {
                break;
            }
        }
    }
    let steps = "open write vote snapshot receive history retention identity roster";
    for step in steps.split(' ') {
        assert!(kinds.contains_key(step), "{step} never failed: {kinds:?}");
    }
}

#[test]
fn a_disk_that_fills_up_at_any_size_loses_nothing_acknowledged() {
    let blocks = blocks();
    let mut steps: BTreeMap<String, u64> = BTreeMap::new();
    for capacity in (0..24_000).step_by(53) {
        for power_cut in [false, true] {
            let fs = MemFs::new(capacity);
            fs.set_capacity_bytes(capacity);
            let context = format!("capacity {capacity}");
            count(
                &mut steps,
                &run_and_check(&fs, &blocks, power_cut, &context),
            );
        }
    }
    // The log itself waits where there is no room for its next segment.
    for step in ["open", "snapshot", "receive", "history"] {
        assert!(steps.contains_key(step), "{step} never failed: {steps:?}");
    }
}
