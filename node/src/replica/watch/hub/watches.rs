//! The watches, and where to find those that an event concerns.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::event::{EventKeys, FilterKey, WatchFact};
use super::filter::WatchFilter;
use crate::replica::parts::invariants::{BrokenInvariant, FEW, ensure};

/// Not idle: the watch reads on by itself and needs no wake-up.
pub(super) const AWAKE: u64 = 0;
/// Idle: nothing at or after the watch's cursor is known to match.
pub(super) const IDLE: u64 = u64::MAX;

/// Watches examined under one lock; between two portions other tasks get the lock.
pub(super) const PORTION: usize = 1024;

/// One watch as the hub sees it.
pub(crate) struct WatchSlot {
    id: u64,
    filter: WatchFilter,
    /// [`AWAKE`], [`IDLE`], or the first matching offset since the watch went idle.
    /// Changed only under the lock of the watches; atomic so that the watch can read it without.
    pub(super) wake_at: AtomicU64,
    /// Offsets below this never wake the watch: it has read them, or asked for later ones.
    pub(super) from: AtomicU64,
    notify: Notify,
    /// The next offset the watch reads.
    pub(super) position: AtomicU64,
}

impl WatchSlot {
    /// What the watch wants.
    pub(crate) fn filter(&self) -> &WatchFilter {
        &self.filter
    }

    /// Notes how far the watch has read. It must hand over what it found below `cursor` before a task asks how far it
    /// has come.
    pub(crate) fn reached(&self, cursor: u64) {
        self.position.store(cursor, Ordering::Release);
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

    /// Wakes the watch at `offset`, if it is idle and that is not behind it.
    pub(super) fn wake(&self, offset: u64) {
        if self.wake_at.load(Ordering::Relaxed) == IDLE
            && offset >= self.from.load(Ordering::Relaxed)
        {
            self.wake_at.store(offset, Ordering::Release);
            self.notify.notify_one();
        }
    }
}

impl WatchSlot {
    /// Checks where it was woken, or will be; under the lock of the watches.
    fn check(&self, examining: u64) -> Result<(), BrokenInvariant> {
        let from = self.from.load(Ordering::Relaxed);
        let is_right = match self.wake_at.load(Ordering::Relaxed) {
            AWAKE => true,
            IDLE => from > 0,
            woken_at => (from.max(1)..=from.max(examining)).contains(&woken_at),
        };
        ensure(is_right, || {
            format!(
                "watch {} wakes at {:?} from {from} on, {examining} was examined",
                self.id, self.wake_at
            )
        })
    }
}

/// In the order of their registration: wake-ups come in the same order in every run of a simulation.
type Slots = BTreeMap<u64, Arc<WatchSlot>>;
/// Hashed without a random seed, for the same reason.
type SlotsByName = HashMap<Box<str>, Slots, BuildHasherDefault<DefaultHasher>>;

/// Where the watches are that an event may concern.
#[derive(Clone, Copy)]
pub(super) enum Group {
    /// Those of its instance.
    Instance,
    /// Those of its machine.
    Machine,
    /// Those that take any machine.
    Any,
    /// All, for what is of no known machine.
    All,
}

/// All watches, by instance and by filter.
#[derive(Default)]
pub(super) struct Watches {
    /// Entries up to here are being compared with the idle watches, or were.
    pub(super) examining: u64,
    /// No task wakes them any more.
    pub(super) ended: bool,
    next_id: u64,
    slots: Slots,
    by_instance: SlotsByName,
    by_machine: SlotsByName,
    any: Slots,
}

impl Watches {
    pub(super) fn new(head: u64) -> Self {
        Self {
            examining: head,
            ..Self::default()
        }
    }

