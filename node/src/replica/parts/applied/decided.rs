//! The entries that this leader has decided and not applied yet. Apply takes them from here, and need not decode
//! entries that this node has encoded itself.
//!
//! The proposer keeps an entry here before it hands the entry's bytes to Raft. Apply asks with the bytes that it got
//! from the log. It gets the decided entry only if these bytes are *the same memory* as the bytes that the proposer
//! handed over. So this code need not know terms, or which predictions failed. The memory cannot have been freed and
//! used again, because this module holds it, and `Bytes` never change. An entry that came back from the disk, or from
//! another leader, has other memory, so it is decoded.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rstmdb_engine::fact::Message;
use rstmdb_engine::{Compiled, Entry};

use crate::replica::parts::invariants::{BrokenInvariant, ensure};

/// A decided entry.
pub(crate) struct DecidedEntry {
    pub entry: Arc<Entry>,
    /// As it was handed to Raft.
    pub bytes: Bytes,
    /// The machines that it defines.
    pub compiled: Compiled,
}

impl DecidedEntry {
    /// Encodes an entry for the log.
    pub(crate) fn new(entry: Entry, compiled: Compiled) -> Self {
        Self {
            bytes: entry.encode_to_vec().into(),
            entry: Arc::new(entry),
            compiled,
        }
    }

    fn is_in(&self, bytes: &Bytes) -> bool {
        self.bytes.as_ptr() == bytes.as_ptr() && self.bytes.len() == bytes.len()
    }
}

/// The decoded entries of this leadership by offset, until apply takes them. Bounded by what the proposer has in flight.
#[derive(Default)]
pub(crate) struct DecidedEntries {
    kept: Mutex<VecDeque<DecidedEntry>>,
    /// How often an entry was found.
    #[cfg(test)]
    pub found: std::sync::atomic::AtomicU64,
}

impl DecidedEntries {
    /// Keeps entries that follow those kept before.
    pub(crate) fn keep(&self, entries: impl IntoIterator<Item = DecidedEntry>) {
        self.kept.lock().extend(entries);
    }

    /// The entry that the log has at this offset, if this node has made these very bytes. Forgets what was expected
    /// up to this offset.
    pub(crate) fn take(&self, offset: u64, bytes: &Bytes) -> Option<DecidedEntry> {
        let mut passed = VecDeque::new();
        {
            let mut kept = self.kept.lock();
            while let Some(decided) = kept.pop_front_if(|kept| kept.entry.index <= offset) {
                passed.push_back(decided);
            }
        }
        // Entries that did not come are freed here, after the lock, so the proposer does not wait for that.
        let found = passed.pop_back().filter(|decided| decided.is_in(bytes));
        #[cfg(test)]
        self.found.fetch_add(
            u64::from(found.is_some()),
            std::sync::atomic::Ordering::Relaxed,
        );
        found
    }

    /// Forgets everything: nothing is in flight any more.
    pub(crate) fn forget(&self) {
        let forgotten = std::mem::take(&mut *self.kept.lock());
        drop(forgotten);
    }

    /// Checks that the offsets ascend and that the bytes are those of the entries.
    pub(crate) fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        let kept = self.kept.lock();
        let offsets = || kept.iter().map(|decided| decided.entry.index);
        ensure(offsets().is_sorted_by(|one, next| one < next), || {
            let offsets: Vec<u64> = offsets().collect();
            format!("decided entries are expected at {offsets:?}")
        })?;
        let Some(newest) = kept.back() else {
            return Ok(());
        };
        // Each of the others was the newest one once.
        let is_right = Entry::decode(newest.bytes.clone()).is_ok_and(|read| read == *newest.entry);
        ensure(is_right, || {
            let offset = newest.entry.index;
            format!("the bytes of the entry at {offset} are not those of what was decided")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(index: u64) -> DecidedEntry {
        let entry = Entry {
            index,
            actor: "test".to_owned(),
            ..Entry::default()
        };
        DecidedEntry::new(entry, Compiled::default())
    }

    #[test]
    fn an_entry_is_found_by_its_own_bytes_only() {
        let kept = DecidedEntries::default();
        let (first, second, third) = (decided(1), decided(2), decided(3));
        let bytes = [&first, &second, &third].map(|decided| decided.bytes.clone());
        kept.keep([first, second, third]);
        assert_eq!(kept.check_invariants(), Ok(()));
        let found = kept.take(1, &bytes[0]);
        assert_eq!(found.map(|found| found.entry.index), Some(1));
        // As read from the disk.
        assert!(kept.take(2, &Bytes::copy_from_slice(&bytes[1])).is_none());
        assert!(kept.take(2, &bytes[1]).is_none(), "it was passed");
        assert!(kept.take(3, &bytes[2]).is_some());
    }

    #[test]
    fn an_entry_that_landed_behind_its_predicted_offset_is_not_taken_for_the_one_expected_there() {
        let kept = DecidedEntries::default();
        let (first, second) = (decided(1), decided(2));
        let landed = first.bytes.clone();
        kept.keep([first, second]);
        assert!(kept.take(2, &landed).is_none());
    }

    #[test]
    fn bytes_of_another_entry_and_offsets_that_do_not_ascend_are_seen() {
        let kept = DecidedEntries::default();
        kept.keep([decided(2), decided(1)]);
        assert!(kept.check_invariants().is_err());
        kept.forget();
        assert_eq!(kept.check_invariants(), Ok(()));
        let mut wrong = decided(1);
        wrong.bytes = decided(2).bytes;
        kept.keep([wrong]);
        assert!(kept.check_invariants().is_err());
    }
}
