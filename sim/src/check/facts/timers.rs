//! What facts say of timers.

use rstmdb_engine::fact;

use super::{Facts, Wrong};
use crate::check::timers::{Armed, Change};
use crate::machines::Machine;

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
        machine: Machine,
        offset: u64,
    ) -> Result<(), Wrong> {
        self.timers.take(Change {
            id: &create.instance_id,
            entered: Some((machine, &create.state)),
            fired: None,
            timers: create.timers.as_ref(),
            offset,
            time_ms: self.time_ms,
        })
    }

    /// Takes what an event does to timers; gives the event's name.
    pub(super) fn fire(
        &mut self,
        apply: &fact::ApplyEvent,
        machine: Machine,
        offset: u64,
    ) -> Result<String, Wrong> {
        let entered = apply.to_state != apply.from_state || machine.reenters(&apply.event);
        self.timers.take(Change {
            id: &apply.instance_id,
            entered: entered.then_some((machine, &*apply.to_state)),
            fired: apply.fired.as_ref(),
            timers: apply.timers.as_ref(),
            offset,
            time_ms: self.time_ms,
        })?;
        Ok(match &apply.fired {
            Some(fired) => name_of(&apply.instance_id, fired),
            None => apply.event_id.clone().unwrap_or_default(),
        })
    }

    /// Takes a timer that had no effect.
    pub(super) fn spend(&mut self, spent: &fact::TimerSpent, offset: u64) -> Result<(), Wrong> {
        let id = &spent.instance_id;
        let before = self.versions.get(id).and_then(|versions| versions.last());
        let stand = before.and_then(|version| version.stand.clone());
        let stand = stand.ok_or("the instance is not there")?;
        let refused = stand
            .machine
            .event(&stand.state, &spent.event, &stand.ctx, None);
        if refused.is_ok() || spent.state != stand.state {
            return Err(format!(
                "in state {} the model says {refused:?}",
                stand.state
            ));
        }
        self.timers.take_spent(spent, offset, self.time_ms)?;
        let fired = spent.fired.as_ref().ok_or("it names no timer")?;
        self.name(&name_of(id, fired), offset)?;
        self.version(id, offset, Some(stand));
        Ok(())
    }
}

/// A firing is named once.
fn name_of(id: &str, fired: &fact::Fired) -> String {
    format!(
        "{id}: {} of {} due {}",
        fired.name, fired.entry, fired.due_ms
    )
}
