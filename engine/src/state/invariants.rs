//! What must hold for every state between two entries.
//!
//! [`State::check_invariants`] checks everything; tests and the simulation call it. Debug builds assert the
//! cheap part after every apply.

use std::collections::BTreeMap;

use super::State;
use super::idempotency::IdempotencyKeys;
use super::idempotency::key_record::key_name::is_without_state;
use super::machines::Machines;
use crate::fact::level;

/// A rule that a node's own bookkeeping breaks: a bug of rstmdb.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken invariant: {0}")]
pub struct BrokenInvariant(pub(crate) String);

/// Fails with the text when the condition does not hold.
///
/// # Errors
/// The text.
pub fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), BrokenInvariant> {
    match holds {
        true => Ok(()),
        false => Err(BrokenInvariant(text())),
    }
}

impl State {
    /// Checks the whole state: counts equal contents, the ordered ids are exactly the instances, nothing is newer
    /// than what was applied, and the digest is the one of the items. Takes as long as recomputing the digest.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        self.check_sizes()?;
        self.machines.check()?;
        self.check_instances()?;
        self.check_used_ids()?;
        self.timers.check(|id| self.ids.contains(id))?;
        self.locks.check(self.last_applied)?;
        self.keys.check(self.last_applied, &self.machines)?;
        let (kept, anew) = (self.digest(), self.recompute_digest());
        ensure(kept == anew, || {
            format!("the digest is {kept:032x}, of the items it is {anew:032x}")
        })
    }

    /// The cheap part of [`State::check_invariants`]: sizes and ends only.
    pub(crate) fn check_sizes(&self) -> Result<(), BrokenInvariant> {
        let (ids, instances) = (self.ids.len(), self.instances.len());
        ensure(ids == instances, || {
            format!("{ids} ids are ordered, there are {instances} instances")
        })?;
        let last_stale = self.stale.get_max().copied().unwrap_or_default();
        ensure(last_stale <= self.last_applied, || {
            format!(
                "offset {last_stale} is stale, {} was applied last",
                self.last_applied
            )
        })?;
        ensure(
            (level::FIRST..=self.understands).contains(&self.level),
            || {
                format!(
                    "the state is of feature level {}, this program understands {} to {}",
                    self.level,
                    level::FIRST,
                    self.understands
                )
            },
        )?;
        self.keys.check_sizes()
    }

    fn check_instances(&self) -> Result<(), BrokenInvariant> {
        let mut found = self.machines.no_counts();
        let mut instances = 0;
        for instance in self.instances.iter() {
            let id = instance.id();
            instances += 1;
            ensure(self.ids.contains(id), || {
                format!("instance {id:?} is not among the ordered ids")
            })?;
            ensure(self.used_ids.get(id.as_bytes()).is_none(), || {
                format!("instance {id:?} is there, and its id counts as one of a deleted instance")
            })?;
            let (created, last) = (instance.created_offset(), instance.last_offset());
            ensure(created <= last && last <= self.last_applied, || {
                format!(
                    "instance {id:?} was created at {created} and changed at {last}, {} was applied last",
                    self.last_applied
                )
            })?;
            let (created, updated) = (instance.created_ms(), instance.updated_ms());
            ensure(created <= updated && updated <= self.last_time_ms, || {
                format!(
                    "instance {id:?} was created at {created} ms and changed at {updated} ms, the log's time is {} ms",
                    self.last_time_ms
                )
            })?;
            let states = found.get_mut(instance.machine() as usize);
            let count = states.and_then(|states| states.get_mut(usize::from(instance.state())));
            match count {
                Some(count) => *count += 1,
                None => {
                    return Err(BrokenInvariant(format!(
                        "instance {id:?} is in no known state"
                    )));
                }
            }
        }
        ensure(instances == self.instances.len(), || {
            format!(
                "the table holds {instances} instances and counts {}",
                self.instances.len()
            )
        })?;
        self.machines.check_counts(&found)
    }

    fn check_used_ids(&self) -> Result<(), BrokenInvariant> {
        let mut used_ids = 0;
        for used in self.used_ids.iter() {
            used_ids += 1;
            ensure(used.last_offset <= self.last_applied, || {
                format!(
                    "id {:?} was used until {}, {} was applied last",
                    used.id, used.last_offset, self.last_applied
                )
            })?;
        }
        ensure(used_ids == self.used_ids.len(), || {
            format!(
                "the table holds {used_ids} used ids and counts {}",
                self.used_ids.len()
            )
        })
    }
}

