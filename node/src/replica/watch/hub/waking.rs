//! The task that compares new entries with the idle watches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rstmdb_engine::fact::Entry;

use super::event::{EventKeys, FilterKey, WatchFact};
use super::watches::{Group, WatchSlot};
use super::{Hub, RecentPage};
use crate::replica::parts::pace::{TaskPace, let_others_run};

/// Entries examined at once; between two pages other tasks get their turn.
const PAGE_ENTRIES: usize = 64;

/// Wakes watches until the replica is dropped or stopped, and then all of them for the last time.
pub(crate) async fn run<P>(pace: TaskPace<P>, hub: Arc<Hub>) {
    loop {
        // Before the parts are looked at: it also resolves when the replica ends between the two.
        let stopped = pace.stopped();
        if pace.parts().is_none() {
            break;
        }
        if hub.examine() {
            let_others_run().await;
            continue;
        }
        tokio::select! {
            biased;
            () = stopped => break,
            () = hub.more.notified() => {}
        }
    }
    hub.end();
}

impl Hub {
    /// Compares the next entries with the idle watches; `false` when there are none. Only one task does it.
    pub(super) fn examine(&self) -> bool {
        let from = self.examined.load(Ordering::Relaxed) + 1;
        let (entries, last) = match self.recent(from, PAGE_ENTRIES) {
            RecentPage::AtHead => return false,
            RecentPage::Older { head } => {
                // A snapshot was installed, or there was no watch, or the ring has moved on: the idle
                // watches read the log themselves.
                self.watches.lock().examining = head;
                self.each(|slot| {
                    let at = from.max(slot.from.load(Ordering::Relaxed));
                    if at <= head {
                        slot.wake(at);
                    }
                });
                (Vec::new(), head)
            }
            RecentPage::Entries { entries, next } => (entries, next - 1),
        };
        let anybody = {
            let mut watches = self.watches.lock();
            // From here on a watch goes idle only behind the page.
            watches.examining = last;
            !watches.is_empty()
        };
        if anybody {
            for (offset, entry) in &entries {
                self.wake_for(*offset, entry);
            }
        }
        self.examined.store(last, Ordering::Release);
        self.assert_sound();
        true
    }

    /// Wakes every idle watch, and lets none become idle any more: from now on no task would wake it.
    fn end(&self) {
        self.watches.lock().ended = true;
        self.rouse();
    }

    /// Lets every idle watch check again whether this node still serves it.
    pub(crate) fn rouse(&self) {
        self.each(|slot| slot.wake(slot.from.load(Ordering::Relaxed)));
    }

    fn wake_for(&self, offset: u64, entry: &Entry) {
        // A watch that comes later goes idle only behind this entry.
        let only_events = self.including.load(Ordering::SeqCst) == 0;
        for told in entry.facts.iter().filter_map(WatchFact::of) {
            if only_events && !told.is_event() {
                continue;
            }
            let keys = told.keys();
            let groups: &[Group] = match keys.machine {
                FilterKey::Is(_) => &[Group::Instance, Group::Machine, Group::Any],
                FilterKey::Nothing | FilterKey::Any => &[Group::All],
            };
            for group in groups {
                self.wake_group(*group, offset, &told, &keys);
            }
        }
    }

    fn wake_group(&self, group: Group, offset: u64, told: &WatchFact<'_>, keys: &EventKeys<'_>) {
        let mut first = Some(0);
        while let Some(id) = first {
            let watches = self.watches.lock();
            first = watches.wake_some(group, id, offset, (told, keys));
        }
    }

    /// Shows every watch; those that come or go meanwhile may be left out.
    pub(super) fn each(&self, mut look: impl FnMut(&Arc<WatchSlot>)) {
        let mut first = Some(0);
        while let Some(id) = first {
            first = self.watches.lock().some(id, &mut look);
        }
    }
}
