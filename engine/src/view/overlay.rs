//! Facts that are decided but not applied: what [`decide`](crate::decide) sees over the state.
//!
//! The proposer keeps one such overlay for its entries in flight; an atomic batch makes another
//! for its own earlier operations; apply makes one to check an entry of several facts. An item
//! whose offset the state has applied is ignored, so removing items late is harmless.
//!
//! An overlay does not know which keys an entry in flight will push out of a full idempotency table. Such a
//! key is remembered slightly longer, never shorter.

pub(super) mod locks;
mod machines;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::fact::{self, Body, Fact};
use crate::hash::Map;
use crate::machine::{Compiled, Machine};
use crate::state::{Automation, BrokenInvariant, KeyOutcome, Scope, ensure, key_name};

use locks::LocksInFlight;
use timers::{TimersInFlight, TimersTouch, held};

#[derive(Default)]
pub(crate) struct Overlay {
    pub(crate) instances: BTreeMap<Arc<str>, InstanceInFlight>,
    pub(crate) machines: BTreeMap<(Arc<str>, u32), MachineInFlight>,
    pub(crate) keys: Map<Arc<[u8]>, KeyInFlight>,
    /// Where everything before was removed.
    pub(crate) flushed_at: Option<u64>,
    /// The last feature level in flight, and where it was set.
    pub(crate) level: Option<(u64, u32)>,
    /// The last state of automation in flight, and where it was set.
    pub(crate) automation: Option<(u64, Arc<Automation>)>,
    pub(in crate::view) locks: LocksInFlight,
    touched: VecDeque<(u64, OverlayKey)>,
}

/// Where the last fact in flight of a version of a machine stands, and what it leaves: `None` if it deletes the version.
pub(crate) type MachineInFlight = (u64, Option<Arc<Machine>>);

/// The last fact in flight of one instance.
pub(crate) struct InstanceInFlight {
    pub(crate) offset: u64,
    pub(crate) change: OverlayChange,
    /// The name of the fact's idempotency key, where it has one.
    pub(crate) key: Option<Arc<[u8]>>,
}

pub(crate) enum OverlayChange {
    Live(LiveInFlight),
    /// Only its timers, and when it was changed last: the rest is what is below.
    Touched(TimersTouch),
    Deleted {
        keep_id: bool,
    },
}

pub(crate) struct LiveInFlight {
    pub(crate) machine: Arc<str>,
    pub(crate) version: u32,
    pub(crate) state: Arc<str>,
    pub(crate) ctx: Bytes,
    pub(crate) event_id: Option<Arc<str>>,
    /// `None` when it was created before this overlay's first fact.
    pub(crate) created: Option<Created>,
    pub(crate) updated_ms: u64,
    pub(crate) timers: TimersInFlight,
}

/// When and where an instance was created.
#[derive(Clone, Copy)]
pub(crate) struct Created {
    pub(crate) time_ms: u64,
    pub(crate) offset: u64,
}

pub(crate) struct KeyInFlight {
    pub(crate) offset: u64,
    pub(crate) time_ms: u64,
    pub(crate) params_hash: u64,
    pub(crate) instance_id: Arc<str>,
    pub(crate) outcome: KeyOutcome,
}

enum OverlayKey {
    Instance(Arc<str>),
    Key(Arc<[u8]>),
    Machine(Arc<str>, u32),
    Everything,
    Level,
    Automation,
    Lock(Arc<str>),
}

impl Overlay {
    pub(crate) fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// The offset of the last fact in flight.
    pub(super) fn last_offset(&self) -> Option<u64> {
        self.touched.back().map(|(offset, _)| *offset)
    }

    pub(crate) fn push(&mut self, fact: &Fact, offset: u64, time_ms: u64, compiled: &Compiled) {
        match &fact.body {
            None => {}
            Some(Body::PutMachine(put)) => self.put_machine(put, offset, compiled),
            Some(Body::DeleteMachine(delete)) => self.delete_machine(delete, offset),
            Some(Body::CreateInstance(create)) => self.create(create, offset, time_ms),
            Some(Body::ApplyEvent(apply)) => self.apply(apply, offset, time_ms),
            Some(Body::DeleteInstance(delete)) => self.delete(delete, offset, time_ms),
            Some(Body::TimerSpent(spent)) => {
                let timers = spent.timers.as_ref();
                _ = self.touch(&spent.instance_id, timers, offset, time_ms);
            }
            Some(Body::SetTimers(set)) => self.set_timers(set, offset, time_ms),
            Some(Body::LockChanged(changed)) => self.change_lock(changed, offset, time_ms),
            Some(Body::FlushAll(_)) => self.flush(offset),
            Some(Body::SetLevel(set)) => {
                self.level = Some((offset, set.level));
                self.touched.push_back((offset, OverlayKey::Level));
            }
            Some(Body::SetAutomation(set)) => {
                // The actor is not known here, and no decision depends on it.
                let automation = Automation {
                    paused: set.paused,
                    since_ms: time_ms,
                    reason: set.reason.clone(),
                    ..Automation::default()
                };
                self.automation = Some((offset, Arc::new(automation)));
                self.touched.push_back((offset, OverlayKey::Automation));
            }
        }
    }

