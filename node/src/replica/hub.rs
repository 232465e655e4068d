//! Wakes the watches that a fact concerns, and keeps the newest entries decoded.
//!
//! A watch that has caught up is *idle*. Apply hands each batch to `Hub::dispatch`, which finds
//! the idle watches by instance, by machine, or among those that take any machine, and wakes a
//! watch only when the whole filter matches. The slot remembers the first matching offset, so a
//! woken watch continues there: everything before it is known not to match. Ten thousand idle
//! watches therefore cost an event nothing but the look-ups of the few that share its instance
//! or machine.
//!
//! The newest entries stay decoded in a ring, bounded in bytes, from which watches near the head
//! read; a watch that is further behind reads the log.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rstmdb_engine::fact::Entry;
use tokio::sync::Notify;

use super::watch::{Keys, event_of};

/// Bytes of encoded entries the ring covers at most.
const RECENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Entries the ring covers at most: a bound on the decoded size of many small ones.
const RECENT_ENTRIES_MAX: usize = 16_384;

/// A watch that is this many offsets behind the head counts as lagging.
const LAGGING_OFFSETS_MIN: u64 = 10_000;

/// Which events a watch wants: OR inside a list, AND between them, an empty list wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// Only this instance.
    pub instance: Option<String>,
    /// Only instances of these machines.
    pub machines: Vec<String>,
    /// Only events that leave one of these states.
    pub from_states: Vec<String>,
    /// Only events that lead to one of these states.
    pub to_states: Vec<String>,
    /// Only events of these names.
    pub events: Vec<String>,
}

/// The parts of an event that a filter looks at.
pub(crate) struct EventKeys<'a> {
    pub instance_id: &'a str,
    pub machine: &'a str,
    pub from_state: &'a str,
    pub to_state: &'a str,
    pub event: &'a str,
}

impl WatchFilter {
    /// Whether the filter wants this event.
    pub(crate) fn matches(&self, keys: &EventKeys<'_>) -> bool {
        let wanted =
            |list: &[String], value: &str| list.is_empty() || list.iter().any(|item| item == value);
        self.instance
            .as_deref()
            .is_none_or(|id| id == keys.instance_id)
            && wanted(&self.machines, keys.machine)
            && wanted(&self.from_states, keys.from_state)
            && wanted(&self.to_states, keys.to_state)
            && wanted(&self.events, keys.event)
    }
}

/// Not idle: the watch reads on by itself and needs no wake-up.
const AWAKE: u64 = 0;
/// Idle: nothing at or after the watch's cursor is known to match.
const IDLE: u64 = u64::MAX;

/// One watch as the hub sees it.
pub(crate) struct Slot {
    filter: WatchFilter,
    /// [`AWAKE`], [`IDLE`], or the first matching offset since the watch went idle.
    /// Changed only under the hub's lock; atomic so that the watch can read it without.
    wake_at: AtomicU64,
    /// Offsets below this never wake the watch (it asked for later ones).
    from: AtomicU64,
    notify: Notify,
    /// The next offset the watch reads, for the metrics.
    position: AtomicU64,
}

impl Slot {
    /// Notes how far the watch has read.
    pub(crate) fn reached(&self, cursor: u64) {
        self.position.store(cursor, Ordering::Relaxed);
    }

    /// Waits until an event matches, and returns its offset.
    pub(crate) async fn woken(&self) -> u64 {
        loop {
            let at = self.wake_at.load(Ordering::Acquire);
            if at != IDLE {
                return at;
            }
            // A permit is stored when the wake-up comes between the load and this await.
            self.notify.notified().await;
        }
    }
}

/// Hashed without a random seed: the order of wake-ups must not differ between two runs of one
/// simulation.
type SlotsByName = HashMap<String, Vec<Arc<Slot>>, BuildHasherDefault<DefaultHasher>>;

struct Recent {
    offset: u64,
    entry: Arc<Entry>,
    bytes: usize,
}

