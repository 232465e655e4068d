//! Wakes the watches that a fact concerns, and keeps the newest entries decoded.
//!
//! ```text
//! apply ──dispatch──▶ ring of recent entries ──examine──▶ idle watches, woken where they match
//!                       │ lock of the ring                  │ lock of the watches
//!                       └──────── recent ────────▶ watches near the head
//! ```
//!
//! Apply only appends to the ring, so a write does not wait for watches, however many there are. A separate task
//! compares the new entries with the watches that are *idle*: those that have read all there is. It finds them by
//! instance, by machine, or among those that take any machine, and wakes a watch only when the whole filter matches.
//! The slot remembers the first matching offset, so a woken watch continues there: everything before it is known not to
//! match. So ten thousand idle watches cost an event only the look-ups of the few that share its instance or machine.
//! For the same reason an idle watch can say how far it has come without reading anything.
//!
//! The newest entries stay decoded in the ring, bounded in bytes, as long as there is a watch; a
//! watch that is further behind reads the log.

mod event;
mod filter;
mod invariants;
mod ring;
mod waking;
mod watches;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use event::WatchFact;
pub use filter::{FilterNames, Include, WatchFilter};
pub(crate) use ring::{Effective, RecentPage};
pub(crate) use waking::run;
pub(crate) use watches::WatchSlot;

use crate::replica::parts::invariants::assert_sound;
use ring::Ring;
use watches::{AWAKE, IDLE, Watches};

/// A watch that is this many offsets behind the head counts as lagging.
const LAGGING_OFFSETS_MIN: u64 = 10_000;

/// The meeting point of apply, which brings entries, and the watches, which wait for them.
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    watches: Mutex<Watches>,
    /// How many watches are registered.
    count: AtomicUsize,
    /// How many of them want anything besides events.
    including: AtomicUsize,
    /// The hub has compared everything up to this offset with the idle watches. It matches none of those that are still
    /// idle.
    examined: AtomicU64,
    /// Notified when there may be something to examine.
    more: Notify,
}

impl Hub {
    /// A hub for which everything up to `head` is the past.
    pub(crate) fn new(head: u64) -> Self {
        Self {
            ring: Mutex::new(Ring::new(head)),
            watches: Mutex::new(Watches::new(head)),
            count: AtomicUsize::new(0),
            including: AtomicUsize::new(0),
            examined: AtomicU64::new(head),
            more: Notify::new(),
        }
    }

    /// Forgets the ring and continues after `head`: a snapshot has replaced the state. Idle
    /// watches will be woken where they stand, because events they never saw may lie below `head`.
    pub(crate) fn reset(&self, head: u64) {
        let gone = self.ring.lock().skip_to(head);
        self.more.notify_one();
        drop(gone);
    }

    /// Takes what apply has just made effective, in order; `head` is the last offset of the
    /// batch, effective or not.
    pub(crate) fn dispatch(&self, mut batch: Vec<Effective>, head: u64) {
        let gone = {
            let mut ring = self.ring.lock();
            // Asked under the lock: a watch that is registered after this notifies the task itself.
            if self.count.load(Ordering::SeqCst) == 0 {
                ring.skip_to(head)
            } else {
                self.more.notify_one();
                ring.push(&mut batch, head);
                assert_sound(|| ring.check(false));
                VecDeque::new()
            }
        };
        // `push` has left in the batch what the ring dropped. It is freed here, where no task waits for the lock.
        drop((gone, batch));
    }

    /// How many watches are registered.
    pub(crate) fn watches(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// How many watches are awake and more than [`LAGGING_OFFSETS_MIN`] behind the head.
    pub(crate) fn lagging(&self) -> usize {
        let head = self.ring.lock().head();
        let mut lagging = 0;
        self.each(|slot| {
            let position = slot.position.load(Ordering::Relaxed);
            let awake = slot.wake_at.load(Ordering::Relaxed) != IDLE;
            lagging += usize::from(awake && position.saturating_add(LAGGING_OFFSETS_MIN) < head);
        });
        lagging
    }

    /// Registers a watch that reads from `cursor` on, awake.
    pub(crate) fn register(&self, filter: WatchFilter, cursor: u64) -> Arc<WatchSlot> {
        let slot = {
            let mut watches = self.watches.lock();
            // Under the lock: who holds it finds as many as are counted.
            self.count.fetch_add(1, Ordering::SeqCst);
            let includes = usize::from(filter.include.is_any());
            self.including.fetch_add(includes, Ordering::SeqCst);
            watches.insert(filter, cursor)
        };
        self.more.notify_one();
        self.assert_sound();
        slot
    }

    /// Removes a watch.
    pub(crate) fn unregister(&self, slot: &WatchSlot) {
        {
            let mut watches = self.watches.lock();
            watches.remove(slot);
            self.count.fetch_sub(1, Ordering::SeqCst);
            let includes = usize::from(slot.filter().include.is_any());
            self.including.fetch_sub(includes, Ordering::SeqCst);
        }
        self.assert_sound();
    }

    /// Makes the watch idle if no event from `cursor` on, the next offset it would read, was compared with the idle
    /// watches yet. Otherwise there is more to read, or the replica has ended, and the answer is `false`. One lock
    /// covers the check and the change, so no event can slip between them.
    pub(crate) fn go_idle(&self, slot: &WatchSlot, cursor: u64) -> bool {
        let watches = self.watches.lock();
        if watches.ended || cursor <= watches.examining {
            return false;
        }
        slot.from.store(cursor, Ordering::Relaxed);
        slot.wake_at.store(IDLE, Ordering::Release);
        true
    }

    /// Up to `entries_max` effective entries from `from` on, where the ring covers it.
    pub(crate) fn recent(&self, from: u64, entries_max: usize) -> RecentPage {
        self.ring.lock().page(from, entries_max)
    }

    /// Everything up to this offset was examined for the watch, and every match was returned by its `next`.
    pub(crate) fn looked_at(&self, slot: &WatchSlot) -> u64 {
        // In this order: an event that was examined up to here has already woken the watch, if it matches.
        let examined = self.examined.load(Ordering::Acquire);
        let read_below = slot.position.load(Ordering::Acquire);
        match slot.wake_at.load(Ordering::Acquire) {
            IDLE => examined.max(read_below.saturating_sub(1)),
            AWAKE => read_below.saturating_sub(1),
            first_match => first_match.max(read_below).saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests;
