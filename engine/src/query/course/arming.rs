//! What entering a state arms: each timer's due time, drawn once by the leader.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::refused::{failed, limit};
use super::{Course, text};
use crate::Refusal;
use crate::fact;
use crate::machine::definition::{TimerDefinition, TimerWhen};
use crate::machine::expression::{EvalFailure, EvalScope, EvalSteps, Expression, Why};
use crate::machine::span::TIME_MS_MAX;

/// A way to take a time from an expression.
type TakeTime<'c> =
    fn(&'c Expression, &mut EvalScope<'c>, &mut EvalSteps) -> Result<u64, EvalFailure>;

impl Course<'_> {
    /// The timers of a state that is entered with this context, ascending by name.
    pub(crate) fn arm(&mut self, state: u16, ctx: &Bytes) -> Result<Vec<fact::Timer>, Refusal> {
        let chart = self.chart;
        let timers = &chart.states[usize::from(state)].timers;
        let mut armed = Vec::with_capacity(timers.len());
        if timers.is_empty() {
            return Ok(armed);
        }
        let mut scope = self.scope(text(ctx)?, state);
        for (number, timer) in timers.iter().enumerate() {
            let key = timer.when.key();
            let place = || match &timer.event {
                Some(_) => format!("states[{state}].timers[{number}].{key}"),
                None => format!("states[{state}].{}", timer.name),
            };
            self.spend(1, place)?;
            match self.due_ms(timer, &mut scope) {
                Ok(due_ms) => armed.push(fact::Timer {
                    name: timer.name.to_string(),
                    due_ms,
                    refusals: 0,
                }),
                Err(failure) if failure.why == Why::Limit => return Err(limit(place())),
                Err(_) if timer.optional => {}
                Err(failure) => {
                    let why = format!("the timer has no usable time: {failure}");
                    return Err(failed(place(), why));
                }
            }
        }
        armed.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(armed)
    }

    /// When the timer fires if it is armed now. What is due already is due now.
    fn due_ms<'c>(
        &mut self,
        timer: &'c TimerDefinition,
        scope: &mut EvalScope<'c>,
    ) -> Result<u64, EvalFailure> {
        let now_ms = u64::try_from(self.names.now_ms).unwrap_or(0);
        let from_ms = now_ms.saturating_add(self.slack_ms);
        let span: TakeTime<'c> = Expression::span_ms;
        let time: TakeTime<'c> = Expression::time_ms;
        let due_ms = match &timer.when {
            TimerWhen::After(ms) => from_ms.saturating_add(*ms),
            TimerWhen::AfterValue(value) => {
                from_ms.saturating_add(span(value, scope, &mut self.steps)?)
            }
            TimerWhen::At(ms) => *ms,
            TimerWhen::AtValue(value) => time(value, scope, &mut self.steps)?,
        };
        let jitter_ms = match timer.jitter_ms {
            0 => 0,
            most => self.draw(&timer.name) % most.saturating_add(1),
        };
        let due_ms = due_ms.max(from_ms).saturating_add(jitter_ms);
        Ok(due_ms.min(TIME_MS_MAX))
    }

    /// A number that differs between instances, timers and times. It need not be secret, only spread.
    fn draw(&self, name: &str) -> u64 {
        let mut seed = Vec::with_capacity(64);
        for part in [self.names.machine, self.names.instance_id, name] {
            seed.extend_from_slice(&(part.len() as u64).to_le_bytes());
            seed.extend_from_slice(part.as_bytes());
        }
        seed.extend_from_slice(&self.names.now_ms.to_le_bytes());
        xxh3_64(&seed)
    }
}
