//! TIMER_SET: timers are set, moved, disarmed or resumed without an event.

use std::sync::Arc;

use super::{Decider, Moves, TimersChange, normal};
use crate::Refusal;
use crate::api::check_name;
use crate::api::command::{ApplyEvent, SetTimers};
use crate::api::reply::{Reply, TimerView};
use crate::decide::idempotency::{KeyCheck, ParamsHash};
use crate::decide::{OpDecision, check_expected};
use crate::fact::level::Feature;
use crate::fact::{self, Body};
use crate::json::check;
use crate::machine::Machine;
use crate::state::{KeyFound, Scope};
use crate::view::Current;

impl Decider<'_> {
    pub(in crate::decide) fn set_timers(self, set: &SetTimers) -> Result<OpDecision, Refusal> {
        self.require(Feature::Timers)?;
        self.check_id("instance_id", &set.instance_id)?;
        if let Some(state) = &set.expected_state {
            check_name("expected_state", state)?;
        }
        let moves = Moves::read(set.timers.as_ref())?;
        let scope = Scope::SetTimers(&set.instance_id);
        let key = match self.key(set.idempotency_key.as_deref(), scope, || params(set))? {
            KeyCheck::Seen(found) => return Ok(self.replay(found, None)),
            KeyCheck::New(key) => key,
        };
        let current = self.current(&set.instance_id)?;
        let expected = ApplyEvent {
            expected_state: set.expected_state.clone(),
            expected_wal_offset: set.expected_wal_offset,
            ..ApplyEvent::default()
        };
        check_expected(&expected, &current)?;
        let of_state = |name: &str| has_timer(current.machine, current.state, name);
        let before = self.view.timers(&set.instance_id);
        let mut after =
            self.timers_after(&set.instance_id, TimersChange::default(), &moves, of_state)?;
        if set.resume && before.as_ref().is_some_and(|timers| timers.suspended) {
            let mut timers = after.or_else(|| before.as_deref().cloned());
            if let Some(timers) = &mut timers {
                timers.suspended = false;
                (timers.minute_ms, timers.firings) = (0, 0);
                if timers.entry == self.offset {
                    timers.entry = 0;
                }
            }
            after = timers.and_then(|timers| normal(true, timers));
        }
        let reply = Reply::TimersSet {
            instance_id: Arc::from(set.instance_id.as_str()),
            timers: shown(&current, after.as_ref().or(before.as_deref())),
            applied: after.is_some(),
            wal_offset: after.is_some().then_some(self.offset),
        };
        let Some(timers) = after else {
            return Ok(OpDecision::Answer {
                reply,
                offset: None,
            });
        };
        Ok(OpDecision::Write {
            body: Body::SetTimers(fact::SetTimers {
                instance_id: set.instance_id.clone(),
                prev_offset: current.last_offset,
                timers: Some(timers),
                machine: current.machine.name.to_string(),
                version: current.machine.version,
                state: current.state_name().to_string(),
                key,
            }),
            reply,
            machine: None,
        })
    }

    /// The answer to a repetition of the call. The timers are those of now: no client may act on times that have passed.
    pub(in crate::decide) fn timers_set_before(self, found: KeyFound) -> Reply {
        let timers = self.view.timers(&found.instance_id);
        let current = self.view.instance(&found.instance_id);
        let timers = current.map(|current| shown(&current, timers.as_deref()));
        Reply::TimersSet {
            instance_id: found.instance_id,
            timers: timers.unwrap_or_default(),
            applied: false,
            wal_offset: Some(found.offset),
        }
    }
}

fn shown(current: &Current<'_>, timers: Option<&fact::Timers>) -> Vec<TimerView> {
    timers.map_or_else(Vec::new, |timers| current.timers(timers))
}

fn params(set: &SetTimers) -> ParamsHash {
    ParamsHash::default()
        .number(set.timers.as_ref().and_then(|timers| check(timers).ok()))
        .number(Some(u64::from(set.resume)))
        .text(set.expected_state.as_deref())
        .number(set.expected_wal_offset)
}

/// Refuses a timer that a state does not have.
pub(crate) fn has_timer(machine: &Machine, state: u16, name: &str) -> Result<(), Refusal> {
    if machine.timer(state, name).is_some() {
        return Ok(());
    }
    let name: String = name.chars().take(64).collect();
    let problem = format!(
        "state {:?} of machine {:?} version {} has no timer {name:?}",
        machine.state_name(state),
        machine.name,
        machine.version
    );
    Err(Refusal::bad("timers", problem))
}
