//! A workload on a recorded disk, and what its log may be after a power cut at each moment of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;

use bytes::Bytes;
use rstmdb_raft_store::fs::Recording;
use rstmdb_raft_store::{
    Acquaintance, Entry, Identity, LogId, MemFs, Options, Retention, SnapshotMeta, Store, log_id,
};

use super::entry;
use super::log::{Log, options};
use super::model::{Change, Model, Run};

/// What is promised at a moment.
#[derive(Clone, Debug, Default, Hash)]
pub struct Promise {
    /// The changes of the log that are acknowledged.
    pub acknowledged: usize,
    /// The changes of the log that were asked for.
    pub asked: usize,
    /// The snapshot that is durable, by index.
    pub snapshot: Option<u64>,
    /// Entries can be read from here on, if not from earlier on.
    pub earliest: u64,
    /// Snapshots that cover what is not acknowledged, by term and index. Where that is lost, the newest
    /// of them that is durable takes the place of the log.
    pub uncertain: Vec<(u64, u64)>,
    /// Whether the folder has its identity.
    pub identity: bool,
    /// The nodes that were met.
    pub met: Vec<u64>,
}

impl Promise {
    /// What holds when it is not known which of two holds.
    fn or(&self, later: &Promise) -> Promise {
        Promise {
            acknowledged: self.acknowledged,
            asked: later.asked,
            snapshot: self.snapshot.min(later.snapshot),
            earliest: self.earliest.max(later.earliest),
            uncertain: [self.uncertain.clone(), later.uncertain.clone()].concat(),
            identity: self.identity && later.identity,
            met: self.met.clone(),
        }
    }
}

/// A workload while it runs.
pub struct Story {
    run: Run,
    now: Promise,
    /// By the number of operations that had changed the disk.
    promises: Vec<(usize, Promise)>,
    /// Every entry that was ever given to the store.
    given: BTreeMap<u64, Vec<Entry>>,
}

/// A workload that was run.
pub struct Told {
    pub recording: Recording,
    pub options: Options,
    changes: Vec<Change>,
    promises: Vec<(usize, Promise)>,
    given: BTreeMap<u64, Vec<Entry>>,
}

pub fn identity() -> Identity {
    Identity {
        cluster_id: 7,
        node_id: 1,
        incarnation: 11,
        cluster_name: "test".into(),
    }
}

/// The incarnation in which a node is met.
pub fn incarnation_of(node_id: u64) -> u128 {
    u128::from(node_id) * 1000
}

/// The records of the snapshot at an index.
pub fn records_at(index: u64) -> Vec<Bytes> {
    let record = |n| Bytes::from(format!("record {n} at {index}"));
    (0..index % 7 + 1).map(record).collect()
}

fn meta(id: LogId) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(id),
        ..SnapshotMeta::default()
    }
}

impl Story {
    /// Begins with an empty disk.
    pub fn begin(segment_bytes: u64) -> Self {
        let mut options = options();
        options.segment_bytes = segment_bytes;
        let fs = MemFs::new(0);
        fs.record();
        let mut story = Story {
            run: Run::new(Log::open(&fs, &options).unwrap()),
            now: Promise::default(),
            promises: vec![(0, Promise::default())],
            given: BTreeMap::new(),
        };
        story.note();
        story
    }

    pub fn end(self) -> Told {
        Told {
            recording: self.run.log.fs.recording(),
            options: self.run.log.options.clone(),
            changes: self.run.changes,
            promises: self.promises,
            given: self.given,
        }
    }

    pub fn model(&self) -> Model {
        self.run.now()
    }

    /// Asks for something; what it promises less is so before the disk changes.
    fn note(&mut self) {
        self.now.acknowledged = self.run.acknowledged;
        self.now.asked = self.run.changes.len();
        if self.now.acknowledged == self.now.asked {
            self.now.uncertain.clear();
        }
        let operations = self.run.log.fs.recorded();
        self.promises.push((operations, self.now.clone()));
    }

    pub fn append(&mut self, count: u64, term: u64) {
        let known = self.run.changes.len();
        self.run.append(count, term);
        for change in &self.run.changes[known..] {
            if let Change::Entry(entry) = change {
                let given = self.given.entry(entry.log_id.index).or_default();
                given.push(entry.clone());
            }
        }
        self.note();
    }

    pub fn step(&mut self) {
        self.run.step();
        self.note();
    }

    pub fn write(&mut self, count: u64) {
        self.append(count, 1);
        self.step();
    }

    pub fn idle(&mut self) {
        self.run.log.writer.idle();
        self.note();
    }

    pub fn truncate(&mut self, back: u64) {
        self.run.truncate(back);
        self.note();
    }

    pub fn vote(&mut self, term: u64) {
        // The vote is asked for and waited for in one call: noted as asked for before it.
        self.now.asked += 1;
        let operations = self.run.log.fs.recorded();
        self.promises.push((operations, self.now.clone()));
        self.run.vote(term);
        self.note();
    }

    pub fn commit(&mut self) {
        let last = self.model().last.unwrap();
        self.run.log.commit(last).unwrap();
        self.note();
    }

    pub fn purge(&mut self, id: LogId) {
        let is_gap = self.model().last < Some(id);
        if is_gap {
            self.now.earliest = id.index + 1;
        }
        self.run.changes.push(Change::Purge(id));
        self.note();
        self.run.log.purge(id).unwrap();
    }

