//! Installing facts that were found admissible: each one changes the tables, the counts and the digest together.
//!
//! Entries of earlier versions lead to the state that a snapshot of those versions holds. Such a snapshot
//! does not tell where a life began, nor whether a key is the last of its entry. So a replica that has loaded
//! it has the same state as one that has applied everything.

mod keys;
mod locks;
mod timers;

use std::sync::Arc;

use super::digest::used_id_digest;
use super::error::Error;
use super::idempotency::key_record::KeyBrief;
use super::idempotency::key_record::key_name::Scope;
use super::instance::{Instance, InstanceParts};
use super::{State, UsedId};
use crate::fact::level::Feature;
use crate::fact::{self, Body, Fact, KeyBounds};
use crate::machine::{Compiled, Machine};

/// The longest id an instance has room for; decisions allow far less.
pub(crate) const ID_BYTES_MAX: usize = u16::MAX as usize;
pub(crate) const ID_TOO_LONG: &str = "an id is too long";

/// Where and when a fact takes effect.
#[derive(Clone, Copy)]
pub(crate) struct FactAt<'a> {
    pub(crate) offset: u64,
    pub(crate) time_ms: u64,
    pub(crate) bounds: KeyBounds,
    /// Who asked for the entry.
    pub(crate) actor: &'a str,
    /// The entry's facts before this one, and those behind it.
    pub(crate) before: &'a [Fact],
    pub(crate) behind: &'a [Fact],
}

impl<'a> FactAt<'a> {
    pub(crate) fn fact(self, facts: &'a [Fact], place: usize) -> Self {
        Self {
            before: facts.get(..place).unwrap_or_default(),
            behind: facts.get(place + 1..).unwrap_or_default(),
            ..self
        }
    }

    /// Whether no later fact of the entry is about the instance.
    fn is_last_of(self, id: &str) -> bool {
        !self
            .behind
            .iter()
            .any(|fact| fact.instance_id() == Some(id))
    }
}

impl State {
    /// Installs a fact that is admissible: it was checked against the state as it is now.
    pub(crate) fn install(
        &mut self,
        fact: &Fact,
        at: FactAt<'_>,
        compiled: &Compiled,
    ) -> Result<(), Error> {
        match &fact.body {
            None => Err(Error::UnknownFact { offset: at.offset }),
            Some(Body::PutMachine(put)) => self.put_machine(put, at, compiled),
            Some(Body::DeleteMachine(delete)) => {
                self.delete_machine(delete);
                Ok(())
            }
            Some(Body::CreateInstance(create)) => self.create(create, at),
            Some(Body::ApplyEvent(apply)) => self.apply_event(apply, at),
            Some(Body::DeleteInstance(delete)) => self.delete(delete, at),
            Some(Body::TimerSpent(spent)) => {
                self.touch(&spent.instance_id, spent.timers.as_ref(), at)
            }
            Some(Body::SetTimers(set)) => self.set_timers(set, at),
            Some(Body::LockChanged(changed)) => self.change_lock(changed, at),
            Some(Body::FlushAll(_)) => {
                self.flush();
                Ok(())
            }
            Some(Body::SetLevel(set)) => {
                self.level = set.level;
                if Feature::Chain.level() <= set.level {
                    self.begin_chain(at.offset);
                }
                Ok(())
            }
            Some(Body::SetAutomation(set)) => {
                let after = self.automation().after(set, at.time_ms, at.actor);
                self.automation = Some(Arc::new(after));
                Ok(())
            }
        }
    }

    fn put_machine(
        &mut self,
        put: &fact::PutMachine,
        at: FactAt<'_>,
        compiled: &Compiled,
    ) -> Result<(), Error> {
        let machine = usable(put, at, compiled)?;
        self.add_digest(machine.digest);
        self.machines.push(machine);
        Ok(())
    }

    fn delete_machine(&mut self, delete: &fact::DeleteMachine) {
        for version in &delete.versions {
            if let Some(machine) = self.machines.remove(&delete.machine, *version) {
                self.remove_digest(machine.digest);
            }
        }
    }

    fn create(&mut self, create: &fact::CreateInstance, at: FactAt<'_>) -> Result<(), Error> {
        let number = self.machines.number(&create.machine, create.version);
        let state = number
            .and_then(|number| self.machines.by_number(number))
            .and_then(|machine| machine.state_number(&create.state));
        let (Some(machine), Some(state)) = (number, state) else {
            return Err(contradiction(at, "the created instance's machine is gone"));
        };
        if let Some(used) = self.used_ids.remove(create.instance_id.as_bytes()) {
            let digest = used_id_digest(&used, &mut self.scratch);
            self.remove_digest(digest);
        }
        let (created_ms, updated_ms) = create.times(at.time_ms);
        let parts = InstanceParts {
            id: &create.instance_id,
            machine,
            state,
            ctx: &create.ctx,
            event_id: "",
            created_ms,
            updated_ms,
            last_offset: at.offset,
            created_offset: match at.bounds.of_lives {
                true => at.offset,
                false => 0,
            },
        };
        self.put_instance(&parts, at)?;
        self.put_timers(&create.instance_id, create.timers.as_ref(), at);
        if let Some(key) = &create.key {
            let brief = KeyBrief {
                machine,
                to: state,
                instance_id: match key.of_machine {
                    true => &create.instance_id,
                    false => "",
                },
                ..KeyBrief::default()
            };
            self.put_key(Scope::of_create(create, key), key, at, brief);
        }
        Ok(())
    }

