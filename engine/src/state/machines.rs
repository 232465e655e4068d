//! The machines of a state, numbered in the order they came, with counts of their instances.
//!
//! Instances and keys hold the number, so it never changes while one of them has it. A machine is deleted only when no
//! instance has it. Its place stays until no key names it any more, and is then free for another machine. Numbers are this
//! node's own: no digest depends on them.

use std::sync::Arc;

use imbl::OrdMap;

use crate::machine::Machine;

#[derive(Clone)]
pub(crate) struct Machines {
    slots: Arc<Vec<MachineSlot>>,
    by_name: OrdMap<Arc<str>, Vec<NumberedVersion>>,
    /// Instances per machine and state; each slot has a run of its own.
    counts: Arc<Vec<u64>>,
    /// How many keys name each machine.
    keys: Arc<Vec<u64>>,
    /// How many machines are not deleted.
    living: usize,
}

/// A version and its machine's number.
type NumberedVersion = (u32, u32);

#[derive(Clone)]
struct MachineSlot {
    holds: SlotHolds,
    counts_from: usize,
    counts_len: usize,
}

/// What has a number.
#[derive(Clone)]
pub(in crate::state) enum SlotHolds {
    Living(Arc<Machine>),
    /// It was deleted, and keys still name it.
    Deleted(Arc<Machine>),
    /// The number is free.
    Nothing,
}

impl SlotHolds {
    fn machine(&self) -> Option<&Arc<Machine>> {
        match self {
            Self::Living(machine) | Self::Deleted(machine) => Some(machine),
            Self::Nothing => None,
        }
    }

    fn living(&self) -> Option<&Arc<Machine>> {
        match self {
            Self::Living(machine) => Some(machine),
            Self::Deleted(_) | Self::Nothing => None,
        }
    }
}

impl Machines {
    pub(crate) fn new() -> Self {
        Self {
            slots: Arc::new(Vec::new()),
            by_name: OrdMap::new(),
            counts: Arc::new(Vec::new()),
            keys: Arc::new(Vec::new()),
            living: 0,
        }
    }

    /// How many there are, without deleted ones.
    pub(crate) fn len(&self) -> usize {
        self.living
    }

    /// Adds a machine, under a free number if there is one.
    pub(crate) fn push(&mut self, machine: Arc<Machine>) {
        let states = machine.states.len();
        // In most states nothing was ever deleted.
        let some_free = self.living < self.slots.len();
        let mut slots = self.slots.iter();
        let is_free = |slot: &MachineSlot| matches!(slot.holds, SlotHolds::Nothing);
        let number = match some_free.then(|| slots.position(is_free)).flatten() {
            Some(number) => {
                self.make_room(number, states);
                number
            }
            None => self.add_slot(states),
        };
        self.enter(number, machine);
    }

    /// Gives a free number counts for so many states. The run that it had is lost if it is too short: runs only grow, so
    /// little is lost.
    fn make_room(&mut self, number: usize, states: usize) {
        let slots = Arc::make_mut(&mut self.slots);
        let Some(slot) = slots
            .get_mut(number)
            .filter(|slot| slot.counts_len < states)
        else {
            return;
        };
        slot.counts_from = self.counts.len();
        slot.counts_len = states;
        let counts = slot.counts_from + states;
        Arc::make_mut(&mut self.counts).resize(counts, 0);
    }

    /// Adds what a snapshot holds under the next number. No machine: the number is free.
    pub(in crate::state) fn push_next(&mut self, machine: Option<Arc<Machine>>, is_deleted: bool) {
        let states = machine.as_ref().map_or(0, |machine| machine.states.len());
        let number = self.add_slot(states);
        match machine {
            Some(machine) if !is_deleted => self.enter(number, machine),
            Some(machine) => self.hold(number, SlotHolds::Deleted(machine)),
            None => {}
        }
    }

    fn add_slot(&mut self, states: usize) -> usize {
        let number = self.slots.len();
        let counts_from = self.counts.len();
        Arc::make_mut(&mut self.counts).resize(counts_from + states, 0);
        Arc::make_mut(&mut self.keys).push(0);
        Arc::make_mut(&mut self.slots).push(MachineSlot {
            holds: SlotHolds::Nothing,
            counts_from,
            counts_len: states,
        });
        number
    }

    fn enter(&mut self, number: usize, machine: Arc<Machine>) {
        let known = self.by_name.get(&*machine.name).cloned();
        let mut versions = known.unwrap_or_default();
        versions.push((machine.version, number as u32));
        versions.sort_unstable();
        self.by_name.insert(machine.name.clone(), versions);
        self.living += 1;
        self.hold(number, SlotHolds::Living(machine));
    }

    fn hold(&mut self, number: usize, holds: SlotHolds) {
        if let Some(slot) = Arc::make_mut(&mut self.slots).get_mut(number) {
            slot.holds = holds;
        }
    }