    /// Takes a snapshot of all that is in the log.
    pub fn snapshot(&mut self) -> LogId {
        let last = self.model().last.unwrap();
        let snapshots = self.run.log.store.snapshots();
        let records = records_at(last.index).into_iter();
        self.now.uncertain.push((last.leader_id.term, last.index));
        self.note();
        snapshots.write(&meta(last), 7, records).unwrap();
        self.now.snapshot = Some(last.index);
        self.note();
        last
    }

    /// Takes in another node's snapshot at `index`, beyond the end of the log, and purges up to it.
    pub fn install(&mut self, index: u64) {
        let term = self.model().last.map_or(1, |last| last.leader_id.term);
        let id = log_id(term, index);
        // From the moment the snapshot is durable a start makes the log begin behind it.
        self.now.earliest = id.index + 1;
        self.now.uncertain.push((term, index));
        self.run.changes.push(Change::Purge(id));
        self.note();
        let theirs = Log::open(&MemFs::new(0), &options()).unwrap();
        let records = records_at(index).into_iter();
        let snapshots = theirs.store.snapshots();
        let sent = snapshots.write(&meta(id), 7, records).unwrap();
        let mut receiver = self.run.log.store.snapshots().receive().unwrap();
        loop {
            let block = sent.read_block(receiver.bytes(), 100).unwrap();
            if block.is_empty() {
                break;
            }
            receiver.write_block(&block).unwrap();
        }
        self.run
            .log
            .store
            .install(&receiver.finish().unwrap())
            .unwrap();
        self.now.snapshot = Some(index);
        self.note();
        self.run.log.purge(id).unwrap();
    }

    /// Lets go of all history but the last so many entries; gives how many files went.
    pub fn retain(&mut self, events: u64, archive: bool) -> u64 {
        let policy = Retention {
            events: Some(events),
            archive_dir: archive.then(|| "/archive".into()),
            ..Retention::default()
        };
        let last = self.model().last.unwrap().index;
        let before = self.now.earliest;
        self.now.earliest = before.max(last.saturating_sub(events) + 1);
        self.note();
        let store = &self.run.log.store;
        let reclaimed = store.retain(&policy, u64::MAX, 0).unwrap();
        self.note();
        reclaimed.segments_deleted
    }

    /// Takes in history from another node.
    pub fn history(&mut self, first: u64, last: u64) {
        let purged = self.model().purged.unwrap();
        let entry_at = |index| match index == purged.index {
            true => entry(purged.leader_id.term, index, "history"),
            false => entry(1, index, format!("history {index}")),
        };
        let entries: Vec<_> = (first..=last).map(entry_at).collect();
        for entry in &entries {
            let given = self.given.entry(entry.log_id.index).or_default();
            given.push(entry.clone());
        }
        let mut receiver = self.run.log.store.receive_history(first, last).unwrap();
        for part in entries.chunks(2) {
            receiver.push(part).unwrap();
        }
        receiver.finish().unwrap();
        self.now.earliest = first;
        self.note();
    }

    pub fn write_identity(&mut self) {
        self.run.log.store.write_identity(&identity()).unwrap();
        self.now.identity = true;
        self.note();
    }

    pub fn meet(&mut self, node_id: u64) {
        let roster = self.run.log.store.roster().unwrap();
        let met = roster.meet(node_id, incarnation_of(node_id)).unwrap();
        assert_eq!(met, Acquaintance::New);
        self.now.met.push(node_id);
        self.note();
    }

    /// A clean end, and another start.
    pub fn restart(mut self) -> Self {
        self.run.collect();
        self.run.log = stop(self.run.log).unwrap();
        self.run.acknowledged = self.run.changes.len();
        self.note();
        self
    }
}

/// Ends the log with its closing mark, and opens it again.
pub fn stop(log: Log) -> Result<Log, rstmdb_raft_store::Error> {
    let Log {
        fs,
        options,
        store,
        writer,
        raft,
    } = log;
    drop((store, raft));
    writer.run();
    Log::open(&fs, &options)
}

impl Told {
    /// What holds after a power cut when so many operations had changed the disk.
    pub fn promise(&self, operations: usize) -> Promise {
        let before = self.promises.iter().rev();
        let before = before.clone().find(|(at, _)| *at <= operations).unwrap();
        let after = self.promises.iter().find(|(at, _)| *at >= operations);
        before.1.or(&after.unwrap_or(before).1)
    }

    /// The logs that are allowed where this is promised.
    pub fn allowed(&self, promise: &Promise) -> Vec<Model> {
        let mut model = Model::default();
        let mut allowed = Vec::new();
        let superseded = promise.uncertain.iter();
        let superseded = superseded.map(|(term, index)| Change::Purge(log_id(*term, *index)));
        let superseded: Vec<Change> = superseded.collect();
        for count in 0..=promise.asked {
            if count > 0 {
                model.apply(&self.changes[count - 1]);
            }
            if count >= promise.acknowledged {
                allowed.push(model.clone());
                for superseded in &superseded {
                    let mut model = model.clone();
                    model.apply(superseded);
                    allowed.push(model);
                }
            }
        }
        allowed
    }

    /// Whether this entry was ever given to the store.
    pub fn was_given(&self, entry: &Entry) -> bool {
        let given = self.given.get(&entry.log_id.index);
        given.is_some_and(|given| given.contains(entry))
    }
}

/// The entries that can be read, history included.
pub fn readable(store: &Store<MemFs>) -> Vec<Entry> {
    let earliest = store.earliest_index();
    store.read(earliest, usize::MAX, usize::MAX).unwrap()
}
