//! The machines of a state, numbered in the order they came, with counts of their instances.

use std::sync::Arc;

use imbl::OrdMap;

use crate::machine::Machine;

#[derive(Clone)]
pub(crate) struct Machines {
    slots: Arc<Vec<MachineSlot>>,
    by_name: OrdMap<Arc<str>, Vec<NumberedVersion>>,
    /// Instances per machine and state; each slot has a run of its own.
    counts: Arc<Vec<u64>>,
}

/// A version and its machine's number.
type NumberedVersion = (u32, u32);

#[derive(Clone)]
struct MachineSlot {
    machine: Arc<Machine>,
    counts_from: usize,
}

impl Machines {
    pub(crate) fn new() -> Self {
        Self {
            slots: Arc::new(Vec::new()),
            by_name: OrdMap::new(),
            counts: Arc::new(Vec::new()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn push(&mut self, machine: Arc<Machine>) {
        let number = self.slots.len() as u32;
        let counts_from = self.counts.len();
        let mut versions = self
            .by_name
            .get(&*machine.name)
            .cloned()
            .unwrap_or_default();
        versions.push((machine.version, number));
        versions.sort_unstable();
        self.by_name.insert(machine.name.clone(), versions);
        Arc::make_mut(&mut self.counts).resize(counts_from + machine.states.len(), 0);
        Arc::make_mut(&mut self.slots).push(MachineSlot {
            machine,
            counts_from,
        });
    }

    pub(crate) fn by_number(&self, number: u32) -> Option<&Arc<Machine>> {
        self.slots.get(number as usize).map(|slot| &slot.machine)
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

    /// All machines, by number.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = &Arc<Machine>> {
        self.slots.iter().map(|slot| &slot.machine)
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
            &self.counts[slot.counts_from..slot.counts_from + slot.machine.states.len()]
        })
    }

    /// How many instances of a machine (all when none is named) are in a state (any when none is).
    pub(crate) fn total(&self, machine: Option<&str>, state: Option<&str>) -> u64 {
        self.slots
            .iter()
            .filter(|slot| machine.is_none_or(|name| *slot.machine.name == *name))
            .map(|slot| {
                let states = slot.machine.states.len();
                let counts = &self.counts[slot.counts_from..slot.counts_from + states];
                match state {
                    None => counts.iter().sum(),
                    Some(state) => slot
                        .machine
                        .state_number(state)
                        .map_or(0, |number| counts[usize::from(number)]),
                }
            })
            .sum()
    }
}
