//! What the events of a machine of format 2 would do: the whole way, with the payload that is given for each.

use super::{EventRules, collect};
use crate::Refusal;
use crate::api::reply::AllowedEvent;
use crate::fact::{Timer, Timers};
use crate::json::JsonObject;
use crate::limits::{ALLOWED_EXPLAINED_BYTES_MAX, ALLOWED_STEPS_MAX, EXPRESSION_STEPS_MAX};
use crate::machine::TransitionRule;
use crate::machine::definition::{ChartSettings, Condition};
use crate::machine::expression::{EvalScope, EvalSteps, ScopeNames};
use crate::machine::guard::{ExplainRoom, explain_attempt};
use crate::query::course::{Course, ReadPayload};
use crate::view::Current;

/// What the writes would say, and what else their expressions may name.
pub(super) struct WriteSaid<'a> {
    /// The payloads by event.
    pub(super) payloads: Option<JsonObject<'a>>,
    /// The headers, as a JSON object.
    pub(super) headers: &'a str,
    /// All but the state.
    pub(super) names: ScopeNames<'a>,
}

/// The answers about an instance with these timers, and whether there are more events.
pub(super) fn answers(
    (current, timers): (&Current<'_>, Option<&Timers>),
    chart: &ChartSettings,
    events: &[EventRules<'_>],
    said: &WriteSaid<'_>,
) -> Result<(Vec<AllowedEvent>, bool), Refusal> {
    let mut question = ChartQuestion {
        current,
        timers: timers.map_or(&[][..], |timers| &timers.armed),
        chart,
        said,
        steps: ALLOWED_STEPS_MAX as u64,
        room: ExplainRoom::new(ALLOWED_EXPLAINED_BYTES_MAX),
    };
    collect(events, |(event, rules)| {
        let payload = said.payloads.as_ref().and_then(|all| all.value(event));
        question.event(event, rules, payload.filter(|text| *text != "null"))
    })
}

struct ChartQuestion<'a> {
    current: &'a Current<'a>,
    /// The instance's timers now.
    timers: &'a [Timer],
    chart: &'a ChartSettings,
    said: &'a WriteSaid<'a>,
    /// What all events together may still take.
    steps: u64,
    room: ExplainRoom,
}

impl ChartQuestion<'_> {
    fn event(
        &mut self,
        event: &str,
        rules: &[&TransitionRule],
        payload: Option<&str>,
    ) -> Result<(AllowedEvent, bool), Refusal> {
        let object = payload
            .map(|text| JsonObject::parse(text.as_bytes()))
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
        let payload = object.map(|object| ReadPayload { object, text });
        let machine = self.current.machine;
        let mut course = Course::new(
            machine,
            self.chart,
            self.said.names,
            text,
            self.said.headers,
        );
        course.tell(ExplainRoom::new(self.room.left()));
        let ctx = self.current.ctx_bytes();
        match course.event(self.current.state, event, &ctx, payload.as_ref()) {
            Ok(arrived) => {
                answer.to_state = Some(machine.state_name(arrived.to).clone());
                if let Some(armed) = arrived.armed {
                    let stays = |timer: &&Timer| armed.iter().any(|it| it.name == timer.name);
                    let gone = self.timers.iter().filter(|timer| !stays(timer));
                    answer.disarmed = gone.map(|timer| timer.name.clone()).collect();
                    answer.armed = armed.into_iter().map(|timer| timer.name).collect();
                }
            }
            Err(Refusal::GuardFailed { .. }) => {}
            Err(refusal) => answer.refusal = Some(refusal),
        }
        let spent = explained + course.spent();
        if let Some(told) = course.into_told() {
            answer.always = told.always;
            answer.guards_left_out += told.left_out;
            self.room = told.room;
        }
        self.steps = self.steps.saturating_sub(spent);
        Ok((answer, self.steps > 0))
    }

    /// Tells what the guards have read, down to the one that holds. Returns how many steps that took.
    fn explain(
        &mut self,
        answer: &mut AllowedEvent,
        rules: &[&TransitionRule],
        payload: &str,
    ) -> Result<u64, Refusal> {
        let names = ScopeNames {
            state: self.current.state_name(),
            ..self.said.names
        };
        let ctx = self.current.ctx_bytes();
        let ctx = super::super::course::text(&ctx)?;
        let mut scope = EvalScope::new(ctx, payload, self.said.headers, names);
        let mut steps = EvalSteps::default();
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