    pub(super) fn insert(&mut self, filter: WatchFilter, cursor: u64) -> Arc<WatchSlot> {
        let id = self.next_id;
        self.next_id += 1;
        let slot = Arc::new(WatchSlot {
            id,
            filter,
            wake_at: AtomicU64::new(AWAKE),
            from: AtomicU64::new(0),
            notify: Notify::new(),
            position: AtomicU64::new(cursor),
        });
        self.slots.insert(id, slot.clone());
        if let Some(instance) = &slot.filter.instance {
            add(&mut self.by_instance, instance, &slot);
        } else if slot.filter.machines.is_empty() {
            self.any.insert(id, slot.clone());
        } else {
            for machine in slot.filter.machines.iter() {
                add(&mut self.by_machine, machine, &slot);
            }
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: &WatchSlot) {
        self.slots.remove(&slot.id);
        if let Some(instance) = &slot.filter.instance {
            take(&mut self.by_instance, instance, slot.id);
        } else if slot.filter.machines.is_empty() {
            self.any.remove(&slot.id);
        } else {
            for machine in slot.filter.machines.iter() {
                take(&mut self.by_machine, machine, slot.id);
            }
        }
    }

    /// Checks that each watch is found where its filter belongs, and nothing else is; where they are few or
    /// `whole` is asked for.
    pub(super) fn check(&self, whole: bool) -> Result<(), BrokenInvariant> {
        if self.slots.len() > FEW && !whole {
            return Ok(());
        }
        let (mut places, mut found) = (0, 0);
        for (id, slot) in &self.slots {
            let is_in = |slots: Option<&Slots>| {
                let here = slots.and_then(|slots| slots.get(id));
                usize::from(here.is_some_and(|here| Arc::ptr_eq(here, slot)))
            };
            if let Some(instance) = &slot.filter.instance {
                places += 1;
                found += is_in(self.by_instance.get(&**instance));
            } else if slot.filter.machines.is_empty() {
                places += 1;
                found += is_in(Some(&self.any));
            } else {
                for machine in slot.filter.machines.iter() {
                    places += 1;
                    found += is_in(self.by_machine.get(machine));
                }
            }
            let next_id = self.next_id;
            ensure(*id == slot.id && *id < next_id, || {
                format!(
                    "watch {} is found as {id}, the next one will be {next_id}",
                    slot.id
                )
            })?;
            slot.check(self.examining)?;
        }
        let lists = || self.by_instance.values().chain(self.by_machine.values());
        let listed = self.any.len() + lists().map(BTreeMap::len).sum::<usize>();
        ensure(places == found && places == listed, || {
            format!("watches have {places} places, are found in {found}, and {listed} are listed")
        })?;
        ensure(!lists().any(BTreeMap::is_empty), || {
            "a name is kept that no watch wants".to_owned()
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Wakes the idle watches of the group that want the event, a portion of them from the one with
    /// the id `first` on; gives where the next portion begins.
    pub(super) fn wake_some(
        &self,
        group: Group,
        first: u64,
        offset: u64,
        (told, keys): (&WatchFact<'_>, &EventKeys<'_>),
    ) -> Option<u64> {
        let slots = match group {
            Group::Instance => named(&self.by_instance, keys.instance_id)?,
            Group::Machine => named(&self.by_machine, keys.machine)?,
            Group::Any => &self.any,
            Group::All => &self.slots,
        };
        portion(slots, first, |slot| {
            if slot.wake_at.load(Ordering::Relaxed) == IDLE && slot.filter.matches(told, keys) {
                slot.wake(offset);
            }
        })
    }

    /// Shows a portion of all watches; gives where the next one begins.
    pub(super) fn some(&self, first: u64, look: impl FnMut(&Arc<WatchSlot>)) -> Option<u64> {
        portion(&self.slots, first, look)
    }
}

fn named<'a>(slots: &'a SlotsByName, key: FilterKey<'_>) -> Option<&'a Slots> {
    match key {
        FilterKey::Is(name) => slots.get(name),
        FilterKey::Nothing | FilterKey::Any => None,
    }
}

fn portion(slots: &Slots, first: u64, mut look: impl FnMut(&Arc<WatchSlot>)) -> Option<u64> {
    let mut slots = slots.range(first..);
    for (_, slot) in slots.by_ref().take(PORTION) {
        look(slot);
    }
    slots.next().map(|(id, _)| *id)
}

fn add(slots: &mut SlotsByName, name: &str, slot: &Arc<WatchSlot>) {
    match slots.get_mut(name) {
        Some(list) => {
            list.insert(slot.id, slot.clone());
        }
        None => {
            slots.insert(name.into(), Slots::from([(slot.id, slot.clone())]));
        }
    }
}

fn take(slots: &mut SlotsByName, name: &str, id: u64) {
    if let Some(list) = slots.get_mut(name) {
        list.remove(&id);
        if list.is_empty() {
            slots.remove(name);
        }
    }
}
