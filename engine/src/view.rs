//! The state with up to two overlays, read as one: the state after all facts in flight are applied.

mod locks;
mod machines;
mod overlay;
mod pending;
mod planted;

pub(crate) use overlay::Overlay;
pub use pending::PendingEntries;
#[cfg(feature = "planted-bugs")]
pub use planted::{delete_machines_in_use, ignore_fences};

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::api::reply::{InstanceView, TimerView};
use crate::fact;
use crate::machine::Machine;
use crate::state::{Automation, Instance, KeyFound, Last, Scope, State, ctx_bytes, key_name};
use overlay::{Created, InstanceInFlight, LiveInFlight, OverlayChange};

#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    /// The newest first.
    layers: [Option<&'a Overlay>; 2],
}

/// An instance as the view shows it.
pub(crate) struct Current<'a> {
    pub(crate) machine: &'a Arc<Machine>,
    pub(crate) state: u16,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    pub(crate) last_offset: u64,
    source: ViewSource<'a>,
}

enum ViewSource<'a> {
    Applied(&'a Instance),
    InFlight(&'a Arc<str>, &'a LiveInFlight),
}

enum OverlaySight<'a> {
    InFlight(&'a Arc<str>, &'a InstanceInFlight),
    Removed,
    Below,
}

impl<'a> View<'a> {
    pub(crate) fn new(state: &'a State) -> Self {
        Self {
            state,
            layers: [None, None],
        }
    }

    /// The view under one more overlay, newer than all before; there is room for two.
    pub(crate) fn over(self, overlay: &'a Overlay) -> Self {
        Self {
            state: self.state,
            layers: [Some(overlay), self.layers[0]],
        }
    }

