//! Every disk that a power cut at any moment of a workload can leave, and what must come of each.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use rstmdb_raft_store::fs::{Cut, Moment};
use rstmdb_raft_store::{MemFs, SnapshotStore};

use super::entry;
use super::log::{Log, outcome};
use super::model::Model;
use super::story::{Promise, Told, identity, incarnation_of, readable, records_at, stop};

/// Runs one case alone: `workload:operations:choice`, as a failing one prints it.
const CASE_VARIABLE: &str = "RSTMDB_CASE";
/// Where one cut has more outcomes than this, some are chosen.
const EXHAUSTIVE_MAX: usize = 2000;
/// Of recoveries that did as many operations as others before, so many are cut off themselves.
const RECOVERIES_CUT_EACH: usize = 3;

/// The case asked for, if any.
struct Chosen {
    workload: String,
    operations: usize,
    choice: usize,
}

fn chosen() -> Option<Chosen> {
    let text = std::env::var(CASE_VARIABLE).ok()?;
    let mut parts = text.split(':');
    let mut next = || {
        parts
            .next()
            .unwrap_or_else(|| panic!("{CASE_VARIABLE}={text}"))
    };
    Some(Chosen {
        workload: next().to_owned(),
        operations: next().parse().unwrap(),
        choice: next().parse().unwrap(),
    })
}

/// Says which case it was, when that fails.
struct Case<'a> {
    name: String,
    moment: &'a Moment,
    cut: &'a Cut,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = self.moment.describe(self.cut);
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
    let chosen = chosen();
    if chosen
        .as_ref()
        .is_some_and(|case| case.workload != workload)
    {
        return 0;
    }
    let mut seen = HashSet::new();
    let mut recoveries = HashMap::<usize, usize>::new();
    for operations in 0..=told.recording.operations() {
        let moment = told.recording.moment(operations);
        let promise = told.promise(operations);
        let allowed = told.allowed(&promise);
        for (choice, cut) in moment
            .cuts(exhaustive_max, operations as u64)
            .iter()
            .enumerate()
        {
            if chosen
                .as_ref()
                .is_some_and(|case| (case.operations, case.choice) != (operations, choice))
            {
                continue;
            }
            let fs = moment.after(cut);
            let mut hasher = DefaultHasher::new();
            (fs.digest(), promise.acknowledged, promise.asked).hash(&mut hasher);
            if !seen.insert(hasher.finish()) {
                continue;
            }
            let _case = Case {
                name: format!("{workload}:{operations}:{choice}"),
                moment: &moment,
                cut,
            };
            check(told, fs, &promise, &allowed, &mut recoveries);
        }
    }
    if chosen.is_none() {
        println!(
            "{workload}: {} operations, {} disks",
            told.recording.operations(),
            seen.len()
        );
    }
    seen.len()
}

fn check(
    told: &Told,
    fs: MemFs,
    promise: &Promise,
    allowed: &[Model],
    recoveries: &mut HashMap<usize, usize>,
) {
    fs.record();
    let (log, found) = open(told, &fs, promise, allowed);
    let recovery = fs.recording();
    let end = recovery.moment(recovery.operations());
    // The node acts on what it found: it must find the same when the power fails at once.
    let lost = end.cuts(0, 0);
    let (_, again) = open(told, &end.after(&lost[0]), promise, allowed);
    assert_eq!(again, found, "what recovery found was not durable");
    let count = recoveries.entry(recovery.operations()).or_default();
    *count += 1;
    if *count <= RECOVERIES_CUT_EACH {
        for operations in 0..recovery.operations() {
            let moment = recovery.moment(operations);
            for cut in moment.cuts(64, 0) {
                let _case = Case {
                    name: format!("(in its recovery, after {operations} operations)"),
                    moment: &moment,
                    cut: &cut,
                };
                open(told, &moment.after(&cut), promise, allowed);
            }
        }
    }
    goes_on(log, found);
}

/// Opens the store and checks all that it says.
fn open(told: &Told, fs: &MemFs, promise: &Promise, allowed: &[Model]) -> (Log, Model) {
    let mut log = Log::open(fs, &told.options).unwrap();
    let found = Model::of(&mut log);
    assert!(
        allowed.contains(&found),
        "{found:#?}\nis none of\n{allowed:#?}"
    );
    assert!(log.store.committed() <= log.store.last_log_id());
    check_readable(told, &log, promise);
    check_snapshots(&log.store.snapshots(), promise, &found);
    check_identity(&log, promise);
    (log, found)
}

/// Everything from the earliest index on can be read, and is what was given.
fn check_readable(told: &Told, log: &Log, promise: &Promise) {
    let earliest = log.store.earliest_index();
    assert!(
        earliest <= promise.earliest,
        "entries begin at {earliest}, not at {}",
        promise.earliest
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

/// The log takes the next entry, is closed, and has it at another start.
fn goes_on(mut log: Log, mut model: Model) {
    let (term, index) = model
        .last
        .map_or((1, 0), |last| (last.leader_id.term, last.index + 1));
    let next = entry(term, index, "the next");
    let completion = log.append(vec![next.clone()]).unwrap();
    log.writer.step();
    outcome(completion).unwrap().unwrap();
    model.last = Some(next.log_id);
    model.entries.push(next);
    let mut log = stop(log).unwrap();
    assert_eq!(Model::of(&mut log), model, "after a clean stop");
    let report = log.verify();
    assert!(report.is_intact(), "{report:?}");
}
