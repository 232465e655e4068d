//! Power cuts by seed: whatever was acknowledged is there, nothing is invented, and what
//! survives beyond it is a prefix of what was asked for.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::ErrorKind;

use openraft::EntryPayload;
use proptest::prelude::*;
use rstmdb_raft_store::fs::{Fault, FaultOp};
use rstmdb_raft_store::{Entry, LogId, MemFs, Vote, log_id};
use support::entry;
use support::log::{Completion, Log, options};

/// One change, as small as a crash can separate them.
#[derive(Clone, Debug)]
enum Change {
    Entry(Entry),
    Truncate(Option<LogId>),
    Purge(LogId),
    Vote(Vote),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: Vec<Entry>,
    purged: Option<LogId>,
    last: Option<LogId>,
    vote: Option<Vote>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Entry(entry) => {
                self.last = Some(entry.log_id);
                self.entries.push(entry.clone());
            }
            Change::Truncate(keep) => {
                self.entries.retain(|entry| Some(entry.log_id) <= *keep);
                self.last = self.last.min(*keep).max(self.purged);
            }
            Change::Purge(id) => {
                self.entries.retain(|entry| entry.log_id > *id);
                self.purged = self.purged.max(Some(*id));
                self.last = self.last.max(Some(*id));
            }
            Change::Vote(vote) => self.vote = Some(*vote),
        }
    }

    fn of(log: &mut Log) -> Self {
        let store = &log.store;
        let (purged, last, vote) = (store.purged(), store.last_log_id(), store.vote());
        Model {
            entries: log.entries(),
            purged,
            last,
            vote,
        }
    }
}

/// A log, the changes asked of it since it was opened, and how many are acknowledged.
struct Run {
    log: Log,
    base: Model,
    changes: Vec<Change>,
    acknowledged: usize,
    waiting: Vec<(usize, Completion)>,
}

impl Run {
    fn new(mut log: Log) -> Self {
        let base = Model::of(&mut log);
        Run {
            log,
            base,
            changes: Vec::new(),
            acknowledged: 0,
            waiting: Vec::new(),
        }
    }

    fn now(&self) -> Model {
        let mut model = self.base.clone();
        self.changes.iter().for_each(|change| model.apply(change));
        model
    }

    fn append(&mut self, count: u64, term: u64) {
        let from = self.now().last.map_or(0, |last| last.index + 1);
        let term = term.max(self.now().last.map_or(1, |last| last.leader_id.term));
        let size = |index: u64| vec![index as u8; (index as usize * 37) % 300];
        let entries: Vec<_> = (from..from + count)
            .map(|i| entry(term, i, size(i)))
            .collect();
        self.changes
            .extend(entries.iter().cloned().map(Change::Entry));
        if let Ok(completion) = self.log.append(entries) {
            self.waiting.push((self.changes.len(), completion));
        }
    }

    fn truncate(&mut self, back: u64) {
        let now = self.now();
        let at = now.entries.len().saturating_sub(back as usize + 1);
        // Never below what is purged: openraft keeps that promise.
        let keep = if now.entries.len() <= back as usize {
            now.purged
        } else {
            Some(now.entries[at].log_id)
        };
        self.changes.push(Change::Truncate(keep));
        let _ = self.log.truncate(keep);
    }

    fn purge(&mut self, ahead: u64) {
        let now = self.now();
        let next = now.purged.map_or(0, |id| id.index + 1) + ahead;
        let term = now.last.map_or(1, |last| last.leader_id.term);
        let kept = now.entries.iter().find(|entry| entry.log_id.index == next);
        let id = kept.map_or(log_id(term, next), |entry| entry.log_id);
        if now.last.is_some_and(|last| id < last && kept.is_none()) {
            return;
        }
        self.changes.push(Change::Purge(id));
        let _ = self.log.purge(id);
    }

    fn vote(&mut self, term: u64) {
        let vote = Vote::new(term, 1);
        self.changes.push(Change::Vote(vote));
        if self.log.vote(vote).is_ok() {
            self.acknowledged = self.changes.len();
        }
        self.collect();
    }

    fn step(&mut self) {
        self.log.writer.step();
        self.collect();
    }

    fn collect(&mut self) {
        for (position, completion) in std::mem::take(&mut self.waiting) {
            let mut completion = Box::pin(completion);
            match futures_util::FutureExt::now_or_never(completion.as_mut()) {
                Some(Ok(Ok(()))) => self.acknowledged = self.acknowledged.max(position),
                Some(_) => {}
                None => self
                    .waiting
                    .push((position, *std::pin::Pin::into_inner(completion))),
            }
        }
    }

