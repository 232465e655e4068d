//! Every disk that a power cut at any moment of a workload can leave, and the state that a start must make of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use rstmdb_raft_store::fs::{Cut, Moment, Recording};
use rstmdb_raft_store::{MemFs, SnapshotStore};

use super::entry;
use super::log::{Log, outcome};
use super::model::{Change, Model};
use super::story::{Promise, Told, identity, incarnation_of, readable, records_at, stop};

/// Runs one case alone: `workload:operations:choice`, as a failing one prints it. The choice is a
/// number, or `killed`.
const CASE_VARIABLE: &str = "RSTMDB_CASE";
/// Where one cut has more outcomes than this, some are chosen.
const EXHAUSTIVE_MAX: usize = 2000;
/// Of recoveries that did as many operations as others before, so many are cut off themselves.
const RECOVERIES_CUT_EACH: usize = 3;

/// Says which case it was, when that fails.
struct Case<'a> {
    name: String,
    moment: &'a Moment,
    cut: Option<&'a Cut>,
}

impl Case<'_> {
    fn is_skipped(&self) -> bool {
        std::env::var(CASE_VARIABLE).is_ok_and(|wanted| wanted != self.name)
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = self.cut.map(|cut| self.moment.describe(cut));
            let what = what.unwrap_or_default();
            eprintln!("--- {CASE_VARIABLE}={} ---\n{what}", self.name);
        }
    }
}

/// Cuts the power at every moment of a workload, in every way, and checks what comes of it. Says how
/// many different disks there were.
pub fn cut_everywhere(workload: &str, told: &Told) -> usize {
    cut_with(workload, told, EXHAUSTIVE_MAX)
}

/// As [`cut_everywhere`], with a choice of outcomes where there are more than `exhaustive_max`.
pub fn cut_with(workload: &str, told: &Told, exhaustive_max: usize) -> usize {
    let mut seen = HashSet::new();
    let mut recoveries = HashMap::new();
    let end = told.recording.operations();
    for operations in 0..=end {
        let moment = told.recording.moment(operations);
        let point = Point::new(told, operations);
        point.kill(workload, &moment);
        let cuts = moment.cuts(exhaustive_max, operations as u64);
        for (choice, cut) in cuts.iter().enumerate() {
            let case = Case {
                name: format!("{workload}:{operations}:{choice}"),
                moment: &moment,
                cut: Some(cut),
            };
            let fs = moment.after(cut);
            if !case.is_skipped() && seen.insert(point.digest(&fs)) {
                point.check(&fs, &mut recoveries);
            }
        }
    }
    if std::env::var_os(CASE_VARIABLE).is_some() {
        // One case is not too few of them.
        return usize::MAX;
    }
    println!("{workload}: {end} operations, {} disks", seen.len());
    seen.len()
}

/// A moment of a workload, and what must hold then.
struct Point<'a> {
    told: &'a Told,
    promise: Promise,
    allowed: Vec<Model>,
}

impl<'a> Point<'a> {
    fn new(told: &'a Told, operations: usize) -> Self {
        let promise = told.promise(operations);
        let allowed = told.allowed(&promise);
        Point {
            told,
            promise,
            allowed,
        }
    }

    /// Tells what there is to check.
    fn digest(&self, fs: &MemFs) -> u64 {
        let mut hasher = DefaultHasher::new();
        (fs.digest(), &self.promise).hash(&mut hasher);
        hasher.finish()
    }

    /// The process is killed and started again; what it found unsynced then is durable once the
    /// start is done, as it acts on that.
    fn kill(&self, workload: &str, moment: &Moment) {
        let case = Case {
            name: format!("{workload}:{}:killed", moment.operations()),
            moment,
            cut: None,
        };
        if case.is_skipped() {
            return;
        }
        let fs = moment.killed();
        fs.record();
        let (log, found) = self.open(&fs);
        let recovery = fs.recording();
        self.cut_after(&recovery, recovery.operations(), Some(&found));
        goes_on(log, found);
    }

    fn check(&self, fs: &MemFs, recoveries: &mut HashMap<usize, usize>) {
        fs.record();
        let (log, found) = self.open(fs);
        let recovery = fs.recording();
        let count = recoveries.entry(recovery.operations()).or_default();
        *count += 1;
        if *count <= RECOVERIES_CUT_EACH {
            for operations in 0..recovery.operations() {
                self.cut_after(&recovery, operations, None);
            }
        }
        goes_on(log, found);
    }

