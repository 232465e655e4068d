//! A watch is a cursor over the log and a filter.
//!
//! Replay and live are one loop: read on from the cursor, keep what matches, and when the head
//! is reached go idle until the hub names the next offset that matches. Nothing is buffered for
//! a client beyond the one page it is being sent, so a client that reads slowly merely falls
//! behind, and continues from memory or from the log wherever its cursor stands.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use rstmdb_engine::fact::{ApplyEvent, Body, Entry, Fact};

use super::Error;
use super::handle::{Inner, Replica};
use super::hub::{EventKeys, Hub, RecentPage, Slot, WatchFilter};
use super::log_page::{EffectivePage, read_effective};
use super::reads::Consistency;
use super::types::Types;
use crate::planted::{self, Bug};

/// Entries examined at once; between two pages other tasks get their turn.
const PAGE_ENTRIES: usize = 512;
/// Encoded bytes read from the log at once.
const PAGE_BYTES: usize = 256 * 1024;

/// Why a watch ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WatchEnd {
    /// The watch fell so far behind that its offset fell out of retention, or the log could
    /// not be read.
    #[error("{0}")]
    Failed(#[from] Error),
}

/// One event of a watch. Cheap to clone: it borrows from the log entry it came from.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// The log index of the entry.
    pub offset: u64,
    entry: Arc<Entry>,
    fact: usize,
}

impl WatchEvent {
    /// The fact: instance, event, states, payload and new context.
    #[must_use]
    pub fn fact(&self) -> &ApplyEvent {
        match event_of(&self.entry.facts[self.fact]) {
            Some(event) => event,
            // `matching` makes a `WatchEvent` only of facts for which `event_of` is `Some`,
            // and an entry behind an `Arc` does not change.
            None => unreachable!("a watch event is made of an apply_event fact"),
        }
    }

    /// The event's payload, if it had one.
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        self.fact().payload.as_ref()
    }
}

/// The apply_event in `fact`, the only kind that watches deliver.
pub(crate) fn event_of(fact: &Fact) -> Option<&ApplyEvent> {
    match &fact.body {
        Some(Body::ApplyEvent(event)) => Some(event),
        _ => None,
    }
}

pub(crate) trait Keys {
    fn keys(&self) -> EventKeys<'_>;
}

impl Keys for ApplyEvent {
    fn keys(&self) -> EventKeys<'_> {
        EventKeys {
            instance_id: &self.instance_id,
            machine: &self.machine,
            from_state: &self.from_state,
            to_state: &self.to_state,
            event: &self.event,
        }
    }
}

/// A watch; dropping it ends it.
pub struct Watch<T: Types> {
    replica: Arc<Inner<T>>,
    slot: Arc<Slot>,
    /// The next offset to examine.
    cursor: u64,
    /// It began at an offset of the past, and has not told yet that it has come to the head.
    catching_up: bool,
    /// The last applied offset when the watch began.
    pub head: u64,
    /// The first retained offset when the watch began.
    pub earliest: u64,
}

impl<T: Types> Watch<T> {
    pub(crate) fn new(
        replica: Arc<Inner<T>>,
        filter: WatchFilter,
        head: u64,
        from: Option<u64>,
    ) -> Result<Self, Error> {
        let earliest = replica.store.earliest_index().max(1);
        let cursor = match from {
            None => head + 1,
            Some(0) => earliest,
            Some(wanted) if wanted < earliest => {
                return Err(Error::OffsetCompacted { wanted, earliest });
            }
            Some(wanted) => wanted,
        };
        let slot = replica.hub.register(filter, cursor);
        Ok(Self {
            replica,
            slot,
            cursor,
            catching_up: from.is_some(),
            head,
            earliest,
        })
    }