#[derive(Default)]
struct Inner {
    /// Everything up to here was dispatched.
    head: u64,
    /// The ring covers the offsets from here to `head`.
    recent_from: u64,
    recent: VecDeque<Recent>,
    recent_bytes: usize,
    by_instance: SlotsByName,
    by_machine: SlotsByName,
    any: Vec<Arc<Slot>>,
    watches: usize,
}

/// See the module documentation.
pub(crate) struct Hub {
    inner: Mutex<Inner>,
}

/// What the ring can say of an offset and those that follow.
pub(crate) enum RecentPage {
    /// The watch is ahead of the head: nothing to read.
    AtHead,
    /// Effective entries in order; the page covers everything below `next`.
    Entries {
        entries: Vec<(u64, Arc<Entry>)>,
        next: u64,
    },
    /// The ring starts later: read the log up to `head`.
    Older { head: u64 },
}

impl Hub {
    /// A hub for which everything up to `head` is the past.
    pub(crate) fn new(head: u64) -> Self {
        let hub = Self {
            inner: Mutex::default(),
        };
        hub.reset(head);
        hub
    }

    /// Forgets the ring and continues after `head`: a snapshot has replaced the state. Idle
    /// watches are woken where they stand, because events they never saw may lie below `head`.
    pub(crate) fn reset(&self, head: u64) {
        let mut inner = self.inner.lock();
        inner.recent.clear();
        inner.recent_bytes = 0;
        inner.recent_from = head + 1;
        let woken_from = inner.head + 1;
        inner.head = head;
        for slot in inner.slots() {
            let at = woken_from.max(slot.from.load(Ordering::Relaxed));
            if at <= head {
                wake(slot, at);
            }
        }
    }

    /// Lets every idle watch look again whether this node still serves it.
    pub(crate) fn rouse(&self) {
        let inner = self.inner.lock();
        for slot in inner.slots() {
            wake(slot, slot.from.load(Ordering::Relaxed));
        }
    }

    /// Takes what apply has just made effective, in order; `head` is the last offset of the
    /// batch, effective or not. Each item is offset, entry, and encoded length in bytes.
    pub(crate) fn dispatch(&self, batch: Vec<(u64, Arc<Entry>, usize)>, head: u64) {
        let mut inner = self.inner.lock();
        if inner.watches > 0 {
            for (offset, entry, _) in &batch {
                inner.wake_for(*offset, entry);
            }
        }
        for (offset, entry, bytes) in batch {
            inner.recent_bytes += bytes;
            inner.recent.push_back(Recent {
                offset,
                entry,
                bytes,
            });
        }
        inner.head = head;
        inner.trim();
    }

    /// How many watches are registered.
    pub(crate) fn watches(&self) -> usize {
        self.inner.lock().watches
    }

    /// How many watches are awake and more than [`LAGGING_OFFSETS_MIN`] behind the head.
    pub(crate) fn lagging(&self) -> usize {
        let inner = self.inner.lock();
        let lags = |slot: &&Arc<Slot>| {
            let position = slot.position.load(Ordering::Relaxed);
            slot.wake_at.load(Ordering::Relaxed) != IDLE
                && position.saturating_add(LAGGING_OFFSETS_MIN) < inner.head
        };
        inner.slots().filter(lags).count()
    }

    /// Registers a watch, awake.
    pub(crate) fn register(&self, filter: WatchFilter) -> Arc<Slot> {
        let slot = Arc::new(Slot {
            filter,
            wake_at: AtomicU64::new(AWAKE),
            from: AtomicU64::new(0),
            notify: Notify::new(),
            position: AtomicU64::new(u64::MAX),
        });
        let mut inner = self.inner.lock();
        inner.watches += 1;
        if let Some(id) = slot.filter.instance.clone() {
            inner.by_instance.entry(id).or_default().push(slot.clone());
        } else if slot.filter.machines.is_empty() {
            inner.any.push(slot.clone());
        } else {
            for machine in &slot.filter.machines {
                let list = inner.by_machine.entry(machine.clone()).or_default();
                list.push(slot.clone());
            }
        }
        slot
    }

