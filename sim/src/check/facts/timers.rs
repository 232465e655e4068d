//! What facts say of timers.

use rstmdb_engine::fact::{self, Key};
use serde_json::{Map, Value};

use super::{EntryFault, Facts, ShownEvent, ShownKind};
use crate::check::timers::{Armed, TimersFact, WantedTimers};
use crate::machines::TestMachine;

/// Where a payload says what its client wants of the timers. So the log has it.
pub const MOVES: &str = "moves";

impl Facts {
    /// The timers that are armed.
    #[must_use]
    pub fn timers(&self) -> &Armed {
        &self.timers
    }

    /// The time of the last entry.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    pub(super) fn arm(
        &mut self,
        create: &fact::CreateInstance,
        machine: TestMachine,
        offset: u64,
    ) -> Result<(), EntryFault> {
        self.timers.take(TimersFact {
            id: &create.instance_id,
            machine,
            entered: Some(&create.state),
            fired: None,
            moves: &WantedTimers::default(),
            timers: create.timers.as_ref(),
            offset,
            time_ms: self.time_ms,
        })
    }

    /// Takes what an event does to timers; gives the event's name.
    pub(super) fn fire(
        &mut self,
        apply: &fact::ApplyEvent,
        machine: TestMachine,
        payload: Option<&Map<String, Value>>,
        offset: u64,
    ) -> Result<String, EntryFault> {
        let entered = apply.to_state != apply.from_state || machine.reenters(&apply.event);
        self.timers.take(TimersFact {
            id: &apply.instance_id,
            machine,
            entered: entered.then_some(&*apply.to_state),
            fired: apply.fired.as_ref(),
            moves: &WantedTimers::read(payload.and_then(|payload| payload.get(MOVES))),
            timers: apply.timers.as_ref(),
            offset,
            time_ms: self.time_ms,
        })?;
        Ok(match &apply.fired {
            Some(fired) => name_of(&apply.instance_id, fired),
            None => apply.event_id.clone().unwrap_or_default(),
        })
    }

    /// Takes timers that a client has moved without an event. The reason of the write says what it wants.
    pub(super) fn move_timers(
        &mut self,
        set: &fact::SetTimers,
        offset: u64,
    ) -> Result<(), EntryFault> {
        let id = &set.instance_id;
        let stand = self.stand(id)?;
        let wanted = self.reason.as_deref().unwrap_or_default();
        let wanted = rstmdb_rcp::json::value(wanted);
        let wanted = wanted.map_err(|_| "its client says nothing of timers")?;
        self.timers.take(TimersFact {
            id,
            machine: stand.machine,
            entered: None,
            fired: None,
            moves: &WantedTimers::read(Some(&wanted)),
            timers: set.timers.as_ref(),
            offset,
            time_ms: self.time_ms,
        })?;
        self.remember_key(set.key.as_ref(), offset);
        if set.state != stand.state {
            return Err(format!("it is in state {}", stand.state));
        }
        self.version(id, offset, Some(stand));
        Ok(())
    }

    /// Takes a timer that had no effect.
    pub(super) fn spend(
        &mut self,
        spent: &fact::TimerSpent,
        offset: u64,
    ) -> Result<(), EntryFault> {
        let id = &spent.instance_id;
        let stand = self.stand(id)?;
        if spent.state != stand.state {
            return Err(format!("it is in state {}", stand.state));
        }
        let refused = stand
            .machine
            .event(&stand.state, &spent.event, &stand.ctx, None)
            .err()
            // A timer that would have deleted the instance has no event.
            .filter(|_| !spent.event.is_empty());
        let refused = refused.map(|refusal| refusal.code());
        self.timers
            .take_spent(spent, stand.machine, refused, offset, self.time_ms)?;
        let fired = spent.fired.as_ref().ok_or("it names no timer")?;
        let tag = name_of(id, fired);
        self.name(&tag, offset)?;
        self.events.push(ShownEvent {
            kind: ShownKind::Spent,
            offset,
            instance: id.clone(),
            tag,
            states: [spent.state.clone(), String::new()],
            ctx: Vec::new(),
            said: None,
        });
        self.version(id, offset, Some(stand));
        Ok(())
    }

    /// How an instance stands that must be there.
    fn stand(&self, id: &str) -> Result<super::InstanceStand, EntryFault> {
        let before = self.versions.get(id).and_then(|versions| versions.last());
        let stand = before.and_then(|version| version.stand.clone());
        stand.ok_or_else(|| "the instance is not there".to_owned())
    }
}

/// A firing is named once.
#[must_use]
pub fn name_of(id: &str, fired: &fact::Fired) -> String {
    format!(
        "{id}: {} of {} due {}",
        fired.name, fired.entry, fired.due_ms
    )
}

/// What a creation is called. Fuses are created again and again, each time with another key.
pub(super) fn name_of_creation(machine: TestMachine, id: &str, key: Option<&Key>) -> String {
    match key {
        Some(key) if machine == TestMachine::Fuse => key.key.clone(),
        _ => id.to_owned(),
    }
}
