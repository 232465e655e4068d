//! Chooses the run of entries to give to a node that lacks the entries before its log.

use crate::fs::FileSystem;
use crate::log::shared::SharedLog;
use crate::segment::{HeldFile, SegmentTable};

impl<F: FileSystem> SharedLog<F> {
    /// See [`Store::history_run`](crate::Store::history_run).
    pub(crate) fn history_run(&self, before: u64, bytes_max: u64) -> Option<(u64, u64)> {
        let last = before.checked_sub(1)?;
        let settled = {
            let state = self.tail.read().state;
            state.committed.max(state.purged)?
        };
        if settled.index < last {
            return None;
        }
        let first = run_up_to(&self.table.read(), last, bytes_max)?;
        Some((first, last))
    }
}

/// The first index of a run of entries up to `last` of about `bytes_max` bytes.
fn run_up_to<F: FileSystem>(table: &SegmentTable<F>, last: u64, bytes_max: u64) -> Option<u64> {
    let (mut end, mut left, mut first) = (last, bytes_max, None);
    let mut held_at_all = false;
    for held in table.files().rev() {
        let Some((start, _)) = held.live.filter(|(a, b)| (*a..=*b).contains(&end)) else {
            continue;
        };
        held_at_all = true;
        let (count, bytes) = fitting(held, (start, end), left);
        if count == 0 {
            break;
        }
        first = Some(end + 1 - count);
        if count < end + 1 - start || start == 0 {
            break;
        }
        left = left.saturating_sub(bytes);
        end = start - 1;
    }
    // Send at least one entry, whatever its size; otherwise a large entry could never be sent.
    first.or(held_at_all.then_some(last))
}

/// How many of a file's entries `start..=end` fit into `bytes`, counted from the end, and what
/// they take. Where the positions are not in memory, by the average of the file.
fn fitting<F: FileSystem>(held: &HeldFile<F>, (start, end): (u64, u64), bytes: u64) -> (u64, u64) {
    let summary = &held.index.summary;
    let positions = &held.index.positions;
    let offsets = positions.range(start, end + 1);
    if offsets.is_empty() {
        let entries = summary.range.map_or(1, |(first, last)| last - first + 1);
        let average = (summary.bytes / entries).max(1);
        let count = (bytes / average).min(end + 1 - start);
        return (count, count * average);
    }
    let next = positions.range(end + 1, end + 2).first();
    let bound = next.map_or(summary.bytes, |next| u64::from(*next));
    let over = offsets.partition_point(|offset| u64::from(*offset).saturating_add(bytes) < bound);
    let from = offsets.get(over).map_or(bound, |offset| u64::from(*offset));
    ((offsets.len() - over) as u64, bound - from)
}
