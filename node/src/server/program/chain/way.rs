//! The way from one known head to the next, and what is said where it does not fit.

use rstmdb_engine::chain::Head;

use super::{Hashes, KnownHead};

/// How far the entries were followed.
pub(super) struct FollowedChain<'a> {
    at: u64,
    /// That the entries lead to, from the last head that they agreed with or that was believed.
    head: Head,
    /// The last offset at which they agreed.
    agreed: u64,
    /// A kept head that the entries do not lead to, and the head that they lead to. The next known head tells whether an
    /// entry was changed, or only this head is wrong.
    doubted: Option<(u64, &'a KnownHead, Head)>,
}

impl<'a> FollowedChain<'a> {
    pub(super) fn from(at: u64, head: Head) -> Self {
        Self {
            at,
            head,
            agreed: at,
            doubted: None,
        }
    }

    pub(super) fn reach(
        &mut self,
        hashes: &Hashes,
        offset: u64,
        known: &'a KnownHead,
        faults: &mut Vec<String>,
    ) {
        let head = hashes.lead(self.at, self.head, offset);
        self.at = offset;
        let doubted = self.doubted.take();
        if head == known.head {
            faults.extend(doubted.map(|(at, kept, found)| {
                format!(
                    "the head that you kept at offset {at} is {}, and the entries lead to {found} there and on to the \
                     head that {} has at {offset}: it was written down wrongly or is of another cluster, or the log and \
                     the snapshots behind it were changed",
                    kept.head, known.source
                )
            }));
            (self.head, self.agreed) = (head, offset);
            return;
        }
        if let Some((at, kept, found)) = doubted {
            faults.push(self.changed(at, found, kept));
            self.agreed = at;
            // Both say the same: what was changed lies before them.
            if hashes.lead(at, kept.head, offset) == known.head {
                (self.head, self.agreed) = (known.head, offset);
                return;
            }
        }
        if known.is_kept {
            self.head = head;
            self.doubted = Some((offset, known, head));
            return;
        }
        faults.push(self.changed(offset, head, known));
        (self.head, self.agreed) = (known.head, offset);
    }

    pub(super) fn end(mut self, faults: &mut Vec<String>) -> (u64, Head) {
        if let Some((at, kept, found)) = self.doubted.take() {
            faults.push(self.changed(at, found, kept));
            self.head = found;
        }
        (self.at, self.head)
    }

    fn changed(&self, to: u64, found: Head, known: &KnownHead) -> String {
        format!(
            "an entry from {} to {to} was changed: the entries lead to the head {found}, and {} is {}{}",
            self.agreed + 1,
            known.source,
            known.head,
            match known.is_kept {
                true => ". Or that one was written down wrongly, or is of another cluster",
                false => "",
            }
        )
    }
}