    fn apply_event(&mut self, apply: &fact::ApplyEvent, at: FactAt<'_>) -> Result<(), Error> {
        let Some(before) = self.instances.get(apply.instance_id.as_bytes()).cloned() else {
            return Err(contradiction(at, "the moved instance is gone"));
        };
        let to = self
            .machines
            .by_number(before.machine())
            .and_then(|machine| machine.state_number(&apply.to_state));
        let Some(to) = to else {
            return Err(contradiction(
                at,
                "the state moved to is not one of the machine's",
            ));
        };
        let parts = InstanceParts {
            id: &apply.instance_id,
            machine: before.machine(),
            state: to,
            ctx: &apply.ctx,
            event_id: apply.event_id.as_deref().unwrap_or(""),
            created_ms: before.created_ms(),
            updated_ms: at.time_ms,
            last_offset: at.offset,
            created_offset: before.created_offset(),
        };
        self.put_instance(&parts, at)?;
        self.put_timers(&apply.instance_id, apply.timers.as_ref(), at);
        if let Some(key) = &apply.key {
            let brief = KeyBrief {
                machine: before.machine(),
                from: before.state(),
                to,
                is_last: at.bounds.of_lives && at.is_last_of(&apply.instance_id),
                ..KeyBrief::default()
            };
            self.put_key(Scope::Apply(&apply.instance_id), key, at, brief);
        }
        Ok(())
    }

    fn delete(&mut self, delete: &fact::DeleteInstance, at: FactAt<'_>) -> Result<(), Error> {
        let Some(before) = self.instances.remove(delete.instance_id.as_bytes()) else {
            return Err(contradiction(at, "the deleted instance is gone"));
        };
        self.count_out(&before);
        let id: Arc<str> = Arc::from(before.id());
        self.ids.remove(&*id);
        if let Some(digest) = self.timers.remove(&id) {
            self.remove_digest(digest);
        }
        if at.bounds.of_lives {
            self.end_keys_of_entry(&delete.instance_id, at);
        }
        if delete.keep_id {
            let used = UsedId {
                id,
                last_offset: at.offset,
            };
            let digest = used_id_digest(&used, &mut self.scratch);
            self.add_digest(digest);
            self.used_ids.insert(used);
        }
        if let Some(key) = &delete.key {
            let scope = Scope::Delete(&delete.instance_id);
            self.put_key(scope, key, at, KeyBrief::default());
        }
        Ok(())
    }

    fn flush(&mut self) {
        *self = Self {
            last_applied: self.last_applied,
            last_time_ms: self.last_time_ms,
            level: self.level,
            understands: self.understands,
            automation: self.automation.take(),
            stale: std::mem::take(&mut self.stale),
            stale_known_from: self.stale_known_from,
            chain: self.chain.take(),
            ..Self::new()
        };
    }

    /// Puts the instance in place of its earlier version, with counters and digest.
    fn put_instance(&mut self, parts: &InstanceParts<'_>, at: FactAt<'_>) -> Result<(), Error> {
        let Some(instance) = Instance::new(parts, &mut self.scratch) else {
            return Err(contradiction(at, ID_TOO_LONG));
        };
        match self.instances.insert(instance.clone()) {
            Some(before) => self.count_out(&before),
            None => {
                self.ids.insert(Box::from(parts.id));
            }
        }
        self.count_in(&instance);
        Ok(())
    }

    fn count_out(&mut self, instance: &Instance) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let digest = self.instance_digest(instance, &mut scratch);
        self.scratch = scratch;
        self.remove_digest(digest);
        self.machines
            .count(instance.machine(), instance.state(), -1);
    }

    pub(super) fn count_in(&mut self, instance: &Instance) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let digest = self.instance_digest(instance, &mut scratch);
        self.scratch = scratch;
        self.add_digest(digest);
        self.machines.count(instance.machine(), instance.state(), 1);
    }

    /// Ends an entry whose facts are all installed.
    pub(crate) fn end_entry(&mut self, at: FactAt<'_>) {
        self.forget_keys(at);
        self.last_time_ms = at.time_ms;
        self.last_applied = at.offset;
    }

    /// Passes over an entry that changes nothing.
    pub(crate) fn end_stale_entry(&mut self, offset: u64) {
        self.stale.insert(offset);
        self.last_applied = offset;
    }
}

/// The machine that a fact defines.
pub(crate) fn usable(
    put: &fact::PutMachine,
    at: FactAt<'_>,
    compiled: &Compiled,
) -> Result<Arc<Machine>, Error> {
    let machine = compiled.machine(put);
    machine.map_err(|reason| contradiction(at, &reason))
}

pub(crate) fn contradiction(at: FactAt<'_>, what: &str) -> Error {
    Error::Contradiction {
        offset: at.offset,
        what: what.to_owned(),
    }
}
