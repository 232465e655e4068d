//! ALLOWED_EVENTS: what each event of an instance's state would do.

use bytes::Bytes;

use super::StepBudget;
use crate::Refusal;
use crate::api::check_name;
use crate::api::reply::{AllowedEvent, AllowedEvents, Reply};
use crate::json::{Context, Object};
use crate::limits::{
    ALLOWED_EVENTS_MAX, ALLOWED_EXPLAINED_BYTES_MAX, GUARD_READ_BYTES_MAX, GUARD_STEPS_MAX,
};
use crate::machine::Rule;
use crate::machine::guard::{Budget, Room, Tried, explain};
use crate::view::{Current, View};

/// About how many bytes of a context and of guards take as long as one instance of a listing.
const BYTES_PER_STEP: usize = 512;

/// `None` when it takes too many steps.
pub(super) fn events(
    view: View<'_>,
    instance_id: &str,
    payloads: Option<&Bytes>,
    steps: &mut StepBudget,
) -> Result<Option<Reply>, Refusal> {
    check_name("instance_id", instance_id)?;
    check_payloads(payloads)?;
    let current = view
        .instance(instance_id)
        .ok_or_else(|| Refusal::InstanceNotFound {
            instance_id: instance_id.to_owned(),
        })?;
    let bytes = current.ctx().len() + current.machine.guard_bytes_of(current.state);
    if steps.take(bytes / BYTES_PER_STEP).is_none() {
        return Ok(None);
    }
    let events =
        current
            .machine
            .events(current.state)
            .map_err(|reason| Refusal::MachineNotUnderstood {
                machine: current.machine.name.to_string(),
                version: current.machine.version,
                reason: reason.to_owned(),
            })?;
    let mut ctx = Context::new(current.ctx(), None);
    let all = events.iter().flat_map(|(_, rules)| rules);
    let guards = all.filter_map(|rule| rule.guard.as_ref());
    guards.for_each(|guard| guard.want(&mut ctx));
    ctx.scan().map_err(|error| Refusal::BadRequest {
        field: None,
        message: format!("the instance's stored context is not a JSON object: {error}"),
    })?;
    let mut question = Question {
        current: &current,
        ctx: &ctx,
        spent: Budget::of_question(),
        room: Room::new(ALLOWED_EXPLAINED_BYTES_MAX),
    };
    let mut answers = Vec::new();
    let mut has_more = false;
    for (event, rules) in &events {
        if has_more || answers.len() == ALLOWED_EVENTS_MAX {
            has_more = true;
            break;
        }
        let (answer, goes_on) = question.event(event, rules);
        answers.push(answer);
        has_more = !goes_on && answers.len() < events.len();
    }
    Ok(Some(Reply::AllowedEvents(AllowedEvents {
        state: current.state_name().clone(),
        last_wal_offset: current.last_offset,
        events: answers,
        has_more,
    })))
}

/// Format 1 looks at no payload. All the same a wrong one is refused, as APPLY_EVENT would.
fn check_payloads(payloads: Option<&Bytes>) -> Result<(), Refusal> {
    let Some(text) = payloads.filter(|text| text.trim_ascii() != b"null") else {
        return Ok(());
    };
    let payloads = Object::parse(text).map_err(|fault| {
        Refusal::bad(
            "payloads",
            format!("payloads must be a JSON object or null: {fault}"),
        )
    })?;
    for (event, payload) in payloads.fields() {
        check_name("payloads", event)?;
        if payload != "null" && !payload.starts_with('{') {
            let problem = format!("payloads.{event} must be a JSON object or null");
            return Err(Refusal::bad(&format!("payloads.{event}"), problem));
        }
    }
    Ok(())
}

struct Question<'a> {
    current: &'a Current<'a>,
    ctx: &'a Context<'a>,
    /// What all events together may spend.
    spent: Budget,
    room: Room,
}

impl Question<'_> {
    /// What the event would do, and whether further events may be looked at.
    fn event(&mut self, event: &str, rules: &[&Rule]) -> (AllowedEvent, bool) {
        let mut answer = AllowedEvent {
            event: event.to_owned(),
            to_state: None,
            guards: Vec::new(),
            guards_left_out: 0,
        };
        // Each event has the budget that APPLY_EVENT would have.
        let mut budget = Budget::new();
        for rule in rules {
            let Some(guard) = &rule.guard else {
                answer.to_state = Some(self.current.machine.state_name(rule.to).clone());
                break;
            };
            let outcome = guard.holds(self.ctx, &mut budget);
            let holds = matches!(outcome, Ok(true));
            match explain(&**guard, holds, self.ctx, &mut self.room) {
                Some(tried) => answer.guards.push(Tried {
                    error: outcome.is_err().then(too_costly),
                    ..tried
                }),
                None => answer.guards_left_out += 1,
            }
            if outcome.is_err() {
                break;
            }
            if holds {
                answer.to_state = Some(self.current.machine.state_name(rule.to).clone());
                break;
            }
        }
        (answer, self.spent.take_spent(&budget))
    }
}

fn too_costly() -> String {
    format!(
        "the guards up to here take more than {GUARD_STEPS_MAX} steps or compare more than \
         {GUARD_READ_BYTES_MAX} bytes, so APPLY_EVENT refuses the event with BAD_REQUEST"
    )
}
