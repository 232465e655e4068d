//! A timer fires: the leader finds it due, and submits this command to itself.
//!
//! A firing takes effect once: its fact names the instance's previous fact. So if two nodes believe that they lead and
//! both decide it, the second fact is stale. A firing is decided on the timers that are armed at that moment. If the
//! timer was moved or disarmed meanwhile, the firing finds no such timer.

use crate::Refusal;
use crate::api::command::{ApplyEvent, DeleteInstance, FireTimer};
use crate::api::reply::{Firing, Reply};
use crate::decide::{Decider, OpDecision};
use crate::fact::{self, Body, Fired, planted};
use crate::limits::SPENT_MESSAGE_BYTES_MAX;
use crate::machine::definition::TimerDefinition;
use crate::view::Current;

use super::{Moves, TimersChange};

/// Why a timer was spent although no event was refused.
const LATE: &str = "LATE";
const SKIPPED: &str = "SKIPPED";

/// Why an event was not applied.
struct Reason {
    code: &'static str,
    message: String,
    /// The event was refused, so the timer fires again if the definition has `retry`.
    refused: bool,
}

impl Decider<'_> {
    pub(in crate::decide) fn fire_timer(self, fire: &FireTimer) -> Result<OpDecision, Refusal> {
        let armed = self.view.timers(&fire.instance_id);
        let is_it = |timer: &&fact::Timer| timer.name == fire.name && timer.due_ms == fire.due_ms;
        let armed = armed.filter(|timers| timers.entry == fire.entry);
        let refusals = armed
            .as_ref()
            .and_then(|timers| match timers.armed.iter().find(is_it) {
                None if planted::fires_again() => Some(0),
                timer => Some(timer?.refusals),
            });
        let current = self.view.instance(&fire.instance_id);
        let (Some(timers), Some(refusals), Some(current)) = (armed, refusals, current) else {
            return Ok(nothing(Firing::Void));
        };
        let automation = self.view.automation();
        let waits = automation.paused || self.view.automation_in_flight() || timers.suspended;
        let is_early = fire.due_ms > self.time_ms && !planted::fires_early();
        if waits || is_early {
            return Ok(nothing(Firing::Waits));
        }
        let Some(timer) = current.machine.timer(current.state, &fire.name) else {
            return Ok(nothing(Firing::NotUnderstood));
        };
        let fired = Fired {
            name: fire.name.clone(),
            due_ms: fire.due_ms,
            entry: fire.entry,
        };
        let late_ms = self.time_ms.saturating_sub(fire.due_ms);
        // Kept times, so that a later shift does not change which timers were skipped.
        let kept_ms = fire.due_ms.saturating_sub(automation.shift_ms);
        let too_late = if kept_ms < automation.skip_below_ms {
            let message = "it became due while automation was paused, and was skipped".to_owned();
            Some((SKIPPED, message))
        } else {
            let is_late = timer.late_max_ms.filter(|most| late_ms > *most);
            is_late.map(|most| (LATE, format!("{late_ms} ms late; {most} ms are allowed")))
        };
        let reason = match too_late {
            Some((code, message)) => Reason {
                code,
                message,
                refused: false,
            },
            None => match self.take_effect(timer, &fired, &current) {
                Ok(done) => return Ok(done),
                Err(Refusal::MachineNotUnderstood { .. }) => {
                    return Ok(nothing(Firing::NotUnderstood));
                }
                Err(refusal) => Reason {
                    code: refusal.code(),
                    message: cut(refusal.to_string()),
                    refused: true,
                },
            },
        };
        self.spend(timer, fired, refusals, &current, reason)
    }

    /// Applies the event, or deletes the instance.
    fn take_effect(
        self,
        timer: &TimerDefinition,
        fired: &Fired,
        current: &Current<'_>,
    ) -> Result<OpDecision, Refusal> {
        let instance_id = current.id().to_string();
        let decision = match &timer.event {
            None => {
                let delete = DeleteInstance {
                    instance_id,
                    ..DeleteInstance::default()
                };
                self.deletion(&delete, Some(fired.clone()))?
            }
            Some(event) => {
                let apply = ApplyEvent {
                    instance_id,
                    event: event.to_string(),
                    payload: timer.payload.clone(),
                    ..ApplyEvent::default()
                };
                self.event(&apply, Some(fired.clone()))?
            }
        };
        Ok(match decision {
            OpDecision::Write { body, machine, .. } => OpDecision::Write {
                body,
                reply: Reply::Fired(Firing::Done),
                machine,
            },
            answer @ OpDecision::Answer { .. } => answer,
        })
    }

    /// Writes that the timer had no effect. Without this fact the leader would try the timer again for ever.
    fn spend(
        self,
        timer: &TimerDefinition,
        fired: Fired,
        refusals: u32,
        current: &Current<'_>,
        reason: Reason,
    ) -> Result<OpDecision, Refusal> {
        let retry = timer
            .retry
            .filter(|retry| reason.refused && refusals < retry.times);
        let instance_id = current.id().to_string();
        let change = TimersChange {
            armed: None,
            fired: Some(fired.clone()),
        };
        let after = self.timers_after(&instance_id, change, &Moves::default(), |_| Ok(()))?;
        let from_ms = self.time_ms.saturating_add(self.slack_ms);
        let timers = after.map(|mut after| {
            if let Some(retry) = retry {
                self.arm_again(
                    &mut after,
                    &instance_id,
                    fact::Timer {
                        name: fired.name.clone(),
                        due_ms: from_ms.saturating_add(retry.after_ms),
                        refusals: refusals + 1,
                    },
                );
            }
            after
        });
        Ok(OpDecision::Write {
            body: Body::TimerSpent(fact::TimerSpent {
                instance_id,
                prev_offset: current.last_offset,
                fired: Some(fired),
                event: timer.event.as_deref().unwrap_or_default().to_owned(),
                code: reason.code.to_owned(),
                message: reason.message,
                timers,
                machine: current.machine.name.to_string(),
                version: current.machine.version,
                state: current.state_name().to_string(),
            }),
            reply: Reply::Fired(Firing::Spent),
            machine: None,
        })
    }

    /// Adds a timer to those that are left. The others' entry and count stay, also where it was the only one.
    fn arm_again(self, timers: &mut fact::Timers, instance_id: &str, timer: fact::Timer) {
        if timers.armed.is_empty()
            && let Some(before) = self.view.timers(instance_id)
        {
            let entry = match before.entry == self.offset {
                true => 0,
                false => before.entry,
            };
            *timers = fact::Timers {
                entry,
                armed: Vec::new(),
                shift_ms: timers.shift_ms,
                ..(*before).clone()
            };
            self.count(timers);
        }
        timers.armed.push(timer);
        timers
            .armed
            .sort_unstable_by(|one, other| one.name.cmp(&other.name));
    }
}

fn nothing(firing: Firing) -> OpDecision {
    OpDecision::Answer {
        reply: Reply::Fired(firing),
        offset: None,
    }
}

/// The beginning of a long text.
fn cut(mut text: String) -> String {
    if text.len() > SPENT_MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SPENT_MESSAGE_BYTES_MAX));
        text.push('…');
    }
    text
}