    /// Checks the overlay after everything up to `settled` was removed: the offsets it holds ascend and are
    /// above `settled`, and the list that removes items knows all of them.
    pub(super) fn check(&self, settled: u64) -> Result<(), BrokenInvariant> {
        let mut before = settled + 1;
        let mut held = BTreeSet::new();
        for (offset, touched) in &self.touched {
            ensure(before <= *offset, || {
                format!("offset {offset} is in flight behind {before}, the first that may follow")
            })?;
            before = *offset;
            if let Some(item) = self.held_at(*offset, touched) {
                held.insert(item);
            }
        }
        let items = self.instances.len() + self.machines.len() + self.keys.len() + self.locks.len();
        ensure(items == held.len(), || {
            format!(
                "{items} items are in flight, {} of them will be removed",
                held.len()
            )
        })?;
        self.locks.check()?;
        ensure(
            self.flushed_at.is_none_or(|offset| offset > settled),
            || {
                format!(
                    "a flush at {:?} is in flight, {settled} is settled",
                    self.flushed_at
                )
            },
        )?;
        ensure(
            self.level.is_none_or(|(offset, _)| offset > settled),
            || {
                format!(
                    "a level at {:?} is in flight, {settled} is settled",
                    self.level
                )
            },
        )?;
        let mut keys = self.instances.values().filter_map(|item| item.key.as_ref());
        ensure(keys.all(|name| self.keys.contains_key(name)), || {
            "the key of an instance in flight is not in flight".to_owned()
        })
    }

