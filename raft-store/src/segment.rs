//! What is known about the segments and history files: which indexes each holds, and where in
//! its file they are.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::crypto::Cipher;
use crate::fs::FileSystem;
use crate::options::Layout;

/// How many sealed segments and history files keep their positions in memory (about 1 MiB each at 300-byte
/// entries); the positions of others are rebuilt from the file when needed.
const INDEXED_MAX: usize = 24;

/// Set in the number of a history file; its other bits are the first index. Numbers are part of
/// every record's checksum, so nothing of a segment ever passes for history, or the reverse.
pub(crate) const HISTORY_BIT: u64 = 1 << 63;

/// What one segment or history file holds. Derived from its own records alone, so it never changes once the
/// segment is sealed; what later segments removed from it is worked out by [`Table::push`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) number: u64,
    /// Checksum of the segment's header: ties the summary to the file.
    pub(crate) header_crc: u32,
    /// Where its last record ends.
    pub(crate) bytes: u64,
    /// The first and last index it holds (inclusive).
    pub(crate) range: Option<(u64, u64)>,
    /// The lowest index that its truncations removed from earlier segments.
    pub(crate) removed_from: Option<u64>,
    /// Set when a purge went beyond the end of the log: nothing up to here continues into it.
    pub(crate) gap_to: Option<u64>,
    /// When its first and last batch were written, Unix time in milliseconds.
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

impl Summary {
    pub(crate) fn is_history(&self) -> bool {
        self.number & HISTORY_BIT != 0
    }

    pub(crate) fn path(&self, layout: &Layout) -> PathBuf {
        match self.range {
            Some((first, last)) if self.is_history() => layout.history_file(first, last),
            _ => layout.segment(self.number),
        }
    }
}

/// File offsets of consecutive entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    first: u64,
    offsets: Vec<u32>,
}

impl Positions {
    fn push(&mut self, index: u64, offset: u64) {
        if self.offsets.is_empty() {
            self.first = index;
        }
        // A segment file ends long before 4 GiB: it is rolled at segment_bytes, and one batch
        // on top of that is bounded by the writer.
        self.offsets.push(u32::try_from(offset).unwrap_or(u32::MAX));
    }

    fn truncate(&mut self, from: u64) {
        self.offsets
            .truncate(from.saturating_sub(self.first) as usize);
    }

    /// The offsets of `from..to`; empty unless all of them are known.
    pub(crate) fn range(&self, from: u64, to: u64) -> &[u32] {
        let (Some(start), Some(end)) = (from.checked_sub(self.first), to.checked_sub(self.first))
        else {
            return &[];
        };
        self.offsets
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }
}

/// A segment's summary and positions, kept up to date record by record, by the writer and by
/// replay alike.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub(crate) summary: Summary,
    pub(crate) positions: Positions,
}

impl Index {
    pub(crate) fn entry(&mut self, index: u64, offset: u64) {
        self.positions.push(index, offset);
        let first = self.summary.range.map_or(index, |(first, _)| first);
        self.summary.range = Some((first, index));
    }

    pub(crate) fn truncate(&mut self, from: u64) {
        self.positions.truncate(from);
        self.summary.range = clip_above(self.summary.range, from);
        let removed = self.summary.removed_from.map_or(from, |old| old.min(from));
        self.summary.removed_from = Some(removed);
    }

    pub(crate) fn gap(&mut self, to: u64) {
        self.positions = Positions::default();
        self.summary.range = None;
        self.summary.gap_to = Some(to);
    }

    pub(crate) fn batch(&mut self, time_ms: u64) {
        if self.summary.first_ms == 0 {
            self.summary.first_ms = time_ms;
        }
        self.summary.last_ms = time_ms;
    }
}

fn clip_above(range: Option<(u64, u64)>, from: u64) -> Option<(u64, u64)> {
    let (first, last) = range?;
    (first < from).then(|| (first, last.min(from - 1)))
}

/// An open file, and what its payloads are encrypted with.
pub(crate) struct Opened<T> {
    pub(crate) file: T,
    pub(crate) cipher: Option<Arc<Cipher>>,
}

