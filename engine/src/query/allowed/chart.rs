//! What the events of a machine of format 2 would do: the whole way, with the payload that is given for each.

use super::{Event, collect};
use crate::Refusal;
use crate::api::reply::AllowedEvent;
use crate::json::Object;
use crate::limits::{ALLOWED_EXPLAINED_BYTES_MAX, ALLOWED_STEPS_MAX, EXPRESSION_STEPS_MAX};
use crate::machine::Rule;
use crate::machine::definition::{Chart, Condition};
use crate::machine::expression::{Names, Scope, Steps};
use crate::machine::guard::{Room, explain_attempt};
use crate::query::course::{Course, Payload};
use crate::view::{Current, View};

/// A question has no metadata, so it has no headers.
const NO_HEADERS: &str = "{}";

/// The answers, and whether there are more events.
pub(super) fn answers(
    view: View<'_>,
    instance_id: &str,
    current: &Current<'_>,
    chart: &Chart,
    events: &[Event<'_>],
    payloads: Option<Object<'_>>,
) -> Result<(Vec<AllowedEvent>, bool), Refusal> {
    let names = Names {
        now_ms: i64::try_from(view.state.last_time_ms()).unwrap_or(i64::MAX),
        state: "",
        instance_id,
        machine: &current.machine.name,
        actor: "",
    };
    let mut question = Question {
        current,
        chart,
        names,
        steps: ALLOWED_STEPS_MAX as u64,
        room: Room::new(ALLOWED_EXPLAINED_BYTES_MAX),
    };
    collect(events, |(event, rules)| {
        let payload = payloads.as_ref().and_then(|all| all.value(event));
        question.event(event, rules, payload.filter(|text| *text != "null"))
    })
}

struct Question<'a> {
    current: &'a Current<'a>,
    chart: &'a Chart,
    names: Names<'a>,
    /// What all events together may still take.
    steps: u64,
    room: Room,
}

impl Question<'_> {
    fn event(
        &mut self,
        event: &str,
        rules: &[&Rule],
        payload: Option<&str>,
    ) -> Result<(AllowedEvent, bool), Refusal> {
        let object = payload
            .map(|text| Object::parse(text.as_bytes()))
            .transpose();
        let object = object.map_err(|fault| {
            let field = format!("payloads.{event}");
            let problem = format!("{field} must be a JSON object or null: {fault}");
            Refusal::bad(&field, problem)
        })?;
        let text = payload.unwrap_or("{}");
        let mut answer = AllowedEvent::new(event);
        let explained = self.explain(&mut answer, rules, text)?;
        let object = object.as_ref();
        let payload = object.map(|object| Payload { object, text });
        let machine = self.current.machine;
        let mut course = Course::new(machine, self.chart, self.names, text, NO_HEADERS);
        let ctx = self.current.ctx_bytes();
        match course.event(self.current.state, event, &ctx, payload.as_ref()) {
            Ok(arrived) => answer.to_state = Some(machine.state_name(arrived.to).clone()),
            Err(Refusal::GuardFailed { .. }) => {}
            Err(refusal) => answer.refusal = Some(refusal),
        }
        let spent = explained + course.spent();
        self.steps = self.steps.saturating_sub(spent);
        Ok((answer, self.steps > 0))
    }

    /// Tells what the guards have read, down to the one that holds. Returns how many steps that took.
    fn explain(
        &mut self,
        answer: &mut AllowedEvent,
        rules: &[&Rule],
        payload: &str,
    ) -> Result<u64, Refusal> {
        let names = Names {
            state: self.current.state_name(),
            ..self.names
        };
        let ctx = self.current.ctx_bytes();
        let ctx = super::super::course::text(&ctx)?;
        let mut scope = Scope::new(ctx, payload, NO_HEADERS, names);
        let mut steps = Steps::default();
        for rule in rules {
            let Some(Condition::Expression(guard)) = &rule.guard else {
                break;
            };
            let attempt = guard.attempt(&mut scope, &mut steps);
            answer.show(explain_attempt(&attempt, &mut self.room));
            if attempt.holds == Ok(true) || steps.left() == 0 {
                break;
            }
        }
        Ok(EXPRESSION_STEPS_MAX - steps.left())
    }
}