    /// The recovered log must be the state after some change, none before the acknowledged one.
    fn restart(self, power_cut: bool) -> Run {
        let Run {
            log,
            mut base,
            changes,
            acknowledged,
            ..
        } = self;
        if power_cut {
            log.fs.crash()
        } else {
            log.fs.kill()
        };
        let mut log = log.reopen().unwrap();
        let found = Model::of(&mut log);
        let mut allowed = Vec::new();
        for (n, change) in std::iter::once(None)
            .chain(changes.iter().map(Some))
            .enumerate()
        {
            change.into_iter().for_each(|change| base.apply(change));
            if n >= acknowledged {
                allowed.push(base.clone());
            }
        }
        assert!(
            allowed.contains(&found),
            "{found:#?}\nis none of\n{allowed:#?}"
        );
        Run::new(log)
    }

    fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(count, term) => self.append(*count, *term),
            Operation::Truncate(back) => self.truncate(*back),
            Operation::Purge(ahead) => self.purge(*ahead),
            Operation::Vote(term) => self.vote(*term),
            Operation::Step => self.step(),
            Operation::Idle => self.log.writer.idle(),
            Operation::Commit => {
                if let Some(last) = self.now().last {
                    let _ = self.log.commit(last);
                }
            }
            Operation::Fault(op, nth) => self.log.fs.inject(Fault {
                op: *op,
                nth: *nth,
                error: ErrorKind::Other,
                sticky: false,
            }),
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Append(u64, u64),
    Truncate(u64),
    Purge(u64),
    Vote(u64),
    Commit,
    Step,
    Idle,
    Fault(FaultOp, u64),
}

fn operation(faults: bool) -> impl Strategy<Value = Operation> {
    let fault_weight = if faults { 1 } else { 0 };
    prop_oneof![
        6 => (1..6u64, 1..4u64).prop_map(|(count, term)| Operation::Append(count, term)),
        1 => (0..4u64).prop_map(Operation::Truncate),
        1 => (0..5u64).prop_map(Operation::Purge),
        1 => (1..9u64).prop_map(Operation::Vote),
        1 => Just(Operation::Commit),
        5 => Just(Operation::Step),
        1 => Just(Operation::Idle),
        fault_weight => (
            prop_oneof![Just(FaultOp::Write), Just(FaultOp::Sync), Just(FaultOp::Open), Just(FaultOp::SyncDir)],
            1..4u64
        ).prop_map(|(op, nth)| Operation::Fault(op, nth)),
    ]
}

fn rounds(faults: bool) -> impl Strategy<Value = Vec<(Vec<Operation>, bool)>> {
    let round = (
        prop::collection::vec(operation(faults), 1..25),
        any::<bool>(),
    );
    prop::collection::vec(round, 1..6)
}

fn small_segments() -> rstmdb_raft_store::Options {
    let mut options = options();
    options.segment_bytes = 2048;
    options
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_loses_nothing_acknowledged_and_invents_nothing(
        seed in any::<u64>(),
        rounds in rounds(true),
    ) {
        let mut run = Run::new(Log::open(&MemFs::new(seed), &small_segments()).unwrap());
        for (operations, power_cut) in &rounds {
            operations.iter().for_each(|operation| run.operate(operation));
            run = run.restart(*power_cut);
        }
    }

    #[test]
    fn the_log_always_reads_as_the_model(rounds in rounds(false)) {
        let mut run = Run::new(Log::open(&MemFs::new(0), &small_segments()).unwrap());
        for (operations, _) in &rounds {
            for operation in operations {
                // openraft never truncates what is committed, so commits end the freedom here.
                if !matches!(operation, Operation::Commit) {
                    run.operate(operation);
                }
                prop_assert_eq!(Model::of(&mut run.log), run.now());
            }
            while run.log.writer.step() {}
            run.collect();
            prop_assert!(run.waiting.is_empty());
            let expected = run.now();
            run = run.restart(false);
            prop_assert_eq!(&run.base, &expected);
        }
    }
}

#[test]
fn a_crash_after_every_single_operation_keeps_what_was_acknowledged() {
    for stop in 1..120 {
        let mut run = Run::new(Log::open(&MemFs::new(stop), &small_segments()).unwrap());
        for op in [FaultOp::Write, FaultOp::Sync] {
            // From here on every operation of this kind fails: the disk is gone.
            let error = ErrorKind::Other;
            run.log.fs.inject(Fault {
                op,
                nth: stop,
                error,
                sticky: true,
            });
        }
        for round in 0..20 {
            run.append(3, 1);
            if round % 5 == 4 {
                run.truncate(1);
            }
            run.step();
        }
        run.restart(true);
    }
}

#[test]
fn the_model_itself_is_checked() {
    let mut model = Model::default();
    model.apply(&Change::Entry(entry(1, 0, "a")));
    model.apply(&Change::Entry(entry(1, 1, "b")));
    model.apply(&Change::Truncate(Some(log_id(1, 0))));
    assert_eq!(model.last, Some(log_id(1, 0)));
    assert!(matches!(model.entries[0].payload, EntryPayload::Normal(_)));
    model.apply(&Change::Purge(log_id(2, 7)));
    assert_eq!((model.entries.len(), model.last), (0, Some(log_id(2, 7))));
}