    /// The overlays that show, newest first, down to one that removed everything below it.
    pub(crate) fn layers(self) -> impl Iterator<Item = &'a Overlay> {
        let mut hidden = false;
        self.layers.into_iter().flatten().take_while(move |layer| {
            let shows = !hidden;
            hidden |= self.flushed(layer);
            shows
        })
    }

    fn flushed(self, layer: &Overlay) -> bool {
        layer.flushed_at.is_some_and(|offset| self.ahead(offset))
    }

    /// Whether the applied state is visible, or a fact in flight has removed it.
    pub(crate) fn state_shows(self) -> bool {
        !self
            .layers
            .into_iter()
            .flatten()
            .any(|layer| self.flushed(layer))
    }

    /// The feature level after all facts in flight. It outlives a flush.
    pub(crate) fn level(self) -> u32 {
        let in_flight = self.layers.into_iter().flatten();
        let mut in_flight = in_flight.filter_map(|layer| layer.level);
        let newest = in_flight.find(|(offset, _)| self.ahead(*offset));
        newest.map_or(self.state.level(), |(_, level)| level)
    }

    /// The state of automation after all facts in flight.
    pub(crate) fn automation(self) -> Automation {
        let in_flight = self.layers.into_iter().flatten();
        let mut in_flight = in_flight.filter_map(|layer| layer.automation.as_ref());
        match in_flight.find(|(offset, _)| self.ahead(*offset)) {
            Some((_, automation)) => (**automation).clone(),
            None => self.state.automation(),
        }
    }

    /// Whether the state has yet to apply this offset.
    pub(crate) fn ahead(self, offset: u64) -> bool {
        offset > self.state.last_applied()
    }

    fn seen(self, id: &str) -> OverlaySight<'a> {
        for layer in self.layers() {
            if let Some((id, item)) = layer.instances.get_key_value(id)
                && self.ahead(item.offset)
            {
                return OverlaySight::InFlight(id, item);
            }
        }
        match self.state_shows() {
            true => OverlaySight::Below,
            false => OverlaySight::Removed,
        }
    }

    pub(crate) fn last(self, id: &str) -> Last {
        match self.seen(id) {
            OverlaySight::Removed => Last::Never,
            OverlaySight::Below => self.state.last(id),
            OverlaySight::InFlight(_, item) => match item.change {
                OverlayChange::Live(_) | OverlayChange::Touched(_) => Last::Live(item.offset),
                OverlayChange::Deleted { keep_id: true } => Last::Used(item.offset),
                OverlayChange::Deleted { keep_id: false } => Last::Never,
            },
        }
    }

    pub(crate) fn instance(self, id: &str) -> Option<Current<'a>> {
        match self.seen(id) {
            OverlaySight::Removed => None,
            OverlaySight::Below => self.applied(id),
            OverlaySight::InFlight(id, item) => {
                let live = match &item.change {
                    OverlayChange::Live(live) => live,
                    OverlayChange::Touched(touch) => {
                        let below = self.below_touch(id).instance(id)?;
                        return Some(Current {
                            updated_ms: touch.updated_ms,
                            last_offset: item.offset,
                            ..below
                        });
                    }
                    OverlayChange::Deleted { .. } => return None,
                };
                let machine = self.machine(&live.machine, live.version)?;
                Some(Current {
                    machine,
                    state: machine.state_number(&live.state)?,
                    created_ms: self.created_ms(id),
                    updated_ms: live.updated_ms,
                    last_offset: item.offset,
                    source: ViewSource::InFlight(id, live),
                })
            }
        }
    }

    /// The view below the newest layer that has only touched the instance.
    fn below_touch(self, id: &str) -> Self {
        let newest = self.layers[0].and_then(|layer| layer.instances.get(id));
        let is_newest = newest.is_some_and(|item| self.ahead(item.offset));
        Self {
            state: self.state,
            layers: [self.layers[1].filter(|_| is_newest), None],
        }
    }

    /// All timers of an instance, if any is armed.
    pub(crate) fn timers(self, id: &str) -> Option<Arc<fact::Timers>> {
        for layer in self.layers() {
            let item = layer.instances.get(id);
            let Some(item) = item.filter(|item| self.ahead(item.offset)) else {
                continue;
            };
            let in_flight = match &item.change {
                OverlayChange::Live(live) => &live.timers,
                OverlayChange::Touched(touch) => &touch.timers,
                OverlayChange::Deleted { .. } => return None,
            };
            if let Some(timers) = in_flight {
                return Some(timers.clone()).filter(|timers| !timers.armed.is_empty());
            }
        }
        let record = self.state.timers.get(id).filter(|_| self.state_shows())?;
        Some(Arc::new(record.shown(self.state.shift_ms())))
    }

    /// Whether a fact in flight pauses or resumes automation.
    pub(crate) fn automation_in_flight(self) -> bool {
        let mut layers = self.layers.into_iter().flatten();
        layers.any(|layer| {
            let set = layer.automation.as_ref();
            set.is_some_and(|(offset, _)| self.ahead(*offset))
        })
    }

    fn applied(self, id: &str) -> Option<Current<'a>> {
        let instance = self.state.instances.get(id.as_bytes())?;
        Some(Current {
            machine: self.state.machines.by_number(instance.machine())?,
            state: instance.state(),
            created_ms: instance.created_ms(),
            updated_ms: instance.updated_ms(),
            last_offset: instance.last_offset(),
            source: ViewSource::Applied(instance),
        })
    }

    fn created_ms(self, id: &str) -> u64 {
        let applied = || Some(self.state.instances.get(id.as_bytes())?.created_ms());
        let in_flight = self.creation_in_flight(id).map(|created| created.time_ms);
        in_flight.or_else(applied).unwrap_or_default()
    }

    /// From the newest layer that saw the creation.
    fn creation_in_flight(self, id: &str) -> Option<Created> {
        self.layers()
            .find_map(|layer| match layer.instances.get(id) {
                Some(InstanceInFlight {
                    change: OverlayChange::Live(live),
                    ..
                }) => live.created,
                _ => None,
            })
    }

    /// Where the instance's present life began; `None` when it does not exist.
    fn life_began(self, id: &str) -> Option<u64> {
        let applied = || Some(self.state.instances.get(id.as_bytes())?.created_offset());
        match self.seen(id) {
            OverlaySight::Removed => None,
            OverlaySight::Below => applied(),
            OverlaySight::InFlight(_, item) => {
                if let OverlayChange::Deleted { .. } = item.change {
                    return None;
                }
                let in_flight = self.creation_in_flight(id);
                in_flight.map(|created| created.offset).or_else(applied)
            }
        }
    }

    /// The ids that overlays changed, ascending.
    pub(crate) fn ids_in_flight(self) -> BTreeSet<&'a str> {
        self.layers()
            .flat_map(|layer| layer.instances.iter())
            .filter(|(_, item)| self.ahead(item.offset))
            .map(|(id, _)| &**id)
            .collect()
    }

    /// A remembered key, if it was used in the present life of its instance. A deletion is remembered until the id is
    /// created again.
    pub(crate) fn key(self, scope: Scope<'_>, key: &str) -> Option<KeyFound> {
        let found = self.key_of_any_life(&key_name(scope, key))?;
        let counts = match scope {
            Scope::Delete(id) => !matches!(self.last(id), Last::Live(_)),
            Scope::Create(_) | Scope::CreateOf(_) | Scope::Apply(_) | Scope::SetTimers(_) => self
                .life_began(&found.instance_id)
                .is_some_and(|began| began <= found.offset),
        };
        counts.then_some(found)
    }

    /// A remembered key, from any life of its instance.
    pub(crate) fn key_of_any_life(self, name: &[u8]) -> Option<KeyFound> {
        for layer in self.layers() {
            if let Some(key) = layer.keys.get(name)
                && self.ahead(key.offset)
            {
                let last_key = layer
                    .instances
                    .get(&key.instance_id)
                    .and_then(|item| item.key.as_deref());
                return Some(KeyFound {
                    params_hash: key.params_hash,
                    time_ms: key.time_ms,
                    offset: key.offset,
                    instance_id: key.instance_id.clone(),
                    is_last: last_key == Some(name),
                    outcome: key.outcome.clone(),
                });
            }
        }
        let found = self.state.key_found(name);
        found.filter(|_| self.state_shows())
    }
}

