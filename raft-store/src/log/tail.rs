//! The log as Raft sees it now: hard state, and the recent entries in memory.

use std::collections::VecDeque;

use openraft::EntryPayload;

use crate::error::Error;
use crate::format::{HardState, PAYLOAD_BYTES_MAX};
use crate::types::{Entry, LogId, next_index};

/// What an entry costs in memory besides its payload.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Hard state and recent entries. Changed before the disk is, so readers see an entry as soon
/// as `append` returns.
pub(crate) struct Tail {
    pub(crate) state: HardState,
    /// Consecutive, up to the end of the log.
    entries: VecDeque<Entry>,
    /// The index of `entries[0]`, or of the next entry when there is none.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    /// Entries below this index can be read from a file.
    written_to: u64,
    /// Entries up to this index were purged by a record known to be durable.
    pub(crate) purged_durable: Option<u64>,
    /// Where the log begins, by a purge beyond its end that the files do not show yet.
    gap_end: Option<u64>,
    /// Counts truncations. The writer's reports about an earlier epoch are ignored.
    pub(crate) epoch: u64,
}

impl Tail {
    pub(crate) fn new(state: HardState, bytes_max: usize) -> Self {
        let next = next_index(state.last);
        Tail {
            state,
            entries: VecDeque::new(),
            first: next,
            bytes: 0,
            bytes_max,
            written_to: next,
            purged_durable: state.purged.map(|id| id.index),
            gap_end: None,
            epoch: 0,
        }
    }

    /// The index the next entry must have; any, while nothing was ever written.
    fn expected(&self) -> Option<u64> {
        self.state.last.map(|last| last.index + 1)
    }

    /// Adds entries and returns copies for the writer (payloads are shared).
    pub(crate) fn append(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<Vec<Entry>, Error> {
        let taken: Vec<Entry> = entries.into_iter().collect();
        // Check all entries before the first one is added, so that the writer gets no part of a refused run.
        self.check_run(&taken)?;
        if let (None, Some(first)) = (self.expected(), taken.first()) {
            let got = first.log_id.index;
            (self.first, self.written_to) = (got, got);
        }
        for entry in &taken {
            self.bytes += cost(entry);
            self.state.last = Some(entry.log_id);
            self.entries.push_back(entry.clone());
        }
        self.evict();
        Ok(taken)
    }

    /// Checks that the entries follow the log and each other, and that none is too large.
    fn check_run(&self, entries: &[Entry]) -> Result<(), Error> {
        let mut expected = self.expected();
        for entry in entries {
            let got = entry.log_id.index;
            if let Some(expected) = expected.filter(|expected| *expected != got) {
                return Err(Error::OutOfOrder { got, expected });
            }
            expected = Some(got + 1);
            let bytes = payload_bytes(entry) as u64;
            if bytes > PAYLOAD_BYTES_MAX {
                return Err(Error::TooLarge {
                    bytes,
                    bytes_max: PAYLOAD_BYTES_MAX,
                });
            }
        }
        Ok(())
    }

    /// Cuts the log behind `keep`.
    pub(crate) fn truncate(&mut self, keep: Option<LogId>) {
        let from = next_index(keep);
        while self
            .entries
            .back()
            .is_some_and(|entry| entry.log_id.index >= from)
        {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, cost);
        }
        self.first = self.first.min(from);
        self.written_to = self.written_to.min(from);
        self.state.truncate(keep);
        self.epoch += 1;
    }

    /// Notes a purge. Returns whether it went beyond the end of the log.
    pub(crate) fn purge(&mut self, id: LogId) -> bool {
        let is_gap = self.state.purge(id);
        if is_gap {
            self.entries.clear();
            self.bytes = 0;
            self.first = id.index + 1;
            self.written_to = id.index + 1;
            self.gap_end = Some(id.index + 1);
            self.epoch += 1;
        }
        is_gap
    }

