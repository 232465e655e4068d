//! The log that each change must lead to, and a run that counts the acknowledged changes.
#![allow(dead_code, clippy::unwrap_used)]

use rstmdb_raft_store::{Entry, LogId, Vote, log_id};

use super::entry;
use super::log::{Completion, Log};

/// One change. A crash cannot split it further.
#[derive(Clone, Debug)]
pub enum Change {
    Entry(Entry),
    Truncate(Option<LogId>),
    Purge(LogId),
    Vote(Vote),
}

/// A log as Raft sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub entries: Vec<Entry>,
    pub purged: Option<LogId>,
    pub last: Option<LogId>,
    pub vote: Option<Vote>,
}

impl Model {
    pub fn apply(&mut self, change: &Change) {
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

    pub fn of(log: &mut Log) -> Self {
        let store = &log.store;
        store.check_invariants();
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
pub struct Run {
    pub log: Log,
    pub base: Model,
    pub changes: Vec<Change>,
    pub acknowledged: usize,
    pub waiting: Vec<(usize, Completion)>,
}

impl Run {
    pub fn new(mut log: Log) -> Self {
        let base = Model::of(&mut log);
        Run {
            log,
            base,
            changes: Vec::new(),
            acknowledged: 0,
            waiting: Vec::new(),
        }
    }

    pub fn now(&self) -> Model {
        let mut model = self.base.clone();
        self.changes.iter().for_each(|change| model.apply(change));
        model
    }

    pub fn append(&mut self, count: u64, term: u64) {
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

    pub fn truncate(&mut self, back: u64) {
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

    pub fn purge(&mut self, ahead: u64) {
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

    pub fn vote(&mut self, term: u64) {
        let vote = Vote::new(term, 1);
        self.changes.push(Change::Vote(vote));
        if self.log.vote(vote).is_ok() {
            self.acknowledged = self.changes.len();
        }
        self.collect();
    }

    pub fn step(&mut self) {
        self.log.writer.step();
        self.log.store.check_invariants();
        self.collect();
    }

    pub fn collect(&mut self) {
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
    pub fn restart(self, power_cut: bool) -> Run {
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
}