    /// The item that was last changed at this offset, as one name.
    fn held_at<'a>(&self, offset: u64, touched: &'a OverlayKey) -> Option<(u8, &'a [u8], u32)> {
        match touched {
            OverlayKey::Instance(id) => {
                let item = self.instances.get(id)?;
                (item.offset == offset).then_some((b'i', id.as_bytes(), 0))
            }
            OverlayKey::Key(name) => {
                let item = self.keys.get(name)?;
                (item.offset == offset).then_some((b'k', &**name, 0))
            }
            OverlayKey::Machine(name, version) => {
                let item = self.machines.get(&(name.clone(), *version))?;
                (item.0 == offset).then_some((b'm', name.as_bytes(), *version))
            }
            OverlayKey::Lock(name) => {
                let last = self.locks.get(name)?.back()?;
                (last.offset == offset).then_some((b'l', name.as_bytes(), 0))
            }
            OverlayKey::Everything | OverlayKey::Level | OverlayKey::Automation => None,
        }
    }

    fn create(&mut self, create: &fact::CreateInstance, offset: u64, time_ms: u64) {
        let state: Arc<str> = Arc::from(create.state.as_str());
        let (created_ms, updated_ms) = create.times(time_ms);
        let live = LiveInFlight {
            machine: Arc::from(create.machine.as_str()),
            version: create.version,
            state: state.clone(),
            ctx: create.ctx.clone(),
            event_id: None,
            created: Some(Created {
                time_ms: created_ms,
                offset,
            }),
            updated_ms,
            timers: Some(held(create.timers.as_ref(), offset).unwrap_or_default()),
        };
        let instance_id = self.put(&create.instance_id, offset, OverlayChange::Live(live));
        if let Some(key) = &create.key {
            let name = key_name(Scope::of_create(create, key), &key.key);
            let in_flight = KeyInFlight {
                offset,
                time_ms,
                params_hash: key.params_hash,
                instance_id,
                outcome: KeyOutcome::Created { state },
            };
            self.put_key(&name, in_flight);
        }
    }

    fn apply(&mut self, apply: &fact::ApplyEvent, offset: u64, time_ms: u64) {
        let before = self.instances.get(apply.instance_id.as_str());
        let (created, timers) = match before.map(|item| &item.change) {
            Some(OverlayChange::Live(live)) => (live.created, live.timers.clone()),
            Some(OverlayChange::Touched(touch)) => (None, touch.timers.clone()),
            Some(OverlayChange::Deleted { .. }) | None => (None, None),
        };
        let to_state: Arc<str> = Arc::from(apply.to_state.as_str());
        let live = LiveInFlight {
            machine: Arc::from(apply.machine.as_str()),
            version: apply.version,
            state: to_state.clone(),
            ctx: apply.ctx.clone(),
            event_id: apply.event_id.as_deref().map(Arc::from),
            created,
            updated_ms: time_ms,
            timers: held(apply.timers.as_ref(), offset).or(timers),
        };
        let instance_id = self.put(&apply.instance_id, offset, OverlayChange::Live(live));
        if let Some(key) = &apply.key {
            let name = key_name(Scope::Apply(&apply.instance_id), &key.key);
            let outcome = KeyOutcome::Moved {
                from_state: Arc::from(apply.from_state.as_str()),
                to_state,
            };
            let in_flight = KeyInFlight {
                offset,
                time_ms,
                params_hash: key.params_hash,
                instance_id,
                outcome,
            };
            self.put_key(&name, in_flight);
        }
    }

    fn delete(&mut self, delete: &fact::DeleteInstance, offset: u64, time_ms: u64) {
        self.end_keys_of_entry(&delete.instance_id, offset);
        let change = OverlayChange::Deleted {
            keep_id: delete.keep_id,
        };
        let instance_id = self.put(&delete.instance_id, offset, change);
        if let Some(key) = &delete.key {
            let name = key_name(Scope::Delete(&delete.instance_id), &key.key);
            let in_flight = KeyInFlight {
                offset,
                time_ms,
                params_hash: key.params_hash,
                instance_id,
                outcome: KeyOutcome::Deleted,
            };
            self.put_key(&name, in_flight);
        }
    }

    /// As apply does: keys that the same entry gave the instance belong to its earlier life, but their offset
    /// would not show that.
    fn end_keys_of_entry(&mut self, id: &str, offset: u64) {
        let of_entry = self.touched.iter().rev();
        for (_, touched) in of_entry.take_while(|(at, _)| *at == offset) {
            let OverlayKey::Key(name) = touched else {
                continue;
            };
            let of_instance = |key: &KeyInFlight| key.offset == offset && *key.instance_id == *id;
            if self.keys.get(name).is_some_and(of_instance) {
                self.keys.remove(name);
            }
        }
    }

    fn flush(&mut self, offset: u64) {
        self.instances.clear();
        self.machines.clear();
        self.keys.clear();
        self.locks = LocksInFlight::default();
        self.flushed_at = Some(offset);
        self.touched.push_back((offset, OverlayKey::Everything));
    }

    fn put(&mut self, id: &str, offset: u64, change: OverlayChange) -> Arc<str> {
        let id: Arc<str> = match self.instances.get_key_value(id) {
            Some((id, _)) => id.clone(),
            None => Arc::from(id),
        };
        let in_flight = InstanceInFlight {
            offset,
            change,
            key: None,
        };
        self.instances.insert(id.clone(), in_flight);
        self.touched
            .push_back((offset, OverlayKey::Instance(id.clone())));
        id
    }

    /// Adds the key of the fact that was put last of its instance.
    fn put_key(&mut self, name: &[u8], key: KeyInFlight) {
        let name: Arc<[u8]> = Arc::from(name);
        if let Some(item) = self.instances.get_mut(&key.instance_id) {
            item.key = Some(name.clone());
        }
        self.touched
            .push_back((key.offset, OverlayKey::Key(name.clone())));
        self.keys.insert(name, key);
    }

    pub(super) fn settle(&mut self, applied: u64) {
        while let Some((_, touched)) = self.touched.pop_front_if(|(offset, _)| *offset <= applied) {
            match touched {
                OverlayKey::Instance(id) => {
                    if self
                        .instances
                        .get(&id)
                        .is_some_and(|item| item.offset <= applied)
                    {
                        self.instances.remove(&id);
                    }
                }
                OverlayKey::Key(name) => {
                    if self
                        .keys
                        .get(&name)
                        .is_some_and(|item| item.offset <= applied)
                    {
                        self.keys.remove(&name);
                    }
                }
                OverlayKey::Machine(name, version) => {
                    let key = (name, version);
                    if self
                        .machines
                        .get(&key)
                        .is_some_and(|item| item.0 <= applied)
                    {
                        self.machines.remove(&key);
                    }
                }
                OverlayKey::Everything => {
                    self.flushed_at = self.flushed_at.filter(|offset| *offset > applied);
                }
                OverlayKey::Automation => {
                    self.automation = self.automation.take().filter(|(at, _)| *at > applied);
                }
                OverlayKey::Lock(name) => self.settle_lock(&name, applied),
                OverlayKey::Level => {
                    self.level = self.level.filter(|(offset, _)| *offset > applied);
                }
            }
        }
    }
}
