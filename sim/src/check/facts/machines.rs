//! Which versions of machines there are, and how many instances have each.

use std::collections::BTreeMap;

use rstmdb_engine::fact;

use super::{EntryFault, Facts};
use crate::machines::TestMachine;

/// A version of a machine from one offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineStand {
    /// Since when.
    pub offset: u64,
    /// Whether it is defined.
    pub is_there: bool,
    /// How many instances have it.
    pub instances: u64,
}

/// A machine's name and a version.
type VersionName = (String, u32);

/// All versions, at all offsets.
#[derive(Debug, Default)]
pub(super) struct MachineAccount {
    versions: BTreeMap<VersionName, Vec<MachineStand>>,
    /// The version of each instance that lives.
    of_instances: BTreeMap<String, VersionName>,
}

impl MachineAccount {
    fn now(&self, name: &str, version: u32) -> MachineStand {
        let known = self.versions.get(&(name.to_owned(), version));
        let last = known.and_then(|stands| stands.last()).copied();
        last.unwrap_or(MachineStand {
            offset: 0,
            is_there: false,
            instances: 0,
        })
    }

    fn change(&mut self, name: &VersionName, offset: u64, change: impl FnOnce(&mut MachineStand)) {
        let mut stand = self.now(&name.0, name.1);
        stand.offset = offset;
        change(&mut stand);
        self.versions.entry(name.clone()).or_default().push(stand);
    }

    pub(super) fn put(&mut self, put: &fact::PutMachine, offset: u64) {
        let name = (put.machine.clone(), put.version);
        self.change(&name, offset, |stand| stand.is_there = true);
    }

    pub(super) fn delete(&mut self, delete: &fact::DeleteMachine, offset: u64) {
        for version in &delete.versions {
            let name = (delete.machine.clone(), *version);
            self.change(&name, offset, |stand| stand.is_there = false);
        }
    }

    /// An instance begins its life.
    pub(super) fn begin(&mut self, create: &fact::CreateInstance, offset: u64) {
        let name = (create.machine.clone(), create.version);
        self.change(&name, offset, |stand| stand.instances += 1);
        self.of_instances.insert(create.instance_id.clone(), name);
    }

    /// An instance ends its life.
    pub(super) fn end(&mut self, id: &str, offset: u64) {
        if let Some(name) = self.of_instances.remove(id) {
            self.change(&name, offset, |stand| stand.instances -= 1);
        }
    }

    /// Why versions cannot be deleted, if they cannot.
    pub(super) fn deletion_misfit(&self, delete: &fact::DeleteMachine) -> Option<EntryFault> {
        delete.versions.iter().find_map(|version| {
            let stand = self.now(&delete.machine, *version);
            (!stand.is_there || stand.instances > 0)
                .then(|| format!("{} v{version} is {stand:?}", delete.machine))
        })
    }

    pub(super) fn is_there(&self, name: &str, version: u32) -> bool {
        self.now(name, version).is_there
    }
}

impl Facts {
    /// Every stand of a version from offset `from` to offset `to`.
    pub fn machine_between(
        &self,
        name: &str,
        version: u32,
        from: u64,
        to: u64,
    ) -> Vec<MachineStand> {
        let known = self.machines.versions.get(&(name.to_owned(), version));
        let stands = known.map_or(&[][..], Vec::as_slice);
        let first = stands.partition_point(|stand| stand.offset <= from);
        let end = stands.partition_point(|stand| stand.offset <= to);
        let earliest = match first {
            0 => MachineStand {
                offset: 0,
                is_there: false,
                instances: 0,
            },
            behind => stands[behind - 1],
        };
        let later = stands.get(first..end).unwrap_or_default();
        std::iter::once(earliest)
            .chain(later.iter().copied())
            .collect()
    }

    /// Whether a version was deleted at an offset.
    #[must_use]
    pub fn is_machine_deleted_at(&self, name: &str, version: u32, offset: u64) -> bool {
        let known = self.machines.versions.get(&(name.to_owned(), version));
        let mut stands = known.into_iter().flatten();
        stands.any(|stand| stand.offset == offset && !stand.is_there)
    }
}

/// Whether an instance may begin as it does.
pub(super) fn check_beginning(
    create: &fact::CreateInstance,
    machine: TestMachine,
    time_ms: u64,
) -> Result<(), EntryFault> {
    let Some(imported) = &create.imported else {
        return match create.state == machine.initial() {
            true => Ok(()),
            false => Err(format!("it begins in {}", create.state)),
        };
    };
    if !machine.states().contains(&create.state) {
        return Err(format!("it was imported into {}", create.state));
    }
    if !create.emits.is_empty() || !create.via.is_empty() {
        return Err(format!(
            "its import emits {:?} and passes {:?}",
            create.emits, create.via
        ));
    }
    // 0 stands for the entry's time.
    let or_entry = |ms| if ms == 0 { time_ms } else { ms };
    let (created, updated) = (or_entry(imported.created_ms), or_entry(imported.updated_ms));
    match created <= updated && updated <= time_ms {
        true => Ok(()),
        false => Err(format!(
            "it was created at {created} and changed at {updated}"
        )),
    }
}