    /// Removes a watch.
    pub(crate) fn unregister(&self, slot: &Arc<Slot>) {
        let mut inner = self.inner.lock();
        inner.watches -= 1;
        let drop_from = |list: &mut Vec<Arc<Slot>>| list.retain(|item| !Arc::ptr_eq(item, slot));
        if let Some(id) = &slot.filter.instance {
            if let Some(list) = inner.by_instance.get_mut(id) {
                drop_from(list);
                if list.is_empty() {
                    inner.by_instance.remove(id);
                }
            }
        } else if slot.filter.machines.is_empty() {
            drop_from(&mut inner.any);
        } else {
            for machine in &slot.filter.machines {
                if let Some(list) = inner.by_machine.get_mut(machine) {
                    drop_from(list);
                    if list.is_empty() {
                        inner.by_machine.remove(machine);
                    }
                }
            }
        }
    }

    /// Makes the watch idle if `cursor`, the next offset it would read, lies beyond the head;
    /// otherwise there is more to read and the answer is `false`. One lock for the question and
    /// the change, so no event can slip between them.
    pub(crate) fn go_idle(&self, slot: &Slot, cursor: u64) -> bool {
        let inner = self.inner.lock();
        if cursor <= inner.head {
            return false;
        }
        slot.from.store(cursor, Ordering::Relaxed);
        slot.wake_at.store(IDLE, Ordering::Release);
        true
    }

    /// Up to `entries_max` effective entries from `from` on, where the ring covers it.
    pub(crate) fn recent(&self, from: u64, entries_max: usize) -> RecentPage {
        let inner = self.inner.lock();
        if from > inner.head {
            return RecentPage::AtHead;
        }
        if from < inner.recent_from {
            return RecentPage::Older { head: inner.head };
        }
        let start = inner.recent.partition_point(|item| item.offset < from);
        let entries: Vec<_> = inner
            .recent
            .range(start..)
            .take(entries_max)
            .map(|item| (item.offset, item.entry.clone()))
            .collect();
        let next = match entries.last() {
            Some((last, _)) if entries.len() == entries_max => last + 1,
            _ => inner.head + 1,
        };
        RecentPage::Entries { entries, next }
    }
}

impl Inner {
    fn slots(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.any
            .iter()
            .chain(self.by_instance.values().flatten())
            .chain(self.by_machine.values().flatten())
    }

    fn wake_for(&self, offset: u64, entry: &Entry) {
        for fact in &entry.facts {
            let Some(event) = event_of(fact) else {
                continue;
            };
            let keys = event.keys();
            let by_instance = self.by_instance.get(keys.instance_id);
            let by_machine = self.by_machine.get(keys.machine);
            for slot in by_instance
                .into_iter()
                .flatten()
                .chain(by_machine.into_iter().flatten())
                .chain(&self.any)
            {
                if slot.wake_at.load(Ordering::Relaxed) == IDLE && slot.filter.matches(&keys) {
                    wake(slot, offset);
                }
            }
        }
    }

    fn trim(&mut self) {
        while self.recent_bytes > RECENT_BYTES_MAX || self.recent.len() > RECENT_ENTRIES_MAX {
            let Some(oldest) = self.recent.pop_front() else {
                return;
            };
            self.recent_bytes -= oldest.bytes;
            self.recent_from = oldest.offset + 1;
        }
    }
}

fn wake(slot: &Slot, offset: u64) {
    if slot.wake_at.load(Ordering::Relaxed) == IDLE && offset >= slot.from.load(Ordering::Relaxed) {
        slot.wake_at.store(offset, Ordering::Release);
        slot.notify.notify_one();
    }
}

#[cfg(test)]
mod tests;