    /// Cuts the power during a recovery or after it. When it is done and has `found` something, that
    /// stays: the node acts on it.
    fn cut_after(&self, recovery: &Recording, operations: usize, found: Option<&Model>) {
        let moment = recovery.moment(operations);
        let mut seen = HashSet::new();
        for cut in moment.cuts(64, 0) {
            let _case = Case {
                name: format!("(the recovery, after {operations} operations)"),
                moment: &moment,
                cut: Some(&cut),
            };
            let fs = moment.after(&cut);
            if !seen.insert(fs.digest()) {
                continue;
            }
            let (_, again) = self.open(&fs);
            if let Some(found) = found {
                assert_eq!(again, *found, "what recovery found was not durable");
            }
        }
    }

    /// Opens the store and checks all that it says.
    fn open(&self, fs: &MemFs) -> (Log, Model) {
        let mut log = Log::open(fs, &self.told.options).unwrap();
        let (found, allowed) = (Model::of(&mut log), &self.allowed);
        assert!(
            allowed.contains(&found),
            "{found:#?}\nis none of\n{allowed:#?}"
        );
        assert!(log.store.committed() <= log.store.last_log_id());
        check_readable(self.told, &log, &self.promise);
        check_snapshots(&log.store.snapshots(), &self.promise, &found);
        check_identity(&log, &self.promise);
        (log, found)
    }
}

/// Everything from the earliest index on can be read, and is what the workload wrote.
fn check_readable(told: &Told, log: &Log, promise: &Promise) {
    let earliest = log.store.earliest_index();
    let superseded = |(_, index): &(u64, u64)| log.last_index() >= Some(*index);
    let superseded = promise.uncertain.iter().filter(|id| superseded(id));
    let begins = superseded.map(|(_, index)| index + 1);
    let promised = begins.max().unwrap_or_default().max(promise.earliest);
    assert!(
        earliest <= promised,
        "entries begin at {earliest}, not at {promised}"
    );
    let entries = readable(&log.store);
    for (index, entry) in (earliest..).zip(&entries) {
        assert_eq!(entry.log_id.index, index);
        assert!(told.was_given(entry), "{entry:?} was never given");
    }
    let count = entries.len() as u64;
    match log.last_index() {
        Some(last) => assert_eq!(earliest + count, last + 1, "the end cannot be read"),
        None => assert_eq!(count, 0),
    }
}

/// Every snapshot is whole, and there is one where the log was purged on its account.
fn check_snapshots(snapshots: &SnapshotStore<MemFs>, promise: &Promise, found: &Model) {
    let current = snapshots.current().unwrap();
    let index = current.as_ref().map(|snapshot| {
        let index = snapshot.info().index.unwrap();
        let records = snapshots.open_records(snapshot).unwrap();
        let records: Result<Vec<_>, _> = records.collect();
        assert_eq!(records.unwrap(), records_at(index));
        index
    });
    assert!(index >= promise.snapshot, "the snapshot is {index:?}");
    let purged = found.purged.map(|id| id.index);
    assert!(
        index >= purged,
        "purged up to {purged:?} without a snapshot"
    );
}

fn check_identity(log: &Log, promise: &Promise) {
    match log.store.identity().unwrap() {
        Some(found) => assert_eq!(found, identity()),
        None => assert!(!promise.identity, "the identity is gone"),
    }
    let roster = log.store.roster().unwrap();
    for node_id in 0..10 {
        match roster.incarnation_of(node_id) {
            Some(found) => assert_eq!(found, incarnation_of(node_id)),
            None => assert!(!promise.met.contains(&node_id), "{node_id} is forgotten"),
        }
    }
}

/// The log is purged up to the snapshot that the node found, takes the next entry and has both when
/// the power fails then, or when it is closed.
fn goes_on(mut log: Log, mut model: Model) {
    let snapshot = log.store.snapshots().current().unwrap();
    let snapshot = snapshot.and_then(|snapshot| snapshot.meta().last_log_id);
    if let Some(id) = snapshot.filter(|id| Some(*id) > model.purged) {
        log.purge(id).unwrap();
        model.apply(&Change::Purge(id));
    }
    let (term, index) = model
        .last
        .map_or((1, 0), |last| (last.leader_id.term, last.index + 1));
    let next = entry(term, index, "the next");
    let completion = log.append(vec![next.clone()]).unwrap();
    model.apply(&Change::Entry(next));
    log.writer.step();
    outcome(completion).unwrap().unwrap();
    let recording = log.fs.recording();
    let moment = recording.moment(recording.operations());
    let nothing_kept = moment.after(&moment.cuts(0, 0)[0]);
    let mut cut = Log::open(&nothing_kept, &log.options).unwrap();
    assert_eq!(Model::of(&mut cut), model, "after another power cut");
    let current = cut.store.snapshots().current().unwrap();
    let current = current.and_then(|snapshot| snapshot.meta().last_log_id);
    assert_eq!(current, snapshot, "the snapshot after another power cut");
    let mut log = stop(log).unwrap();
    assert_eq!(Model::of(&mut log), model, "after a clean stop");
    let report = log.verify();
    assert!(report.is_intact(), "{report:?}");
}