/// A segment or history file, and what of it is still part of the log.
pub(crate) struct Held<F: FileSystem> {
    pub(crate) index: Index,
    /// The indexes it holds that no later segment removed (inclusive).
    pub(crate) live: Option<(u64, u64)>,
    /// Whether `index.positions` is filled.
    pub(crate) indexed: bool,
    /// Present as long as it is indexed.
    pub(crate) file: Option<Arc<Opened<F::File>>>,
}

/// Where to read a run of entries of one file.
pub(crate) enum Place<F: FileSystem> {
    /// Nobody holds the index.
    Nowhere,
    /// In this file, whose positions have to be built first.
    Unindexed(Summary),
    /// At these offsets.
    At {
        summary: Summary,
        file: Arc<Opened<F::File>>,
        offsets: Vec<u32>,
        end: u64,
    },
}

/// All files with entries, oldest first.
pub(crate) struct Table<F: FileSystem> {
    /// What came from another node. Those that are live join each other, and the first live
    /// segment or, where there is none, the log in memory.
    pub(crate) history: VecDeque<Held<F>>,
    /// The segments; the last one is being written.
    pub(crate) held: VecDeque<Held<F>>,
}

impl<F: FileSystem> Table<F> {
    pub(crate) fn new() -> Self {
        Table {
            history: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    /// Adds the next segment, whatever it already holds.
    pub(crate) fn push(&mut self, index: Index, indexed: bool, file: Option<Arc<Opened<F::File>>>) {
        if let Some(from) = index.summary.removed_from {
            self.clip(from);
        }
        if index.summary.gap_to.is_some() {
            self.disconnect();
        }
        let live = index.summary.range;
        self.held.push_back(Held {
            index,
            live,
            indexed,
            file,
        });
        self.forget_positions();
    }

    pub(crate) fn active(&mut self) -> Option<&mut Held<F>> {
        self.held.back_mut()
    }

    /// An entry was written to the active segment.
    pub(crate) fn entry(&mut self, index: u64, offset: u64) {
        if let Some(active) = self.active() {
            active.index.entry(index, offset);
            active.live = active.index.summary.range;
        }
    }

    /// A truncation was written to the active segment.
    pub(crate) fn truncate(&mut self, from: u64) {
        self.clip(from);
        if let Some(active) = self.active() {
            active.index.truncate(from);
            active.live = active.index.summary.range;
        }
    }

    /// A purge beyond the end of the log was written to the active segment.
    pub(crate) fn gap(&mut self, to: u64) {
        self.disconnect();
        if let Some(active) = self.active() {
            active.index.gap(to);
        }
    }

    /// Adds the history file that joins the lowest index there is.
    pub(crate) fn push_history(
        &mut self,
        index: Index,
        indexed: bool,
        file: Option<Arc<Opened<F::File>>>,
    ) {
        let live = index.summary.range;
        self.history.push_front(Held {
            index,
            live,
            indexed,
            file,
        });
        self.forget_positions();
    }

    /// The log begins at `joined` now: history that does not lead there is dead.
    pub(crate) fn join_history(&mut self, mut joined: u64) {
        for held in self.history.iter_mut().rev() {
            held.live = held.live.filter(|(_, last)| last + 1 == joined);
            joined = held.live.map_or(joined, |(first, _)| first);
        }
    }

    /// Takes out the history files that a gap has cut off from the log.
    pub(crate) fn take_dead_history(&mut self) -> Vec<Summary> {
        let (kept, dead): (Vec<_>, Vec<_>) = std::mem::take(&mut self.history)
            .into_iter()
            .partition(|held| held.live.is_some());
        self.history = kept.into();
        dead.into_iter().map(|held| held.index.summary).collect()
    }

    /// Where history begins that leads to `joined`; `joined` where there is none.
    pub(crate) fn history_before(&self, joined: u64) -> u64 {
        self.history.iter().rev().fold(joined, |joined, held| {
            let live = held.live.filter(|(_, last)| last + 1 == joined);
            live.map_or(joined, |(first, _)| first)
        })
    }

    /// The lowest index that can be read from a file.
    pub(crate) fn earliest(&self) -> Option<u64> {
        self.files()
            .find_map(|held| held.live.map(|(first, _)| first))
    }

    /// Where the entries from `from` on (below `to`) are, within one file and about
    /// `bytes_max` bytes, but at least one entry.
    pub(crate) fn place(&self, from: u64, to: u64, bytes_max: u64) -> Place<F> {
        self.place_among(self.files(), from, to, bytes_max)
    }

    /// As [`Table::place`], in history only.
    pub(crate) fn place_in_history(&self, from: u64, to: u64, bytes_max: u64) -> Place<F> {
        self.place_among(self.history.iter(), from, to, bytes_max)
    }

    fn place_among<'a>(
        &'a self,
        files: impl DoubleEndedIterator<Item = &'a Held<F>>,
        from: u64,
        to: u64,
        bytes_max: u64,
    ) -> Place<F> {
        let holds = |held: &&Held<F>| held.live.is_some_and(|(a, b)| (a..=b).contains(&from));
        let Some(held) = files.rev().find(holds) else {
            return Place::Nowhere;
        };
        let summary = held.index.summary.clone();
        let (true, Some(file)) = (held.indexed, &held.file) else {
            return Place::Unindexed(summary);
        };
        let to = to.min(held.live.map_or(from, |(_, last)| last) + 1);
        let mut offsets = held.index.positions.range(from, to);
        let Some(start) = offsets.first().copied() else {
            return Place::Nowhere;
        };
        let bound = u64::from(start) + bytes_max;
        let fit = offsets
            .iter()
            .take_while(|offset| u64::from(**offset) < bound)
            .count();
        let end = offsets.get(fit).map(|offset| u64::from(*offset));
        offsets = &offsets[..fit.max(1)];
        let end = end.or_else(|| {
            held.index
                .positions
                .range(to, to + 1)
                .first()
                .map(|o| u64::from(*o))
        });
        Place::At {
            file: file.clone(),
            offsets: offsets.to_vec(),
            end: end.unwrap_or(summary.bytes),
            summary,
        }
    }

    /// Fills in the positions of a file no longer written to, after they were rebuilt from it;
    /// unless it was replaced meanwhile.
    pub(crate) fn fill(
        &mut self,
        summary: &Summary,
        positions: Positions,
        file: Arc<Opened<F::File>>,
    ) {
        let mut files = self.history.iter_mut().chain(&mut self.held);
        if let Some(held) = files.find(|held| held.index.summary == *summary) {
            held.index.positions = positions;
            held.indexed = true;
            held.file = Some(file);
        }
        self.forget_positions_but(summary.number);
    }

    /// All files, oldest first.
    pub(crate) fn files(&self) -> impl DoubleEndedIterator<Item = &Held<F>> {
        self.history.iter().chain(&self.held)
    }

    /// Of the segments only.
    pub(crate) fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.held.iter().map(|held| &held.index.summary)
    }

    /// Nothing in the segments goes on into the log any more. History may: it is cut off when the gap is made,
    /// and what comes until the gap is written joins what is behind it, or behind a later one.
    fn disconnect(&mut self) {
        self.held.iter_mut().for_each(|held| held.live = None);
    }

    fn clip(&mut self, from: u64) {
        for held in &mut self.held {
            held.live = clip_above(held.live, from);
        }
    }

    fn forget_positions(&mut self) {
        self.forget_positions_but(u64::MAX);
    }

    /// Keeps memory bounded: the oldest indexed files lose their positions again.
    fn forget_positions_but(&mut self, keep: u64) {
        let indexed = self.files().filter(|held| held.indexed).count();
        let mut excess = indexed.saturating_sub(INDEXED_MAX);
        let sealed = self.held.len().saturating_sub(1);
        let segments = self.held.iter_mut().take(sealed);
        for held in self.history.iter_mut().chain(segments) {
            if excess == 0 {
                return;
            }
            if held.indexed && held.index.summary.number != keep {
                held.index.positions = Positions::default();
                held.indexed = false;
                held.file = None;
                excess -= 1;
            }
        }
    }
}
