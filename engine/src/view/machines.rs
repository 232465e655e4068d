//! Machines, with those that facts in flight define and delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Overlay, View, planted};
use crate::machine::Machine;

impl<'a> View<'a> {
    pub(crate) fn machine(self, name: &str, version: u32) -> Option<&'a Arc<Machine>> {
        for layer in self.layers().filter(|layer| !layer.machines.is_empty()) {
            if let Some((offset, machine)) = layer.machines.get(&(Arc::from(name), version))
                && self.ahead(*offset)
            {
                return machine.as_ref();
            }
        }
        self.state
            .machines
            .get(name, version)
            .filter(|_| self.state_shows())
    }

    /// The versions of a machine.
    pub(crate) fn versions(self, name: &str) -> BTreeSet<u32> {
        let mut versions = BTreeSet::new();
        if self.state_shows() {
            versions.extend(self.state.machines.versions(name));
        }
        for (of, version, is_there) in self.versions_in_flight() {
            match is_there {
                _ if **of != *name => false,
                true => versions.insert(version),
                false => versions.remove(&version),
            };
        }
        versions
    }

    /// The versions that facts in flight define (true) or delete, older facts first.
    pub(crate) fn versions_in_flight(self) -> impl Iterator<Item = (&'a Arc<str>, u32, bool)> {
        let mut layers: Vec<&Overlay> = self.layers().collect();
        layers.reverse();
        let items = layers.into_iter().flat_map(|layer| layer.machines.iter());
        items
            .filter(move |(_, (offset, _))| self.ahead(*offset))
            .map(|((name, version), (_, machine))| (name, *version, machine.is_some()))
    }

    /// How many facts in flight define or delete a version.
    pub(crate) fn machines_in_flight(self) -> usize {
        self.layers().map(|layer| layer.machines.len()).sum()
    }

    /// Which of these versions instances have, each with how many.
    pub(crate) fn used_versions(self, name: &str, versions: &[u32]) -> Vec<(u32, u64)> {
        let shows = self.state_shows();
        let machines = &self.state.machines;
        let applied = versions.iter().map(|version| match shows {
            true => (*version, machines.instances_of(name, *version)),
            false => (*version, 0),
        });
        let mut used: Vec<(u32, u64)> = applied.collect();
        let mut count = |view: View<'_>, id: &str, change: i64| {
            let current = view.instance(id);
            let of_name = current.filter(|current| *current.machine.name == *name);
            let version = of_name.map(|current| current.machine.version);
            let found = used.iter_mut().find(|(it, _)| Some(*it) == version);
            if let Some((_, count)) = found {
                *count = count.saturating_add_signed(change);
            }
        };
        for id in self.ids_in_flight() {
            if shows {
                count(View::new(self.state), id, -1);
            }
            count(self, id, 1);
        }
        used.retain(|(_, count)| *count > 0);
        if planted::deletes_machines_in_use() {
            used.clear();
        }
        used
    }
}
