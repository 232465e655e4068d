//! AUTOMATION: pausing what the database does by itself, and resuming it.

use std::sync::Arc;

use super::{Decider, OpDecision};
use crate::Refusal;
use crate::api::command::SetAutomation;
use crate::api::reply::Reply;
use crate::fact::level::Feature;
use crate::fact::{self, Body};
use crate::limits::REASON_BYTES_MAX;

impl Decider<'_> {
    pub(in crate::decide) fn set_automation(
        self,
        set: &SetAutomation,
    ) -> Result<OpDecision, Refusal> {
        check(set)?;
        self.require(Feature::Automation)?;
        let present = self.view.automation();
        if present.paused == set.paused {
            return Ok(OpDecision::Answer {
                reply: Reply::Automation {
                    paused: present.paused,
                    since_ms: present.since_ms,
                    reason: Arc::from(present.reason),
                    wal_offset: None,
                },
                offset: None,
            });
        }
        let reason = set.reason.as_deref().unwrap_or_default();
        Ok(OpDecision::Write {
            body: Body::SetAutomation(fact::SetAutomation {
                paused: set.paused,
                reason: reason.to_owned(),
                skip_overdue: set.skip_overdue,
                shift_timers: set.shift_timers,
            }),
            reply: Reply::Automation {
                paused: set.paused,
                since_ms: self.time_ms,
                reason: Arc::from(reason),
                wal_offset: Some(self.offset),
            },
            machine: None,
        })
    }
}

fn check(set: &SetAutomation) -> Result<(), Refusal> {
    if let Some(reason) = &set.reason {
        if reason.len() > REASON_BYTES_MAX {
            let problem = format!(
                "reason is {} bytes long; at most {REASON_BYTES_MAX} are allowed",
                reason.len()
            );
            return Err(Refusal::bad("reason", problem));
        }
        let is_control = |c: char| c.is_control() && c != '\n' && c != '\t';
        if let Some(position) = reason.chars().position(is_control) {
            let problem = format!(
                "reason holds a control character at position {}; it must be printable text",
                position + 1
            );
            return Err(Refusal::bad("reason", problem));
        }
    }
    for (field, is_set) in [
        ("skip_overdue", set.skip_overdue),
        ("shift_timers", set.shift_timers),
    ] {
        if is_set && set.paused {
            let problem = format!("{field} is only for set \"running\", not for \"paused\"");
            return Err(Refusal::bad(field, problem));
        }
    }
    if set.skip_overdue && set.shift_timers {
        let problem = "shift_timers and skip_overdue are both true; only one of them can be";
        return Err(Refusal::bad("shift_timers", problem));
    }
    Ok(())
}