    /// The files show that a purge beyond the end of the log ended at `to`.
    pub(crate) fn gap_written(&mut self, to: u64) {
        self.gap_end = self.gap_end.filter(|end| *end != to + 1);
    }

    /// Where the log begins, if that is beyond all that the files show yet.
    pub(crate) fn gap_end(&self) -> Option<u64> {
        self.gap_end
    }

    /// The writer has written everything below `to`, as of `epoch`.
    pub(crate) fn written(&mut self, to: u64, epoch: u64) {
        if epoch == self.epoch {
            self.written_to = self.written_to.max(to);
            self.evict();
        }
    }

    /// Where the memory begins: entries below are to be read from files.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn next(&self) -> u64 {
        next_index(self.state.last)
    }

    /// Copies entries from `from` on; `from` must not be below [`Tail::first`].
    pub(crate) fn copy(&self, from: u64, to: u64, limit: &mut Limit, into: &mut Vec<Entry>) {
        debug_assert!(
            from >= self.first,
            "entries that have left memory are read from files"
        );
        let skip = from.saturating_sub(self.first) as usize;
        let count = to.saturating_sub(from) as usize;
        for entry in self.entries.iter().skip(skip).take(count) {
            if !limit.take(entry) {
                return;
            }
            into.push(entry.clone());
        }
    }

    /// The first contradiction in this bookkeeping; `None` when there is none. The cost does not grow with the
    /// entries.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let state = &self.state;
        let (begin, next) = (next_index(state.purged), self.next());
        let front = self.entries.front().map(|entry| entry.log_id.index);
        let len = self.entries.len();
        let rules = [
            (begin <= next, "the log ends before what is purged"),
            (
                self.first + len as u64 == next,
                "the entries in memory do not reach the end of the log",
            ),
            (
                front.is_none_or(|front| front == self.first),
                "the entries in memory do not begin at the recorded index",
            ),
            (
                self.first <= self.written_to && self.written_to <= next,
                "entries left memory before they were written, or were written beyond the end of the log",
            ),
            (
                self.bytes >= len * ENTRY_OVERHEAD_BYTES && (len > 0 || self.bytes == 0),
                "the recorded size differs from that of the entries in memory",
            ),
            (
                self.purged_durable <= state.purged.map(|id| id.index),
                "more is durably purged than was purged",
            ),
            (
                self.gap_end
                    .is_none_or(|end| end <= begin && end <= self.first),
                "the log begins beyond what is purged, or memory before it",
            ),
        ];
        rules
            .iter()
            .find(|(holds, _)| !holds)
            .map(|(_, what)| *what)
    }

    /// Entries below this index can be read from a file.
    pub(crate) fn written_to(&self) -> u64 {
        self.written_to
    }

    /// Drops the oldest entries beyond the bound, but none that only memory holds and none that
    /// is about to be applied.
    fn evict(&mut self) {
        let evictable = self.written_to.min(next_index(self.state.committed));
        while self.bytes > self.bytes_max && self.first < evictable {
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= cost(&entry);
            self.first += 1;
        }
    }
}

/// How much a read may still return; the first entry always fits.
pub(crate) struct Limit {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    any: bool,
}

impl Limit {
    pub(crate) fn new(entries: usize, bytes: usize) -> Self {
        Limit {
            entries,
            bytes,
            any: false,
        }
    }

    /// Counts the entry, or says that it does not fit.
    pub(crate) fn take(&mut self, entry: &Entry) -> bool {
        let size = payload_bytes(entry);
        if self.entries == 0 || (self.any && size > self.bytes) {
            self.entries = 0;
            return false;
        }
        self.any = true;
        self.entries -= 1;
        self.bytes = self.bytes.saturating_sub(size);
        true
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.entries == 0
    }
}

/// The bytes of an entry's payload, roughly for memberships (they are few).
pub(crate) fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(data) => data.0.len(),
        EntryPayload::Membership(members) => 256 * members.nodes().count(),
    }
}

fn cost(entry: &Entry) -> usize {
    payload_bytes(entry) + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
