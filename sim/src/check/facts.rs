//! The meaning of the committed log, computed a second time without the engine: which facts fit the state
//! before them, and the state of each instance after them.

mod locks;
mod machines;
mod misfit;
mod shown;
mod timers;

use std::collections::BTreeMap;

use rstmdb_engine::fact::{self, Body, Entry, level};
use serde_json::{Map, Value};

use super::locks::LockAccount;
use super::said;
use super::timers::Armed;
use crate::machines::TestMachine;

use machines::{MachineAccount, check_beginning};

pub use machines::MachineStand;
pub use shown::{ShownEvent, ShownKind};
pub use timers::{MOVES, name_of};

/// The state of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceStand {
    /// Its machine.
    pub machine: TestMachine,
    /// Its state.
    pub state: String,
    /// Its context.
    pub ctx: Map<String, Value>,
}

/// An instance from one offset on.
#[derive(Debug, Clone, PartialEq)]
pub struct FactVersion {
    /// Since when.
    pub offset: u64,
    /// How it stood; `None`: it did not exist.
    pub stand: Option<InstanceStand>,
}

/// Every fact that took effect.
#[derive(Debug, Default)]
pub struct Facts {
    machines: MachineAccount,
    versions: BTreeMap<String, Vec<FactVersion>>,
    keys: BTreeMap<String, u64>,
    tags: BTreeMap<String, u64>,
    events: Vec<ShownEvent>,
    /// The feature level, once it was raised.
    level: Option<u32>,
    /// Automation is paused.
    paused: bool,
    /// Clients say something about their writes, by a rule.
    clients_say: bool,
    timers: Armed,
    locks: LockAccount,
    /// The time of the entry that is taken, and the reason that its client has given.
    time_ms: u64,
    reason: Option<String>,
}

/// The fault of an entry.
type EntryFault = String;

impl Facts {
    /// Where the event or creation of this name took effect.
    #[must_use]
    pub fn offset_of(&self, tag: &str) -> Option<u64> {
        self.tags.get(tag).copied()
    }

    /// From now on every write has what [`said`] says of it.
    pub fn expect_said(&mut self) {
        self.clients_say = true;
    }

