//! Follows the log as recovery does, and also decodes the parts that recovery does not read.

use std::path::Path;

use super::report::Before;
use crate::format::{LogPosition, LogRecord, SegmentHeader};
use crate::segment::rebuild::Rebuild;
use crate::segment::scan::RecordVisitor;
use crate::types::{Membership, Payload};

/// Follows the log as recovery does, and also decodes the parts that recovery does not read.
#[derive(Default)]
pub(super) struct Decoding {
    pub(super) rebuild: Rebuild,
    /// The memberships in the log, each with the index of its entry.
    memberships: Vec<(u64, Membership)>,
}

impl Decoding {
    /// A segment begins; this is the state of the log before it.
    pub(super) fn before(&self) -> Before {
        Before {
            state: self.rebuild.state,
            continues: self.rebuild.continues,
        }
    }

    /// Continues at a segment with only this state of the log before it.
    pub(super) fn go_on(&mut self, Before { state, continues }: Before) {
        self.rebuild = Rebuild {
            state,
            continues,
            entries: self.rebuild.entries,
            ..Rebuild::default()
        };
    }

    /// The newest membership in the log, and the index of its entry.
    pub(super) fn membership(&self) -> Option<(u64, Membership)> {
        self.memberships.last().cloned()
    }
}

impl RecordVisitor for Decoding {
    fn segment(&mut self, header: &SegmentHeader, path: &Path) -> Result<(), String> {
        self.rebuild.segment(header, path)
    }

    fn record(&mut self, at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        match record {
            LogRecord::Entry(entry) => {
                let index = entry.log_id.index;
                if let Payload::Membership(membership) = entry.to_entry()?.payload {
                    self.memberships.push((index, membership));
                }
            }
            LogRecord::Truncate(keep) => {
                let is_kept = |index: u64| keep.is_some_and(|keep| index <= keep.index);
                self.memberships.retain(|(index, _)| is_kept(*index));
            }
            _ => {}
        }
        self.rebuild.record(at, record)
    }
}
