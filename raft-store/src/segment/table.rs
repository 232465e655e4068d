//! All segments and history files, and which part of each still belongs to the log.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::crypto::Cipher;
use crate::fs::FileSystem;
use crate::segment::summary::{HISTORY_BIT, Index, Positions, SegmentSummary, clip_above};

/// How many sealed segments and history files keep their positions in memory (about 1 MiB each at 300-byte
/// entries); the positions of others are rebuilt from the file when needed.
const INDEXED_MAX: usize = 24;

/// An open file, and what its payloads are encrypted with.
pub(crate) struct OpenedFile<T> {
    pub(crate) file: T,
    pub(crate) cipher: Option<Arc<Cipher>>,
}

/// A segment or history file, and which part of it still belongs to the log.
pub(crate) struct HeldFile<F: FileSystem> {
    pub(crate) index: Index,
    /// The first and last of its indexes that no later segment removed (inclusive).
    pub(crate) live: Option<(u64, u64)>,
    /// Whether `index.positions` is filled.
    pub(crate) indexed: bool,
    /// Present while it is indexed.
    pub(crate) file: Option<Arc<OpenedFile<F::File>>>,
}

impl<F: FileSystem> HeldFile<F> {
    fn is_within_its_file(&self) -> bool {
        match (self.live, self.index.summary.range) {
            (None, _) => true,
            (Some((first, last)), Some((from, to))) => from <= first && first <= last && last <= to,
            (Some(_), None) => false,
        }
    }
}

/// Whether those files that still hold entries of the log go on where the one before ends.
fn are_adjacent<F: FileSystem>(files: &VecDeque<HeldFile<F>>) -> bool {
    let live = || files.iter().filter_map(|held| held.live);
    let mut pairs = live().zip(live().skip(1));
    pairs.all(|((_, end), (first, _))| end + 1 == first)
}

/// Where to read a run of entries of one file.
pub(crate) enum FilePlace<F: FileSystem> {
    /// No file holds the index.
    Nowhere,
    /// In this file, whose positions have to be built first.
    Unindexed(SegmentSummary),
    /// At these offsets.
    At {
        summary: SegmentSummary,
        file: Arc<OpenedFile<F::File>>,
        offsets: Vec<u32>,
        end: u64,
    },
}

/// All files with entries, oldest first.
pub(crate) struct SegmentTable<F: FileSystem> {
    /// The history files, which came from other nodes. The live ones join each other and the first live
    /// segment. If no segment is live, they join the log in memory.
    pub(crate) history: VecDeque<HeldFile<F>>,
    /// The segments; the last one is being written.
    pub(crate) held: VecDeque<HeldFile<F>>,
}

