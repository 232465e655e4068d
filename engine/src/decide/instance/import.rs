//! CREATE_INSTANCE of an instance that comes from elsewhere, in the state that it has there.
//!
//! No guard, no `always` and no action runs, and nothing is emitted: the other system has done this work. The rules for
//! every instance hold for this one, too: its state exists and an instance can rest in it, its context gets the
//! defaults of the machine, and the schema must hold. Its timers are armed as if it had just entered its state.

use super::{ObjectParam, arrived_at};
use crate::Refusal;
use crate::api::command::{CreateInstance, Import};
use crate::decide::Decider;
use crate::fact;
use crate::fact::level::Feature;
use crate::limits::IMPORT_AHEAD_MS_MAX;
use crate::machine::Machine;
use crate::nearest::did_you_mean;
use crate::query::course::{Arrived, not_understood};

impl Decider<'_> {
    /// The state in which a new instance comes to rest, its context there, and what it brings along.
    pub(super) fn arrived(
        self,
        create: &CreateInstance,
        machine: &Machine,
        ctx: Option<&ObjectParam<'_>>,
    ) -> Result<(Arrived, Option<fact::Imported>), Refusal> {
        let Some(import) = &create.import else {
            return Ok((self.begun(create, machine, ctx)?, None));
        };
        self.require(Feature::Import)?;
        let imported = self.times_of(import)?;
        let state = machine.state_number(&import.state).ok_or_else(|| {
            let known = machine.states.iter().map(|name| &**name);
            let problem = format!(
                "machine {:?} version {} has no state {:?}{}",
                machine.name,
                machine.version,
                import.state,
                did_you_mean(&import.state, known)
            );
            Refusal::bad("initial_state", problem)
        })?;
        let chart = machine
            .chart()
            .map_err(|reason| not_understood(machine, reason))?;
        let Some(chart) = chart else {
            return Ok((arrived_at(state, ctx), Some(imported)));
        };
        let always = &chart.states[usize::from(state)].always;
        if always.iter().any(|always| always.guard.is_none()) {
            let problem = format!(
                "no instance rests in {:?}: its `always` leaves it at once",
                import.state
            );
            return Err(Refusal::bad("initial_state", problem));
        }
        let headers = self.headers();
        let mut course = self.course(create, machine, chart, &headers);
        let arrived = course.import(state, ctx.map(|ctx| &ctx.object))?;
        Ok((arrived, Some(imported)))
    }

    /// The times as the fact holds them. A time that is not before the decision is that of the entry.
    fn times_of(self, import: &Import) -> Result<fact::Imported, Refusal> {
        let now_ms = self.time_ms;
        let updated_ms = import.updated_ms.unwrap_or(now_ms);
        let created_ms = import.created_ms.unwrap_or(updated_ms);
        for (field, ms) in [("updated_at", updated_ms), ("created_at", created_ms)] {
            if ms == 0 || ms > now_ms.saturating_add(IMPORT_AHEAD_MS_MAX) {
                let problem = format!(
                    "{field} is {ms}; Unix milliseconds from 1 to the present are allowed, and {IMPORT_AHEAD_MS_MAX} more"
                );
                return Err(Refusal::bad(field, problem));
            }
        }
        if created_ms > updated_ms {
            let problem =
                format!("created_at is {created_ms}, later than updated_at, {updated_ms}");
            return Err(Refusal::bad("created_at", problem));
        }
        let before = |ms| if ms < now_ms { ms } else { 0 };
        Ok(fact::Imported {
            created_ms: before(created_ms),
            updated_ms: before(updated_ms),
        })
    }
}
