//! What must hold after every step of an open log: of the entries in memory, of the table of files, and between them.
//! Debug builds check it; the cost grows with the number of files, not of entries.
//!
//! Only bookkeeping is checked here. A file's content can be wrong, and that is an error for the caller. So
//! if the files already contradict each other when the log is opened, nothing is checked.
//!
//! | of | must hold |
//! |---|---|
//! | memory | durably purged ≤ purged ≤ last; first ≤ written to ≤ next; what is in memory ends with the log |
//! | files | segments are numbered without gaps, the last one is written to; entries of neighbours are adjacent |
//! | both | every entry that counts as written is in a file; history leads to the first segment's entries |
//!
//! The purged and the committed log id are not compared. The store keeps both as Raft gives them, and Raft
//! may learn from a snapshot that entries are committed before it saves that.

use crate::fs::FileSystem;
use crate::log::tail::Tail;
use crate::segment::SegmentTable;

/// The first contradiction; `None` when there is none.
pub(super) fn fault<F: FileSystem>(tail: &Tail, table: &SegmentTable<F>) -> Option<&'static str> {
    tail.fault()
        .or_else(|| table.fault())
        .or_else(|| fault_between(tail, table))
}

fn fault_between<F: FileSystem>(tail: &Tail, table: &SegmentTable<F>) -> Option<&'static str> {
    // Until a gap is written, the segments still show entries that are no longer part of the log.
    if tail.gap_end().is_some() {
        return None;
    }
    let is_in_file = |end: u64| tail.written_to() <= end + 1;
    if !table.last().is_none_or(is_in_file) {
        return Some("some entries count as written but are in no file");
    }
    let joins = match (table.history_end(), table.first()) {
        (Some(end), Some(first)) => end + 1 == first,
        _ => true,
    };
    (!joins).then_some("history does not lead to the first segment")
}
