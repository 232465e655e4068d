//! The newest effective entries, decoded.

use std::collections::VecDeque;
use std::sync::Arc;

use rstmdb_engine::fact::Entry;

use crate::replica::parts::invariants::{BrokenInvariant, FEW, ensure};

/// Bytes of encoded entries the ring covers at most.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Entries the ring covers at most: a bound on the decoded size of many small ones.
pub(super) const ENTRIES_MAX: usize = 16_384;

/// An entry that took effect.
pub(crate) struct Effective {
    pub offset: u64,
    pub entry: Arc<Entry>,
    /// Its encoded length.
    pub bytes: usize,
}

/// What the ring can say of an offset and those that follow.
pub(crate) enum RecentPage {
    /// The watch is ahead of the head: nothing to read.
    AtHead,
    /// Effective entries in order; the page covers everything below `next`.
    Entries {
        entries: Vec<(u64, Arc<Entry>)>,
        next: u64,
    },
    /// The ring starts later: read the log up to `head`.
    Older { head: u64 },
}

/// The newest effective entries, decoded, within a bound of bytes.
pub(super) struct Ring {
    /// Everything up to here was dispatched.
    head: u64,
    /// The ring covers the offsets from here to `head`.
    covers_from: u64,
    entries: VecDeque<Effective>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(head: u64) -> Self {
        Self {
            head,
            covers_from: head + 1,
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Covers nothing up to `head`; gives what it covered, to be freed outside of the lock.
    pub(super) fn skip_to(&mut self, head: u64) -> VecDeque<Effective> {
        debug_assert!(self.head <= head, "the head goes back");
        self.head = head;
        self.covers_from = head + 1;
        self.bytes = 0;
        std::mem::take(&mut self.entries)
    }

    /// Takes the batch in, and leaves in its place what there is no more room for, to be freed
    /// outside of the lock.
    pub(super) fn push(&mut self, batch: &mut Vec<Effective>, head: u64) {
        debug_assert!(self.head <= head, "the head goes back");
        self.bytes += batch.iter().map(|item| item.bytes).sum::<usize>();
        self.entries.extend(batch.drain(..));
        self.head = head;
        while self.bytes > BYTES_MAX || self.entries.len() > ENTRIES_MAX {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes;
            self.covers_from = oldest.offset + 1;
            batch.push(oldest);
        }
    }

    /// Checks the bounds of the ring, and its entries where they are few or `whole` is asked for.
    pub(super) fn check(&self, whole: bool) -> Result<(), BrokenInvariant> {
        let (len, bytes) = (self.entries.len(), self.bytes);
        ensure(len <= ENTRIES_MAX && bytes <= BYTES_MAX, || {
            format!("the ring has {len} entries of {bytes} bytes")
        })?;
        let (covers_from, head) = (self.covers_from, self.head);
        let first = self.entries.front().map(|item| item.offset);
        let last = self.entries.back().map(|item| item.offset);
        let is_covered = first.is_none_or(|first| covers_from <= first);
        let is_dispatched = last.is_none_or(|last| last <= head);
        ensure(
            covers_from <= head + 1 && is_covered && is_dispatched,
            || format!("the ring has {first:?} to {last:?} and covers {covers_from} to {head}"),
        )?;
        if len > FEW && !whole {
            return Ok(());
        }
        let offsets = self.entries.iter().map(|item| item.offset);
        ensure(offsets.is_sorted_by(|one, next| one < next), || {
            "the entries of the ring do not ascend".to_owned()
        })?;
        let sum: usize = self.entries.iter().map(|item| item.bytes).sum();
        ensure(sum == bytes, || {
            format!("the entries of the ring have {sum} bytes and count {bytes}")
        })
    }

    pub(super) fn page(&self, from: u64, entries_max: usize) -> RecentPage {
        if from > self.head {
            return RecentPage::AtHead;
        }
        if from < self.covers_from {
            return RecentPage::Older { head: self.head };
        }
        let start = self.entries.partition_point(|item| item.offset < from);
        let entries: Vec<_> = self
            .entries
            .range(start..)
            .take(entries_max)
            .map(|item| (item.offset, item.entry.clone()))
            .collect();
        let next = match entries.last() {
            Some((last, _)) if entries.len() == entries_max => last + 1,
            _ => self.head + 1,
        };
        RecentPage::Entries { entries, next }
    }
}
