//! What decisions do to the timers of an instance: arming, moving, disarming, and counting firings.

mod fire;
mod moves;
mod set;

use crate::Refusal;
use crate::fact::{self, Fired};
use crate::limits::{FIRINGS_MAX, FIRINGS_MS};

use super::Decider;
pub(super) use moves::Moves;
pub(super) use set::has_timer;

/// What a decision does to the timers of an instance.
#[derive(Default)]
pub(super) struct TimersChange {
    /// The timers of the state that was entered; `None` where none was.
    pub(super) armed: Option<Vec<fact::Timer>>,
    /// The timer that has fired.
    pub(super) fired: Option<Fired>,
}

impl TimersChange {
    pub(super) fn new(armed: Option<Vec<fact::Timer>>, fired: Option<Fired>) -> Self {
        Self { armed, fired }
    }
}

impl Decider<'_> {
    /// All timers of an instance after a decision, as its fact holds them; `None` where they stay as they are.
    ///
    /// `moves` are made in `state`, the one in which the instance then is.
    pub(super) fn timers_after(
        self,
        instance_id: &str,
        change: TimersChange,
        moves: &Moves,
        of_state: impl Fn(&str) -> Result<(), Refusal>,
    ) -> Result<Option<fact::Timers>, Refusal> {
        if change.armed.is_none() && change.fired.is_none() && moves.is_empty() {
            return Ok(None);
        }
        let before = self.view.timers(instance_id);
        let mut after = match &before {
            Some(before) => (**before).clone(),
            None => fact::Timers::default(),
        };
        after.shift_ms = self.view.state.shift_ms();
        if let Some(fired) = &change.fired {
            after.armed.retain(|timer| timer.name != fired.name);
            self.count(&mut after);
        }
        if let Some(armed) = change.armed {
            after.armed = armed;
            after.entry = 0;
        }
        if before.is_none() || after.entry == self.offset {
            after.entry = 0;
        }
        for (name, due_ms) in moves.due(self.time_ms, self.slack_ms) {
            of_state(name)?;
            after.armed.retain(|timer| timer.name != *name);
            if let Some(due_ms) = due_ms {
                after.armed.push(fact::Timer {
                    name: name.to_owned(),
                    due_ms,
                    refusals: 0,
                });
            }
        }
        after
            .armed
            .sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(normal(before.is_some(), after))
    }

    /// Counts a firing. Too many in a minute suspend the timers of the instance: a loop must not fill the log.
    fn count(self, timers: &mut fact::Timers) {
        let in_minute = self.time_ms.saturating_sub(timers.minute_ms) < FIRINGS_MS;
        match in_minute && timers.firings > 0 {
            true => timers.firings = timers.firings.saturating_add(1),
            false => (timers.minute_ms, timers.firings) = (self.time_ms, 1),
        }
        timers.suspended |= timers.firings > FIRINGS_MAX;
    }
}

/// What a fact holds: nothing where nothing was armed and nothing is, and of an empty set only that it is empty.
pub(super) fn normal(armed_before: bool, after: fact::Timers) -> Option<fact::Timers> {
    if !after.armed.is_empty() {
        return Some(after);
    }
    armed_before.then_some(fact::Timers {
        shift_ms: after.shift_ms,
        ..fact::Timers::default()
    })
}
