//! The transitions without an event: until none holds, the decision goes on.

use bytes::Bytes;

use super::refused::limited;
use super::{Arrived, Course, text};
use crate::Refusal;
use crate::api::reply::AlwaysTried;
use crate::fact::planted;
use crate::json::JsonObject;
use crate::limits::ALWAYS_STEPS_MAX;
use crate::machine::expression::{EvalScope, Expression};
use crate::machine::guard::{ExplainRoom, explain_attempt};

/// What the guards of `always` have read, state by state.
pub(crate) struct AlwaysReads {
    pub(crate) room: ExplainRoom,
    pub(crate) always: Vec<AlwaysTried>,
    /// How many are not shown.
    pub(crate) left_out: usize,
}

impl Course<'_> {
    /// Tells what the guards of `always` read, as far as there is room.
    pub(crate) fn tell(&mut self, room: ExplainRoom) {
        self.told = Some(AlwaysReads {
            room,
            always: Vec::new(),
            left_out: 0,
        });
    }

    /// What was told.
    pub(crate) fn into_told(self) -> Option<AlwaysReads> {
        self.told
    }

    /// Takes `always` transitions until none holds. `entered`: the state was just entered.
    pub(super) fn rest(
        &mut self,
        mut state: u16,
        mut ctx: Bytes,
        mut entered: bool,
    ) -> Result<Arrived, Refusal> {
        while let Some((to, after)) = self.lead_on(state, &ctx)? {
            if self.via.len() == ALWAYS_STEPS_MAX {
                return Err(Refusal::ExpressionLimit {
                    place: format!("states[{state}].always"),
                    why: format!("more than {ALWAYS_STEPS_MAX} transitions without an event"),
                });
            }
            self.via.push(state);
            entered |= to != state;
            (state, ctx) = (to, after);
        }
        self.stay(state, ctx, entered || planted::rearms())
    }

    /// A new instance in the state that it has elsewhere: it stays there, and emits nothing.
    pub(crate) fn import(
        &mut self,
        state: u16,
        ctx: Option<&JsonObject<'_>>,
    ) -> Result<Arrived, Refusal> {
        let ctx = self.first_ctx(ctx)?;
        self.stay(state, ctx, true)
    }

    /// Checks the context of an instance that comes to rest, and arms the timers of a state that was `entered`.
    fn stay(&mut self, state: u16, ctx: Bytes, entered: bool) -> Result<Arrived, Refusal> {
        if let Some(schema) = &self.chart.schema {
            let text = text(&ctx)?;
            self.check(schema, "context", text)?;
        }
        let armed = match entered {
            true => Some(self.arm(state, &ctx)?),
            false => None,
        };
        let name = |state: &u16| self.machine.state_name(*state).to_string();
        Ok(Arrived {
            armed,
            to: state,
            ctx,
            via: self.via.iter().map(name).collect(),
            emits: self.emits.iter().map(|name| name.to_string()).collect(),
        })
    }

    /// One `always` transition out of a state, where one holds.
    fn lead_on(&mut self, state: u16, ctx: &Bytes) -> Result<Option<(u16, Bytes)>, Refusal> {
        let chart = self.chart;
        let all = &chart.states[usize::from(state)].always;
        if all.is_empty() {
            return Ok(None);
        }
        if let Some(told) = &mut self.told {
            // Without room for the name there is none for what is tried in this state either.
            let name = self.machine.state_name(state);
            if told.room.take(name.len()) {
                told.always.push(AlwaysTried {
                    state: name.to_string(),
                    guards: Vec::new(),
                });
            }
        }
        let place = |number: usize| format!("states[{state}].always[{number}]");
        let mut scope = self.scope(text(ctx)?, state);
        for (number, always) in all.iter().enumerate() {
            self.spend(1, || place(number))?;
            let holds = match &always.guard {
                None => true,
                Some(guard) => {
                    let here = || format!("{}.guard", place(number));
                    self.leads_on(guard, &mut scope, here)?
                }
            };
            if !holds {
                continue;
            }
            let edits = self.edits(&always.actions, &mut scope, || place(number))?;
            let after = self.edited(ctx.clone(), &edits, &place(number))?;
            self.emit(&always.actions.emit)?;
            if always.to != state {
                self.emit(&chart.states[usize::from(always.to)].emit)?;
            }
            return Ok(Some((always.to, after)));
        }
        Ok(None)
    }

    /// [`Course::holds`] for a guard of `always`, of which may be told.
    fn leads_on<'c>(
        &mut self,
        guard: &'c Expression,
        scope: &mut EvalScope<'c>,
        place: impl Fn() -> String,
    ) -> Result<bool, Refusal> {
        let Some(told) = &mut self.told else {
            return Ok(self.holds(guard, scope, place)?.unwrap_or(false));
        };
        let attempt = guard.attempt(scope, &mut self.steps);
        let tried = explain_attempt(&attempt, &mut told.room);
        match (tried, told.always.last_mut()) {
            (Some(tried), Some(state)) => state.guards.push(tried),
            _ => told.left_out += 1,
        }
        Ok(limited(attempt.holds, place)?.unwrap_or(false))
    }
}