    /// Deletes a machine that no instance has.
    pub(in crate::state) fn remove(&mut self, name: &str, version: u32) -> Option<Arc<Machine>> {
        let number = self.number(name, version)?;
        let machine = self.by_number(number)?.clone();
        let versions = self.by_name.get(name)?.iter();
        let left: Vec<NumberedVersion> = versions.filter(|it| it.1 != number).copied().collect();
        match left.is_empty() {
            true => self.by_name.remove(name),
            false => self.by_name.insert(machine.name.clone(), left),
        };
        self.living -= 1;
        let holds = match self.keys_of(number) {
            0 => SlotHolds::Nothing,
            _ => SlotHolds::Deleted(machine.clone()),
        };
        self.hold(number as usize, holds);
        Some(machine)
    }

    /// A key names the machine.
    pub(in crate::state) fn key_in(&mut self, number: u32) {
        if let Some(count) = Arc::make_mut(&mut self.keys).get_mut(number as usize) {
            *count += 1;
        }
    }

    /// A key that names the machine is gone. With the last one a deleted machine goes, too.
    pub(in crate::state) fn key_out(&mut self, number: u32) {
        let keys = Arc::make_mut(&mut self.keys);
        let Some(count) = keys.get_mut(number as usize) else {
            return;
        };
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        let slot = self.slots.get(number as usize);
        let is_deleted = slot.is_some_and(|slot| matches!(slot.holds, SlotHolds::Deleted(_)));
        if is_last && is_deleted {
            self.hold(number as usize, SlotHolds::Nothing);
        }
    }

    /// How many keys name a machine.
    pub(in crate::state) fn keys_of(&self, number: u32) -> u64 {
        self.keys.get(number as usize).copied().unwrap_or_default()
    }

    /// The machine of this number, also a deleted one that keys name.
    pub(crate) fn by_number(&self, number: u32) -> Option<&Arc<Machine>> {
        self.slots.get(number as usize)?.holds.machine()
    }

    /// The machine of this number, if it is not deleted.
    pub(in crate::state) fn living(&self, number: u32) -> Option<&Arc<Machine>> {
        self.slots.get(number as usize)?.holds.living()
    }

    pub(crate) fn number(&self, name: &str, version: u32) -> Option<u32> {
        let versions = self.by_name.get(name)?;
        let at = versions
            .binary_search_by_key(&version, |(version, _)| *version)
            .ok()?;
        Some(versions[at].1)
    }

    pub(crate) fn get(&self, name: &str, version: u32) -> Option<&Arc<Machine>> {
        self.by_number(self.number(name, version)?)
    }

    /// The versions of a machine, ascending.
    pub(crate) fn versions(&self, name: &str) -> impl Iterator<Item = u32> {
        let versions = self.by_name.get(name).into_iter().flatten();
        versions.map(|(version, _)| *version)
    }

    /// All names with their versions, both ascending.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&Arc<str>, impl Iterator<Item = u32>)> {
        self.by_name
            .iter()
            .map(|(name, versions)| (name, versions.iter().map(|(version, _)| *version)))
    }

    /// What each number stands for, in their order.
    pub(in crate::state) fn numbered(&self) -> impl Iterator<Item = &SlotHolds> {
        self.slots.iter().map(|slot| &slot.holds)
    }

    /// The machine of each number, in their order; `None` where there is none, or a deleted one.
    pub(crate) fn living_by_number(&self) -> impl Iterator<Item = Option<&Arc<Machine>>> {
        self.slots.iter().map(|slot| slot.holds.living())
    }

    /// Counts an instance in (`+1`) or out (`-1`) of a state.
    pub(crate) fn count(&mut self, machine: u32, state: u16, change: i64) {
        let Some(slot) = self.slots.get(machine as usize) else {
            return;
        };
        let position = slot.counts_from + usize::from(state);
        if let Some(count) = Arc::make_mut(&mut self.counts).get_mut(position) {
            *count = count.saturating_add_signed(change);
        }
    }

    /// The instances in each state of a machine.
    pub(super) fn counts(&self, number: usize) -> &[u64] {
        self.slots.get(number).map_or(&[], |slot| {
            let states = slot
                .holds
                .machine()
                .map_or(0, |machine| machine.states.len());
            &self.counts[slot.counts_from..slot.counts_from + states]
        })
    }

    /// How many instances have a version.
    pub(crate) fn instances_of(&self, name: &str, version: u32) -> u64 {
        let number = self.number(name, version);
        number.map_or(0, |number| self.counts(number as usize).iter().sum())
    }

    /// How many instances of a machine (all when none is named) are in a state (any when none is).
    pub(crate) fn total(&self, is_of: impl Fn(&str) -> bool, state: Option<&str>) -> u64 {
        let living = self.living_by_number().enumerate();
        let living = living.filter_map(|(number, living)| Some((number, living?)));
        living
            .filter(|(_, it)| is_of(&it.name))
            .map(|(number, it)| {
                let counts = self.counts(number);
                match state {
                    None => counts.iter().sum(),
                    Some(state) => it
                        .state_number(state)
                        .map_or(0, |number| counts[usize::from(number)]),
                }
            })
            .sum()
    }
}