    /// Whether automation is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The feature level.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level.unwrap_or(level::FIRST)
    }

    /// All events, creations and deletions, in their order.
    #[must_use]
    pub fn told(&self) -> &[ShownEvent] {
        &self.events
    }

    /// All events, in their order.
    pub fn events(&self) -> impl Iterator<Item = &ShownEvent> {
        let told = self.events.iter();
        told.filter(|event| event.kind == ShownKind::Event)
    }

    /// The instance as it was right behind an offset.
    #[must_use]
    pub fn at(&self, instance: &str, offset: u64) -> Option<&FactVersion> {
        let versions = self.versions.get(instance)?;
        let behind = versions.partition_point(|version| version.offset <= offset);
        versions.get(behind.checked_sub(1)?)
    }

    /// What the entry at an offset has made of the instance: several versions, if it has changed it more than once.
    #[must_use]
    pub fn all_at(&self, instance: &str, offset: u64) -> &[FactVersion] {
        let versions = self.versions.get(instance).map_or(&[][..], Vec::as_slice);
        let first = versions.partition_point(|version| version.offset < offset);
        let end = versions.partition_point(|version| version.offset <= offset);
        versions.get(first..end).unwrap_or_default()
    }

    /// Whether the entry at an offset has changed the instance.
    #[must_use]
    pub fn has_at(&self, instance: &str, offset: u64) -> bool {
        !self.all_at(instance, offset).is_empty()
    }

    /// Every version that was the present one somewhere from offset `from` to offset `to`; `None`
    /// stands for the time before the first.
    pub fn between(
        &self,
        instance: &str,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = Option<&FactVersion>> {
        let versions = self.versions.get(instance).map_or(&[][..], Vec::as_slice);
        let first = versions.partition_point(|version| version.offset <= from);
        let end = versions.partition_point(|version| version.offset <= to);
        let earliest = match first {
            0 => None,
            behind => versions.get(behind - 1),
        };
        let later = versions.get(first..end).unwrap_or_default();
        std::iter::once(earliest).chain(later.iter().map(Some))
    }

    /// Takes the entry at an offset, of which the engine says whether it took effect.
    ///
    /// # Errors
    /// When the engine is wrong, or the entry contradicts earlier entries.
    pub fn take(&mut self, entry: &Entry, offset: u64, effective: bool) -> Result<(), EntryFault> {
        let misfit = self.misfit(entry, offset);
        match (effective, misfit) {
            (true, Some(misfit)) => Err(format!("{entry} took effect at {offset}: {misfit}")),
            (false, None) => Err(format!("{entry} fits and took no effect at {offset}")),
            (false, Some(_)) => Ok(()),
            (true, None) if level::needed_by(entry) > self.level() => Err(format!(
                "{entry} took effect at {offset}: it needs feature level {}, the cluster is at {}",
                level::needed_by(entry),
                self.level()
            )),
            (true, None) => {
                let wrong = said::problem(entry).filter(|_| self.clients_say);
                if let Some(wrong) = wrong {
                    return Err(format!("{entry} at {offset}: {wrong}"));
                }
                self.time_ms = self.time_ms.max(entry.time_ms);
                self.count_fence(entry);
                let said = entry.meta.as_ref();
                self.reason = said.and_then(|meta| meta.reason.clone());
                let known = self.events.len();
                for fact in &entry.facts {
                    if let Some(body) = &fact.body {
                        self.install(body, offset)
                            .map_err(|wrong| format!("{entry} at {offset}: {wrong}"))?;
                    }
                }
                for event in self.events.iter_mut().skip(known) {
                    event.said.clone_from(&entry.meta);
                }
                Ok(())
            }
        }
    }

    fn install(&mut self, body: &Body, offset: u64) -> Result<(), EntryFault> {
        match body {
            Body::PutMachine(put) => {
                self.machines.put(put, offset);
                Ok(())
            }
            Body::DeleteMachine(delete) => {
                self.machines.delete(delete, offset);
                Ok(())
            }
            Body::CreateInstance(create) => self.create(create, offset),
            Body::ApplyEvent(apply) => self.apply(apply, offset),
            Body::DeleteInstance(delete) => self.delete(delete, offset),
            Body::TimerSpent(spent) => self.spend(spent, offset),
            Body::SetTimers(set) => self.move_timers(set, offset),
            Body::FlushAll(_) => Err("it removes everything".to_owned()),
            Body::LockChanged(changed) => self.locks.take(changed, offset, self.time_ms),
            Body::SetAutomation(set) => {
                self.paused = set.paused;
                self.timers.set_automation(set, self.time_ms);
                Ok(())
            }
            Body::SetLevel(set) => {
                self.level = Some(set.level);
                Ok(())
            }
        }
    }

    fn create(&mut self, create: &fact::CreateInstance, offset: u64) -> Result<(), EntryFault> {
        let machine = TestMachine::from_name(&create.machine).ok_or("an unknown machine")?;
        check_beginning(create, machine, self.time_ms)?;
        self.machines.begin(create, offset);
        let stand = InstanceStand {
            machine,
            state: create.state.clone(),
            ctx: object(&create.ctx)?,
        };
        self.arm(create, machine, offset)?;
        self.remember_key(create.key.as_ref(), offset);
        let tag = timers::name_of_creation(machine, &create.instance_id, create.key.as_ref());
        self.name(&tag, offset)?;
        self.events.push(ShownEvent {
            kind: ShownKind::Created,
            offset,
            instance: create.instance_id.clone(),
            tag: create.instance_id.clone(),
            states: [String::new(), create.state.clone()],
            ctx: create.ctx.to_vec(),
            said: None,
        });
        self.version(&create.instance_id, offset, Some(stand));
        Ok(())
    }

    fn delete(&mut self, delete: &fact::DeleteInstance, offset: u64) -> Result<(), EntryFault> {
        let id = &delete.instance_id;
        let before = self.versions.get(id).and_then(|versions| versions.last());
        let before = before.and_then(|version| version.stand.as_ref());
        let before = before.ok_or("the instance is not there")?;
        let state = before.state.clone();
        // From the second level on, a deletion says what it ends.
        if self.level() > level::FIRST {
            let said = (delete.machine.as_str(), delete.from_state.as_str());
            if said != (before.machine.name(), state.as_str()) {
                return Err(format!("it ends {said:?} and not {before:?}"));
            }
        }
        let machine = before.machine;
        self.timers
            .delete(id, machine, delete.fired.as_ref(), self.time_ms)?;
        self.remember_key(delete.key.as_ref(), offset);
        self.events.push(ShownEvent {
            kind: ShownKind::Deleted,
            offset,
            instance: id.clone(),
            tag: id.clone(),
            states: [delete.from_state.clone(), String::new()],
            ctx: Vec::new(),
            said: None,
        });
        self.machines.end(id, offset);
        self.version(id, offset, None);
        Ok(())
    }

    fn apply(&mut self, apply: &fact::ApplyEvent, offset: u64) -> Result<(), EntryFault> {
        let id = &apply.instance_id;
        let before = self.versions.get(id).and_then(|versions| versions.last());
        let before = before.and_then(|version| version.stand.as_ref());
        let Some(before) = before else {
            return Err("the instance is not there".to_owned());
        };
        let payload = apply.payload.as_deref().map(object).transpose()?;
        let moved = before
            .machine
            .event(&before.state, &apply.event, &before.ctx, payload.clone());
        let moved = match moved {
            Ok(moved) if apply.from_state == before.state && apply.to_state == moved.state => moved,
            other => {
                return Err(format!(
                    "in state {} the model says {other:?}",
                    before.state
                ));
            }
        };
        let ctx = moved.ctx;
        if object(&apply.ctx)? != ctx {
            return Err("the context is another one".to_owned());
        }
        if apply.via != moved.via || apply.emits != moved.emits {
            return Err(format!(
                "it passes {:?} and emits {:?}, and the model says {:?} and {:?}",
                apply.via, apply.emits, moved.via, moved.emits
            ));
        }
        let stand = InstanceStand {
            machine: before.machine,
            state: apply.to_state.clone(),
            ctx,
        };
        let machine = before.machine;
        let tag = self.fire(apply, machine, payload.as_ref(), offset)?;
        self.remember_key(apply.key.as_ref(), offset);
        self.name(&tag, offset)?;
        self.events.push(ShownEvent {
            kind: ShownKind::Event,
            offset,
            instance: id.clone(),
            tag,
            states: [apply.from_state.clone(), apply.to_state.clone()],
            ctx: apply.ctx.to_vec(),
            said: None,
        });
        self.version(id, offset, Some(stand));
        Ok(())
    }

    fn remember_key(&mut self, key: Option<&fact::Key>, offset: u64) {
        if let Some(key) = key {
            self.keys.insert(key.key.clone(), offset);
        }
    }

    /// Each name is given once. If a name appears again, its operation took effect twice.
    fn name(&mut self, tag: &str, offset: u64) -> Result<(), EntryFault> {
        match self.tags.insert(tag.to_owned(), offset) {
            None => Ok(()),
            Some(first) => Err(format!("{tag} took effect at {first} already")),
        }
    }

    fn version(&mut self, id: &str, offset: u64, stand: Option<InstanceStand>) {
        let versions = self.versions.entry(id.to_owned()).or_default();
        versions.push(FactVersion { offset, stand });
    }
}

/// The JSON object in these bytes.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, EntryFault> {
    match rstmdb_rcp::json::value_of_bytes(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) => Err(format!("not a JSON object: {error}")),
    }
}
