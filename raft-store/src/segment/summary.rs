//! What one segment or history file holds: its indexes, and where in the file they are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::folder::Layout;
use crate::format::INDEX_END;

/// Set in the number of a history file; its other bits are the first index. Every record's checksum covers
/// the number, so a segment's record is never read as history, nor the reverse.
pub(crate) const HISTORY_BIT: u64 = INDEX_END;

/// What one segment or history file holds. Derived from the file's own records only, so it never changes once
/// the segment is sealed. `SegmentTable::push` works out which entries later segments removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentSummary {
    pub(crate) number: u64,
    /// Checksum of the segment's header: ties the summary to the file.
    pub(crate) header_crc: u32,
    /// Where its last record ends.
    pub(crate) bytes: u64,
    /// The first and last index it holds (inclusive).
    pub(crate) range: Option<(u64, u64)>,
    /// The lowest index that its truncations removed from earlier segments.
    pub(crate) removed_from: Option<u64>,
    /// Set when a purge went beyond the end of the log: no entry up to this index leads to the new log.
    pub(crate) gap_to: Option<u64>,
    /// When its first and last batch were written, Unix time in milliseconds.
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

impl SegmentSummary {
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
        debug_assert!(
            self.offsets
                .last()
                .is_none_or(|last| u64::from(*last) < offset),
            "entries are written and read from the front of a file to its end"
        );
        // A segment file ends long before 4 GiB: it is rolled at segment_bytes, and one batch
        // on top of that is bounded by the writer.
        self.offsets.push(u32::try_from(offset).unwrap_or(u32::MAX));
    }

    fn truncate(&mut self, from: u64) {
        self.offsets
            .truncate(from.saturating_sub(self.first) as usize);
    }

    /// How many entries' offsets are known.
    pub(super) fn offsets_len(&self) -> u64 {
        self.offsets.len() as u64
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

/// A segment's summary and positions. The writer and the replay update it with each record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    pub(crate) summary: SegmentSummary,
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

pub(super) fn clip_above(range: Option<(u64, u64)>, from: u64) -> Option<(u64, u64)> {
    let (first, last) = range?;
    (first < from).then(|| (first, last.min(from - 1)))
}