    /// Waits for the next events: at least one, at ascending offsets, all facts of one offset
    /// together, until about `bytes_max` of contexts and payloads are gathered. A watch that began at a
    /// given offset says once by an empty list that it has come to the head.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Ends when the cursor's offset is no longer retained or the log cannot be read.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Vec<WatchEvent>, WatchEnd> {
        loop {
            self.replica.gate.trust()?;
            self.replica.gate.belong()?;
            let page = match self.replica.hub.recent(self.cursor, PAGE_ENTRIES) {
                RecentPage::AtHead if self.catching_up => {
                    self.catching_up = false;
                    return Ok(Vec::new());
                }
                RecentPage::AtHead => {
                    if self.replica.hub.go_idle(&self.slot, self.cursor) {
                        self.cursor = self.cursor.max(self.slot.woken().await);
                        if planted::is(Bug::WatchDrops)
                            && self.cursor.is_multiple_of(planted::WATCH_DROPS_EVERY)
                        {
                            self.cursor += 1;
                        }
                    }
                    continue;
                }
                RecentPage::Entries { entries, next } => EffectivePage { entries, next },
                RecentPage::Older { head } => match self.read_log(head) {
                    Err(Error::OffsetCompacted { .. })
                        if self.replica.history.progress(self.cursor).await =>
                    {
                        continue;
                    }
                    page => page?,
                },
            };
            let events = self.take_matching(page, bytes_max);
            self.slot.reached(self.cursor);
            if !events.is_empty() {
                return Ok(events);
            }
            let_others_run().await;
        }
    }

    /// What the watch wants.
    #[must_use]
    pub fn filter(&self) -> &WatchFilter {
        self.slot.filter()
    }

    /// Tells how far the watch has come, also while [`Watch::next`] waits.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            hub: self.replica.hub.clone(),
            slot: self.slot.clone(),
        }
    }

    fn read_log(&self, head: u64) -> Result<EffectivePage, Error> {
        read_effective(&self.replica, self.cursor, head, PAGE_ENTRIES, PAGE_BYTES)
    }

    /// Filters a page and moves the cursor behind what was examined.
    fn take_matching(&mut self, page: EffectivePage, bytes_max: usize) -> Vec<WatchEvent> {
        let mut events = Vec::new();
        let mut bytes = 0;
        for (offset, entry) in page.entries {
            for (fact, event) in entry.facts.iter().enumerate() {
                let Some(event) = event_of(event) else {
                    continue;
                };
                if self.slot.filter().matches(&event.keys()) {
                    bytes += event.ctx.len() + event.payload.as_ref().map_or(0, Bytes::len);
                    events.push(WatchEvent {
                        offset,
                        entry: entry.clone(),
                        fact,
                    });
                }
            }
            if bytes >= bytes_max {
                self.cursor = offset + 1;
                return events;
            }
        }
        self.cursor = page.next;
        events
    }
}

/// How far a watch has come. Cheap to clone; it does not keep the watch alive.
#[derive(Clone)]
pub struct Progress {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
}

impl Progress {
    /// Everything up to this offset, inclusive, was looked at, and what matched was returned by
    /// [`Watch::next`]: once that was handed on, the watch can be resumed behind this offset.
    #[must_use]
    pub fn looked_at(&self) -> u64 {
        self.hub.looked_at(&self.slot) + u64::from(planted::is(Bug::ProgressTooEarly))
    }
}

impl<T: Types> Replica<T> {
    /// Whether a watch may begin at the offset `from` that was got from the cluster `cluster_id`.
    ///
    /// A client comes with the offset behind the last one it has seen. This node may be behind that,
    /// and asks the leader before it calls it wrong.
    ///
    /// # Errors
    ///
    /// [`Error::OtherCluster`], [`Error::OffsetAhead`], and those of [`Replica::barrier`].
    pub async fn check_resume(
        &self,
        from: Option<u64>,
        cluster_id: Option<&str>,
    ) -> Result<(), Error> {
        let ours = &self.inner.options.cluster_id;
        if let Some(named) = cluster_id.filter(|named| named != ours) {
            return Err(Error::OtherCluster {
                named: named.to_owned(),
                head: self.inner.applied.offset(),
                cluster_id: ours.clone(),
            });
        }
        let Some(from) = from.filter(|from| *from > self.inner.applied.offset() + 1) else {
            return Ok(());
        };
        self.barrier(Consistency::Linearizable, None).await?;
        let head = self.inner.applied.offset();
        if from > head + 1 {
            return Err(Error::OffsetAhead {
                wanted: from,
                head,
                cluster_id: ours.clone(),
            });
        }
        Ok(())
    }

    /// The cluster's id, as text.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.inner.options.cluster_id
    }
}

impl<T: Types> Drop for Watch<T> {
    fn drop(&mut self) {
        self.replica.hub.unregister(&self.slot);
    }
}

/// Yields once, whatever the runtime is: a watch that scans a long log for a rare event must
/// not hold its thread.
pub(super) async fn let_others_run() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
