//! A watch is a cursor over the log and a filter.
//!
//! Replay and live are one loop: the watch reads on from its cursor and keeps what matches. At the head it goes idle
//! until the hub names the next offset that matches. Nothing is buffered for a client beyond the one page that it is
//! being sent. So a client that reads slowly merely falls behind, and continues from memory or from the log, wherever
//! its cursor stands.

use std::sync::Arc;

use rstmdb_engine::fact::Meta;
use rstmdb_engine::{Query, Refusal, Reply};

use super::event::WatchEvent;
use super::hub::{Hub, RecentPage, WatchFact, WatchFilter, WatchSlot};
use crate::planted::{self, Bug};
use crate::replica::error::Error;
use crate::replica::parts::backfilled_log::BackfilledLog;
use crate::replica::parts::gate::Gate;
use crate::replica::parts::log_page::{EffectivePage, LogReader};
use crate::replica::parts::pace::let_others_run;
use crate::replica::types::Types;

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

/// What every watch of a replica reads from.
pub(crate) struct WatchSource<T: Types> {
    pub hub: Arc<Hub>,
    pub log: Arc<LogReader<T::Fs>>,
    pub backfilled: Arc<BackfilledLog>,
    pub gate: Arc<Gate>,
}

impl<T: Types> WatchSource<T> {
    /// A watch after the head, or from an offset.
    pub(crate) fn watch(
        self: &Arc<Self>,
        filter: WatchFilter,
        from: Option<u64>,
    ) -> Result<Watch<T>, Error> {
        self.gate.trust()?;
        let head = self.log.applied.read().last_applied();
        Watch::new(self.clone(), filter, head, from)
    }

    /// A watch of one instance, and the instance's state at the watch's head. A watch that delivers creations or
    /// deletions may wait for an instance that does not exist.
    pub(crate) fn watch_instance(
        self: &Arc<Self>,
        instance_id: &str,
        mut filter: WatchFilter,
        from: Option<u64>,
    ) -> Result<(Watch<T>, Option<Reply>), Error> {
        self.gate.trust()?;
        let query = Query::GetInstance {
            instance_id: instance_id.to_owned(),
        };
        let (head, found) = {
            let state = self.log.applied.read();
            let found = state.query(&query);
            (
                state.last_applied(),
                found.and_then(|found| filter.check(instance_id, found)),
            )
        };
        let instance = match found {
            Ok(instance) => Some(instance),
            Err(Refusal::InstanceNotFound { .. }) if filter.include.is_any() => None,
            Err(refusal) => return Err(refusal.into()),
        };
        filter.instance = Some(instance_id.to_owned());
        let watch = Watch::new(self.clone(), filter, head, from)?;
        Ok((watch, instance))
    }
}

/// A watch; dropping it ends it.
pub struct Watch<T: Types> {
    source: Arc<WatchSource<T>>,
    slot: Arc<WatchSlot>,
    /// The next offset to examine.
    cursor: u64,
    /// It began at an offset of the past, and has not reported yet that it has reached the head.
    catching_up: bool,
    /// The last applied offset when the watch began.
    pub head: u64,
    /// The first retained offset when the watch began.
    pub earliest: u64,
}

impl<T: Types> Watch<T> {
    fn new(
        source: Arc<WatchSource<T>>,
        filter: WatchFilter,
        head: u64,
        from: Option<u64>,
    ) -> Result<Self, Error> {
        let earliest = source.log.earliest_offset();
        let cursor = match from {
            None => head + 1,
            Some(0) => earliest,
            Some(wanted) if wanted < earliest => return Err(source.log.unreadable(wanted)),
            Some(wanted) => wanted,
        };
        let slot = source.hub.register(filter, cursor);
        Ok(Self {
            source,
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
    /// Ends when the cursor's offset is no longer retained, the log cannot be read, or the replica has ended.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Vec<WatchEvent>, WatchEnd> {
        loop {
            self.source.gate.trust()?;
            self.source.gate.belong()?;
            let mut drops = None;
            let page = match self.source.hub.recent(self.cursor, PAGE_ENTRIES) {
                RecentPage::AtHead if self.catching_up => {
                    self.catching_up = false;
                    return Ok(Vec::new());
                }
                RecentPage::AtHead => {
                    self.source.gate.run_on()?;
                    if self.source.hub.go_idle(&self.slot, self.cursor) {
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
                RecentPage::Older { head } => match self.read_older(head).await? {
                    Some(page) => {
                        drops = planted::is(Bug::CatchUpDropsDeletions).then_some("deleted");
                        page
                    }
                    None => continue,
                },
            };
            let events = self.take_matching(page, bytes_max, drops);
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
            hub: self.source.hub.clone(),
            slot: self.slot.clone(),
        }
    }

    /// Reads what is no longer in memory; `None` when that came only now, so that the caller has to look again.
    async fn read_older(&self, head: u64) -> Result<Option<EffectivePage>, Error> {
        let held = self.source.log.hold(self.cursor).await?;
        let page = self.read_log(head);
        drop(held);
        match page {
            Err(Error::OffsetCompacted { .. })
                if self.source.backfilled.progress(self.cursor).await =>
            {
                Ok(None)
            }
            page => page.map(Some),
        }
    }

    fn read_log(&self, head: u64) -> Result<EffectivePage, Error> {
        let log = &self.source.log;
        log.read_effective(self.cursor, head, PAGE_ENTRIES, PAGE_BYTES)
    }

    /// Filters a page and moves the cursor behind what was examined.
    fn take_matching(
        &mut self,
        page: EffectivePage,
        bytes_max: usize,
        drops: Option<&str>,
    ) -> Vec<WatchEvent> {
        let mut events = Vec::new();
        let mut bytes = 0;
        for (offset, entry) in page.entries {
            let meta_bytes = entry.meta.as_ref().map_or(0, Meta::text_bytes);
            for (fact, told) in entry.facts.iter().enumerate() {
                let Some(told) = WatchFact::of(told) else {
                    continue;
                };
                let is_wanted = self.slot.filter().matches(&told, &told.keys());
                if is_wanted && drops != Some(told.kind()) {
                    bytes += told.document_bytes() + meta_bytes;
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
    slot: Arc<WatchSlot>,
}

impl Progress {
    /// Everything up to this offset, inclusive, was examined, and every match was returned by [`Watch::next`]. Once
    /// these matches are with the client, the watch can be resumed behind this offset.
    #[must_use]
    pub fn looked_at(&self) -> u64 {
        self.hub.looked_at(&self.slot) + u64::from(planted::is(Bug::ProgressTooEarly))
    }
}

impl<T: Types> Drop for Watch<T> {
    fn drop(&mut self) {
        self.source.hub.unregister(&self.slot);
    }
}
