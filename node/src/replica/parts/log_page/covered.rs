//! Which entries the objects of the archive hold.

use std::collections::BTreeMap;

use rstmdb_raft_store::ArchivedName;

/// Ranges of entries, first and last: neither overlapping nor adjacent.
#[derive(Default)]
pub(super) struct CoveredRanges(BTreeMap<u64, u64>);

impl CoveredRanges {
    /// What these objects hold together. They come in the order of their first entries.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a ArchivedName>) -> Self {
        let mut ranges: BTreeMap<u64, u64> = BTreeMap::new();
        for name in names {
            match ranges.last_entry() {
                Some(mut range) if *range.get() + 1 >= name.first => {
                    let last = name.last.max(*range.get());
                    range.insert(last);
                }
                _ => {
                    ranges.insert(name.first, name.last);
                }
            }
        }
        Self(ranges)
    }

    /// The range without a gap that holds this entry.
    pub(super) fn range_of(&self, offset: u64) -> Option<(u64, u64)> {
        let (first, last) = self.0.range(..=offset).next_back()?;
        (*last >= offset).then_some((*first, *last))
    }
}