impl Machines {
    /// A zero for each state of each machine; none for a machine that is deleted.
    fn no_counts(&self) -> Vec<Vec<u64>> {
        let machines = self.living_by_number();
        machines
            .map(|machine| vec![0; machine.map_or(0, |machine| machine.states.len())])
            .collect()
    }

    /// Checks that names and versions lead to each machine, and to no other.
    fn check(&self) -> Result<(), BrokenInvariant> {
        for (number, machine) in self.living_by_number().enumerate() {
            let Some(machine) = machine else {
                self.check_deleted(number)?;
                continue;
            };
            let (name, version) = (&*machine.name, machine.version);
            let named = self.number(name, version);
            ensure(named == Some(number as u32), || {
                format!(
                    "machine {name:?} version {version} is number {number}, its name leads to {named:?}"
                )
            })?;
        }
        let versions: usize = self.names().map(|(_, versions)| versions.count()).sum();
        ensure(versions == self.len(), || {
            format!(
                "{versions} versions have names, there are {} machines",
                self.len()
            )
        })
    }

    /// A deleted machine stays exactly as long as keys name it.
    fn check_deleted(&self, number: usize) -> Result<(), BrokenInvariant> {
        let number = number as u32;
        let (stays, keys) = (self.by_number(number).is_some(), self.keys_of(number));
        ensure(stays == (keys > 0), || {
            format!("{keys} idempotency keys name the deleted machine {number}")
        })
    }

    fn check_counts(&self, found: &[Vec<u64>]) -> Result<(), BrokenInvariant> {
        for (number, (machine, found)) in self.living_by_number().zip(found).enumerate() {
            let Some(machine) = machine else { continue };
            let counted = self.counts(number);
            ensure(counted == found, || {
                format!(
                    "of machine {:?} version {} the states count {counted:?} instances and have {found:?}",
                    machine.name, machine.version
                )
            })?;
        }
        Ok(())
    }
}

impl IdempotencyKeys {
    fn check_sizes(&self) -> Result<(), BrokenInvariant> {
        let (named, queued) = (self.len(), self.queue.len());
        ensure(named == queued, || {
            format!("{named} idempotency keys have names, {queued} are in the queue")
        })?;
        ensure((queued == 0) == (self.bytes() == 0), || {
            format!("{queued} idempotency keys cost {} bytes", self.bytes())
        })?;
        let last = self.queue.get_max().map(|(place, _)| *place);
        ensure(last.is_none_or(|last| last < self.next_place), || {
            format!(
                "the last idempotency key is at {last:?}, the next place is {}",
                self.next_place
            )
        })
    }

    fn check(&self, last_applied: u64, machines: &Machines) -> Result<(), BrokenInvariant> {
        let (mut bytes, mut before) = (0, 0);
        let mut naming = BTreeMap::new();
        for (place, record) in &self.queue {
            let named = self.get(record.name()).map(|named| named.place());
            ensure(record.place() == *place && named == Some(*place), || {
                format!(
                    "an idempotency key is in the queue at {place}, says {} and is found at {named:?}",
                    record.place()
                )
            })?;
            let offset = record.offset();
            ensure(before <= offset && offset <= last_applied, || {
                format!(
                    "an idempotency key of offset {offset} follows one of {before}, {last_applied} was applied last"
                )
            })?;
            let machine = record.brief().machine;
            let known = is_without_state(record.name()) || machines.by_number(machine).is_some();
            ensure(known, || {
                format!("an idempotency key of offset {offset} is of no known machine")
            })?;
            if let Some(machine) = record.machine() {
                *naming.entry(machine).or_insert(0) += 1;
            }
            before = offset;
            bytes += record.cost();
        }
        for number in 0..machines.numbered().count() as u32 {
            let (found, counted) = (
                naming.remove(&number).unwrap_or(0),
                machines.keys_of(number),
            );
            ensure(found == counted, || {
                format!("{found} idempotency keys name machine {number}, {counted} are counted")
            })?;
        }
        ensure(bytes == self.bytes(), || {
            format!(
                "the idempotency keys cost {bytes} bytes and count {}",
                self.bytes()
            )
        })
    }
}

#[cfg(test)]
mod tests;
