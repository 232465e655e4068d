//! The objects of the archive that turned out to be damaged. The node reads nothing from them until it has read them again
//! and found them whole. Until then a request for entries that only such an object holds is refused, and names the object.

use std::collections::{BTreeMap, BTreeSet};

use rstmdb_raft_store::ArchivedName;

/// The damaged objects of the archive that this node has met, each with what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Damaged(BTreeMap<ArchivedName, DamagedFile>);

#[derive(Debug)]
struct DamagedFile {
    /// What is wrong, for people.
    what: String,
    /// An entry of it was asked for since it was read last.
    wanted: bool,
}

impl Damaged {
    /// Whether the object was not known to be damaged.
    pub(super) fn add(&mut self, name: &ArchivedName, what: &str) -> bool {
        let damage = DamagedFile {
            what: what.to_owned(),
            wanted: false,
        };
        self.0.insert(name.clone(), damage).is_none()
    }

    pub(super) fn remove(&mut self, name: &ArchivedName) {
        self.0.remove(name);
    }

    pub(super) fn contains(&self, name: &ArchivedName) -> bool {
        self.0.contains_key(name)
    }

    /// An object that the archive no longer has is missing, not damaged.
    pub(super) fn retain_listed(&mut self, names: &BTreeSet<ArchivedName>) {
        self.0.retain(|name, _| names.contains(name));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// An object with this entry, and what is wrong with it. The object is then one that is worth another look.
    pub(super) fn want(&mut self, offset: u64) -> Option<(&ArchivedName, &str)> {
        let mut holding = self.0.iter_mut();
        let holds = |name: &ArchivedName| (name.first..=name.last).contains(&offset);
        let (name, damage) = holding.find(|(name, _)| holds(name))?;
        damage.wanted = true;
        Some((name, &damage.what))
    }

    /// Whether an entry of one of them was asked for.
    pub(super) fn wants(&self) -> bool {
        self.0.values().any(|damage| damage.wanted)
    }

    /// Those that are worth another look: `all`, or the ones that were asked for.
    pub(super) fn take_wanted(&mut self, all: bool) -> Vec<ArchivedName> {
        let worth = self.0.iter_mut().filter(|(_, damage)| all || damage.wanted);
        let names = worth.map(|(name, damage)| {
            damage.wanted = false;
            name.clone()
        });
        names.collect()
    }
}
