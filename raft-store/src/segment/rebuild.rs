//! Builds Raft's state from records.

use std::path::Path;

use crate::format::{HardState, LogPosition, LogRecord, SegmentHeader};
use crate::segment::scan::{RecordVisitor, Scan};
use crate::segment::summary::Index;
use crate::types::next_index;

/// Follows the records and keeps the state that Raft needs.
#[derive(Default)]
pub(crate) struct Rebuild {
    pub(crate) state: HardState,
    pub(crate) index: Index,
    /// Whether an earlier segment was read. This segment's header must then repeat its end.
    pub(crate) continues: bool,
    pub(crate) entries: u64,
}

impl Rebuild {
    /// Ends a segment and returns its summary.
    pub(crate) fn finish_segment(&mut self, found: &Scan) -> Index {
        self.index.summary.bytes = found.end;
        self.index.summary.header_crc = found.header_crc;
        self.continues = true;
        std::mem::take(&mut self.index)
    }
}

impl RecordVisitor for Rebuild {
    fn segment(&mut self, header: &SegmentHeader, _path: &Path) -> Result<(), String> {
        let (mine, theirs) = (&self.state, &header.state);
        if self.continues && (mine.last != theirs.last || mine.vote != theirs.vote) {
            return Err("the segment does not continue the one before it".into());
        }
        self.state = header.state;
        self.index.summary.number = header.segment;
        self.index.summary.first_ms = 0;
        self.index.summary.last_ms = header.created_ms;
        Ok(())
    }

    fn record(&mut self, at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        match record {
            LogRecord::Batch(mark) => self.index.batch(mark.time_ms),
            LogRecord::Close(_) | LogRecord::Seal(_) => {}
            LogRecord::Entry(entry) => {
                let id = entry.log_id;
                if self
                    .state
                    .last
                    .is_some_and(|last| last.index + 1 != id.index)
                {
                    let expected = next_index(self.state.last);
                    return Err(format!(
                        "entry {} follows where {expected} was expected",
                        id.index
                    ));
                }
                self.state.last = Some(id);
                self.index.entry(id.index, at.offset);
                self.entries += 1;
            }
            LogRecord::Vote(vote) => self.state.vote = Some(*vote),
            LogRecord::Committed(id) => self.state.committed = Some(*id),
            LogRecord::Truncate(keep) => {
                self.state.truncate(*keep);
                self.index.truncate(next_index(*keep));
            }
            LogRecord::Purge(id) => {
                if self.state.purge(*id) {
                    self.index.gap(id.index);
                }
            }
        }
        Ok(())
    }
}
