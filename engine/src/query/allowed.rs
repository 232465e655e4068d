//! ALLOWED_EVENTS: what each event of an instance's state would do.

mod chart;

use bytes::Bytes;

use super::StepBudget;
use super::course::not_understood;
use crate::Refusal;
use crate::api::command::Asker;
use crate::api::reply::{AllowedEvent, AllowedEvents, Reply};
use crate::api::{check_headers, check_id, check_name};
use crate::fact::{Header, headers_json};
use crate::json::{Context, JsonObject};
use crate::limits::{
    ALLOWED_EVENTS_MAX, ALLOWED_EXPLAINED_BYTES_MAX, GUARD_READ_BYTES_MAX, GUARD_STEPS_MAX,
};
use crate::machine::TransitionRule;
use crate::machine::definition::Condition;
use crate::machine::expression::ScopeNames;
use crate::machine::guard::{ExplainRoom, GuardBudget, Tried, explain};
use crate::view::{Current, View};

/// About how many bytes of a context and of guards take as long as one instance of a listing.
const BYTES_PER_STEP: usize = 512;

/// An event with its transitions from the instance's state.
type EventRules<'a> = (&'a str, Vec<&'a TransitionRule>);

/// What the events would come with, and who would send them.
pub(super) struct AskedEvents<'a> {
    pub(super) payloads: Option<&'a Bytes>,
    pub(super) headers: &'a [Header],
    pub(super) asker: &'a Asker,
}

/// `None` when it takes too many steps.
pub(super) fn events(
    view: View<'_>,
    instance_id: &str,
    asked: &AskedEvents<'_>,
    steps: &mut StepBudget,
) -> Result<Option<Reply>, Refusal> {
    check_id("instance_id", instance_id)?;
    check_headers(asked.headers)?;
    let payloads = read_payloads(asked.payloads)?;
    let current = view
        .instance(instance_id)
        .ok_or_else(|| Refusal::InstanceNotFound {
            instance_id: instance_id.to_owned(),
        })?;
    let bytes = current.ctx().len() + current.machine.guard_bytes_of(current.state);
    if steps.take(bytes / BYTES_PER_STEP).is_none() {
        return Ok(None);
    }
    let unknown = |reason: &str| not_understood(current.machine, reason);
    let events = current.machine.events(current.state).map_err(unknown)?;
    let (answers, has_more) = match current.machine.chart().map_err(unknown)? {
        Some(chart) => {
            let headers = headers_json(asked.headers);
            let said = chart::WriteSaid {
                payloads,
                headers: &headers,
                names: ScopeNames {
                    now_ms: now_ms(view, asked.asker),
                    state: "",
                    instance_id,
                    machine: &current.machine.name,
                    actor: &asked.asker.actor,
                },
            };
            let timers = view.timers(instance_id);
            chart::answers((&current, timers.as_deref()), chart, &events, &said)?
        }
        None => answers(&current, &events)?,
    };
    Ok(Some(Reply::AllowedEvents(AllowedEvents {
        state: current.state_name().clone(),
        last_wal_offset: current.last_offset,
        events: answers,
        has_more,
    })))
}

/// The time that a decision at this moment would have: never earlier than the last one in the log.
fn now_ms(view: View<'_>, asker: &Asker) -> i64 {
    i64::try_from(asker.now_ms.max(view.state.last_time_ms())).unwrap_or(i64::MAX)
}

/// What the events of a machine of format 1 would do, and whether there are more. No guard sees a payload.
fn answers(
    current: &Current<'_>,
    events: &[EventRules<'_>],
) -> Result<(Vec<AllowedEvent>, bool), Refusal> {
    let mut ctx = Context::new(current.ctx(), None);
    let all = events.iter().flat_map(|(_, rules)| rules);
    let guards = all.filter_map(|rule| guard(rule));
    guards.for_each(|guard| guard.want(&mut ctx));
    ctx.scan().map_err(|error| Refusal::BadRequest {
        field: None,
        message: format!("the instance's stored context is not a JSON object: {error}"),
    })?;
    let mut question = EventsQuestion {
        current,
        ctx: &ctx,
        spent: GuardBudget::of_question(),
        room: ExplainRoom::new(ALLOWED_EXPLAINED_BYTES_MAX),
    };
    collect(events, |(event, rules)| Ok(question.event(event, rules)))
}

/// The answers to the first events: `ask` tells whether further events may be looked at.
fn collect<'e, 'a>(
    events: &'e [EventRules<'a>],
    mut ask: impl FnMut(&'e EventRules<'a>) -> Result<(AllowedEvent, bool), Refusal>,
) -> Result<(Vec<AllowedEvent>, bool), Refusal> {
    let mut answers = Vec::new();
    for event in events.iter().take(ALLOWED_EVENTS_MAX) {
        let (answer, goes_on) = ask(event)?;
        answers.push(answer);
        if !goes_on {
            break;
        }
    }
    let has_more = answers.len() < events.len();
    Ok((answers, has_more))
}

/// The payloads by event. A wrong one is refused, as APPLY_EVENT would.
fn read_payloads(payloads: Option<&Bytes>) -> Result<Option<JsonObject<'_>>, Refusal> {
    let Some(text) = payloads.filter(|text| text.trim_ascii() != b"null") else {
        return Ok(None);
    };
    let payloads = JsonObject::parse(text).map_err(|fault| {
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
    Ok(Some(payloads))
}

fn guard(rule: &TransitionRule) -> Option<&crate::machine::guard::Guard> {
    match &rule.guard {
        Some(Condition::Guard(guard)) => Some(guard),
        _ => None,
    }
}

struct EventsQuestion<'a> {
    current: &'a Current<'a>,
    ctx: &'a Context<'a>,
    /// What all events together may spend.
    spent: GuardBudget,
    room: ExplainRoom,
}

impl EventsQuestion<'_> {
    /// What the event would do, and whether further events may be looked at.
    fn event(&mut self, event: &str, rules: &[&TransitionRule]) -> (AllowedEvent, bool) {
        let mut answer = AllowedEvent::new(event);
        // Each event has the budget that APPLY_EVENT would have.
        let mut budget = GuardBudget::new();
        for rule in rules {
            let Some(guard) = guard(rule) else {
                answer.to_state = Some(self.current.machine.state_name(rule.to).clone());
                break;
            };
            let outcome = guard.holds(self.ctx, &mut budget);
            let holds = matches!(outcome, Ok(true));
            let tried = explain(guard, holds, self.ctx, &mut self.room);
            answer.show(tried.map(|tried| Tried {
                error: outcome.is_err().then(too_costly),
                ..tried
            }));
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