impl<F: FileSystem> SegmentTable<F> {
    pub(crate) fn new() -> Self {
        SegmentTable {
            history: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    /// Adds the next segment, whatever it already holds.
    pub(crate) fn push(
        &mut self,
        index: Index,
        indexed: bool,
        file: Option<Arc<OpenedFile<F::File>>>,
    ) {
        if let Some(from) = index.summary.removed_from {
            self.clip(from);
        }
        if index.summary.gap_to.is_some() {
            self.disconnect();
        }
        let live = index.summary.range;
        self.held.push_back(HeldFile {
            index,
            live,
            indexed,
            file,
        });
        self.forget_positions();
    }

    pub(crate) fn active(&mut self) -> Option<&mut HeldFile<F>> {
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
        file: Option<Arc<OpenedFile<F::File>>>,
    ) {
        let live = index.summary.range;
        self.history.push_front(HeldFile {
            index,
            live,
            indexed,
            file,
        });
        self.forget_positions();
    }

    /// The log now begins at `joined`: history that does not lead there no longer counts.
    pub(crate) fn join_history(&mut self, mut joined: u64) {
        for held in self.history.iter_mut().rev() {
            held.live = held.live.filter(|(_, last)| last + 1 == joined);
            joined = held.live.map_or(joined, |(first, _)| first);
        }
    }

    /// Takes out the history files that a gap has cut off from the log.
    pub(crate) fn take_dead_history(&mut self) -> Vec<SegmentSummary> {
        let (kept, dead): (Vec<_>, Vec<_>) = std::mem::take(&mut self.history)
            .into_iter()
            .partition(|held| held.live.is_some());
        self.history = kept.into();
        dead.into_iter().map(|held| held.index.summary).collect()
    }

    /// The first index of the history that leads to `joined`; `joined` if no history does.
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
    pub(crate) fn place(&self, from: u64, to: u64, bytes_max: u64) -> FilePlace<F> {
        self.place_among(self.files(), from, to, bytes_max)
    }

    /// As [`SegmentTable::place`], in history only.
    pub(crate) fn place_in_history(&self, from: u64, to: u64, bytes_max: u64) -> FilePlace<F> {
        self.place_among(self.history.iter(), from, to, bytes_max)
    }

    fn place_among<'a>(
        &'a self,
        files: impl DoubleEndedIterator<Item = &'a HeldFile<F>>,
        from: u64,
        to: u64,
        bytes_max: u64,
    ) -> FilePlace<F> {
        let holds = |held: &&HeldFile<F>| held.live.is_some_and(|(a, b)| (a..=b).contains(&from));
        let Some(held) = files.rev().find(holds) else {
            return FilePlace::Nowhere;
        };
        let summary = held.index.summary.clone();
        let (true, Some(file)) = (held.indexed, &held.file) else {
            return FilePlace::Unindexed(summary);
        };
        let to = to.min(held.live.map_or(from, |(_, last)| last) + 1);
        let mut offsets = held.index.positions.range(from, to);
        let Some(start) = offsets.first().copied() else {
            return FilePlace::Nowhere;
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
        FilePlace::At {
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
        summary: &SegmentSummary,
        positions: Positions,
        file: Arc<OpenedFile<F::File>>,
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
    pub(crate) fn files(&self) -> impl DoubleEndedIterator<Item = &HeldFile<F>> {
        self.history.iter().chain(&self.held)
    }

    /// Of the segments only.
    pub(crate) fn summaries(&self) -> impl Iterator<Item = &SegmentSummary> {
        self.held.iter().map(|held| &held.index.summary)
    }

    /// The first index that a segment holds.
    pub(crate) fn first(&self) -> Option<u64> {
        self.held.iter().find_map(|held| Some(held.live?.0))
    }

    /// The last index that a segment holds.
    pub(crate) fn last(&self) -> Option<u64> {
        self.held.iter().rev().find_map(|held| Some(held.live?.1))
    }

    /// The last index that a history file holds.
    pub(crate) fn history_end(&self) -> Option<u64> {
        self.history
            .iter()
            .rev()
            .find_map(|held| Some(held.live?.1))
    }

    /// Replaces the summary of a history file by that of its replacement, which holds the same entries. False
    /// when there is no such file.
    pub(crate) fn replace_history(&mut self, index: Index, file: Arc<OpenedFile<F::File>>) -> bool {
        let (number, range) = (index.summary.number, index.summary.range);
        let mut files = self.history.iter_mut();
        let Some(held) = files.find(|held| held.index.summary.range == range) else {
            return false;
        };
        held.index = index;
        held.indexed = true;
        held.file = Some(file);
        self.forget_positions_but(number);
        true
    }

    /// The first contradiction in this bookkeeping; `None` when there is none. Only for the table of an open
    /// log: a table under verification has no open files and lacks the damaged ones.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let numbers = || self.held.iter().map(|held| held.index.summary.number);
        let mut pairs = numbers().zip(numbers().skip(1));
        let positions = self.held.back().map(|active| {
            let range = active.index.summary.range;
            let entries = range.map_or(0, |(first, last)| last.saturating_sub(first) + 1);
            active.indexed && active.index.positions.offsets_len() == entries
        });
        let indexed = self.files().filter(|held| held.indexed).count();
        let rules = [
            (
                positions == Some(true),
                "the segment that is written to is missing, or its positions are not those of its entries",
            ),
            (
                pairs.all(|(one, next)| one + 1 == next),
                "the numbers of the segments do not follow each other",
            ),
            (
                numbers().all(|number| number & HISTORY_BIT == 0)
                    && self
                        .history
                        .iter()
                        .all(|held| held.index.summary.is_history()),
                "a segment is among the history files, or the reverse",
            ),
            (
                self.files().all(HeldFile::is_within_its_file),
                "a file counts for entries that it does not hold",
            ),
            (
                are_adjacent(&self.held) && are_adjacent(&self.history),
                "the entries of neighbouring files are not adjacent",
            ),
            (
                indexed <= INDEXED_MAX
                    && self.files().all(|held| held.indexed == held.file.is_some()),
                "a file is open without its positions, or too many are",
            ),
        ];
        rules
            .iter()
            .find(|(holds, _)| !holds)
            .map(|(_, what)| *what)
    }

    /// No segment leads to the log any more. History files may: they are cut off when the gap is made, and
    /// files that arrive before the gap is written join the log after it, or after a later gap.
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

    /// Bounds the memory: the oldest indexed files lose their positions.
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

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