impl Current<'_> {
    pub(crate) fn state_name(&self) -> &Arc<str> {
        self.machine.state_name(self.state)
    }

    /// The timers as clients see them.
    pub(crate) fn timers(&self, timers: &fact::Timers) -> Vec<TimerView> {
        let shown = timers.armed.iter().map(|timer| {
            let defined = self.machine.timer(self.state, &timer.name);
            TimerView {
                name: Arc::from(timer.name.as_str()),
                event: defined.and_then(|timer| timer.event.clone()),
                due_ms: timer.due_ms,
                refusals: timer.refusals,
            }
        });
        shown.collect()
    }

    pub(crate) fn id(&self) -> Arc<str> {
        match self.source {
            ViewSource::Applied(instance) => Arc::from(instance.id()),
            ViewSource::InFlight(id, _) => id.clone(),
        }
    }

    pub(crate) fn ctx(&self) -> &[u8] {
        match self.source {
            ViewSource::Applied(instance) => instance.ctx(),
            ViewSource::InFlight(_, live) => &live.ctx,
        }
    }

    pub(crate) fn ctx_bytes(&self) -> Bytes {
        match self.source {
            ViewSource::Applied(instance) => ctx_bytes(instance),
            ViewSource::InFlight(_, live) => live.ctx.clone(),
        }
    }

    fn event_id(&self) -> Option<Arc<str>> {
        match self.source {
            ViewSource::Applied(instance) => instance.event_id().map(Arc::from),
            ViewSource::InFlight(_, live) => live.event_id.clone(),
        }
    }

    pub(crate) fn view(&self, timers: Option<&fact::Timers>) -> InstanceView {
        InstanceView {
            instance_id: self.id(),
            machine: self.machine.name.clone(),
            version: self.machine.version,
            state: self.state_name().clone(),
            ctx: self.ctx_bytes(),
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
            last_event_id: self.event_id(),
            last_wal_offset: self.last_offset,
            timers: timers.map_or_else(Vec::new, |timers| self.timers(timers)),
            timers_suspended: timers.is_some_and(|timers| timers.suspended),
        }
    }
}
