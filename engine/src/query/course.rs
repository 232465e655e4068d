//! What an event and a creation do with a machine of format 2: guards, the merge, `set` and `unset`, `always`, `emit`.
//!
//! All of it is decided here, once, on the leader: the fact holds the outcome.

mod arming;
mod refused;
mod rest;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::Refusal;
use crate::api::refusal::GuardTexts;
use crate::fact;
use crate::json::{Context, Edits, JsonObject, ReadBudget, Stuck, depth, merge_patch};
use crate::limits::{EVENT_EMITS_MAX, EXPLAINED_BYTES_MAX, EXPRESSION_STEPS_MAX, SET_DEPTH_MAX};
use crate::machine::definition::{Actions, ChartSettings, Condition, Merge};
use crate::machine::expression::{
    EvalAttempt, EvalFailure, EvalScope, EvalSteps, Expression, ScopeNames, Why,
};
use crate::machine::guard::{ExplainRoom, Tried, explain_attempt};
use crate::machine::schema::{Misfit, Schema};
use crate::machine::{Choices, Machine, TransitionRule};
pub(crate) use refused::not_understood;
use refused::{damaged, failed, limit, limited};
use rest::AlwaysReads;

/// Bytes of a context that are copied in the time of one step.
const STEP_BYTES: u64 = 64;

/// One decision on a machine of format 2.
pub(crate) struct Course<'a> {
    machine: &'a Machine,
    chart: &'a ChartSettings,
    /// All but the state, which changes on the way.
    names: ScopeNames<'a>,
    /// The payload's text.
    event: &'a str,
    /// The headers of the write, as a JSON object.
    headers: &'a str,
    steps: EvalSteps,
    /// What is armed is due by this much later: the decision was made ahead of its entry.
    pub(crate) slack_ms: u64,
    via: Vec<u16>,
    emits: Vec<Arc<str>>,
    /// For a question about an event: what the guards of `always` have read.
    told: Option<AlwaysReads>,
}

/// Where a decision leads.
pub(crate) struct Arrived {
    pub(crate) to: u16,
    pub(crate) ctx: Bytes,
    /// The states passed on the way.
    pub(crate) via: Vec<String>,
    pub(crate) emits: Vec<String>,
    /// The timers that are armed; `None` where the state was not entered.
    pub(crate) armed: Option<Vec<fact::Timer>>,
}

/// A payload, read.
pub(crate) struct ReadPayload<'a> {
    pub(crate) object: &'a JsonObject<'a>,
    pub(crate) text: &'a str,
}

impl<'a> Course<'a> {
    pub(crate) fn new(
        machine: &'a Machine,
        chart: &'a ChartSettings,
        names: ScopeNames<'a>,
        event: &'a str,
        headers: &'a str,
    ) -> Self {
        Self {
            machine,
            chart,
            names,
            event,
            headers,
            steps: EvalSteps::default(),
            slack_ms: 0,
            via: Vec::new(),
            emits: Vec::new(),
            told: None,
        }
    }

    /// A new instance: its context with the definition's defaults, and the state where it comes to rest.
    pub(crate) fn create(&mut self, ctx: Option<&JsonObject<'_>>) -> Result<Arrived, Refusal> {
        let ctx = self.first_ctx(ctx)?;
        let initial = self.machine.initial;
        self.emit(&self.chart.states[usize::from(initial)].emit)?;
        self.rest(initial, ctx, true)
    }

    /// The context of a new instance: its own, with the definition's defaults.
    fn first_ctx(&self, ctx: Option<&JsonObject<'_>>) -> Result<Bytes, Refusal> {
        Ok(match (&self.chart.default, ctx) {
            (None, None) => Bytes::from_static(b"{}"),
            (None, Some(ctx)) => crate::json::compact(ctx),
            (Some(default), None) => Bytes::copy_from_slice(default.as_bytes()),
            (Some(default), Some(ctx)) => merged(default.as_bytes(), ctx)?,
        })
    }

    /// How many steps were taken.
    pub(crate) fn spent(&self) -> u64 {
        EXPRESSION_STEPS_MAX - self.steps.left()
    }

    /// An event in a state.
    pub(crate) fn event(
        &mut self,
        state: u16,
        event: &str,
        ctx: &Bytes,
        payload: Option<&ReadPayload<'a>>,
    ) -> Result<Arrived, Refusal> {
        let choices = self
            .machine
            .choices(state, event)
            .map_err(|reason| not_understood(self.machine, reason))?;
        if choices.clone().next().is_none() {
            return Err(Refusal::InvalidTransition {
                current_state: self.machine.state_name(state).to_string(),
                event: event.to_owned(),
            });
        }
        if let Some(schema) = self.machine.payload_schema(event) {
            self.check(schema, "payload", self.event)?;
        }
        let text = text(ctx)?;
        let mut scope = self.scope(text, state);
        let (number, rule) = self.choose(choices, state, event, &mut scope)?;
        let place = format!("transitions[{number}]");
        let nothing = Actions::default();
        let actions = rule.actions.as_deref().unwrap_or(&nothing);
        let edits = self.edits(actions, &mut scope, || place.clone())?;
        let after = match payload {
            Some(payload) if !payload.object.is_empty() => {
                match actions.merge.unwrap_or(self.chart.merge) {
                    Merge::Fields => merged(ctx, payload.object)?,
                    Merge::Nothing => ctx.clone(),
                    Merge::Deep => Bytes::from(merge_patch(text, payload.text).map_err(damaged)?),
                }
            }
            _ => ctx.clone(),
        };
        let after = self.edited(after, &edits, &place)?;
        self.emit(&actions.emit)?;
        let entered = rule.reenter || rule.to != state;
        if entered {
            self.emit(&self.chart.states[usize::from(rule.to)].emit)?;
        }
        self.rest(rule.to, after, entered)
    }

    fn scope<'c>(&self, ctx: &'c str, state: u16) -> EvalScope<'c>
    where
        'a: 'c,
    {
        let names = ScopeNames {
            state: self.machine.state_name(state),
            ..self.names
        };
        EvalScope::new(ctx, self.event, self.headers, names)
    }

    /// The first transition whose guard holds, or that has none.
    fn choose<'c>(
        &mut self,
        choices: Choices<'c>,
        state: u16,
        event: &str,
        scope: &mut EvalScope<'c>,
    ) -> Result<(u32, &'c TransitionRule), Refusal> {
        let mut texts = GuardTexts::default();
        // What the refusal shows: no guard is evaluated again for it.
        let mut attempts = Vec::new();
        for (number, rule) in choices {
            self.spend(1, || format!("transitions[{number}]"))?;
            let Some(Condition::Expression(guard)) = &rule.guard else {
                return Ok((number, rule));
            };
            let attempt = guard.attempt(scope, &mut self.steps);
            match &attempt.holds {
                Ok(true) => return Ok((number, rule)),
                Ok(false) => texts.push(guard.text(), None),
                Err(failure) if failure.why == Why::Limit => {
                    return Err(limit(format!("transitions[{number}].guard")));
                }
                Err(failure) => texts.push(guard.text(), Some(failure)),
            }
            attempts.push(attempt);
        }
        Err(Refusal::GuardFailed {
            current_state: self.machine.state_name(state).to_string(),
            event: event.to_owned(),
            guards: texts.guards,
            guards_left_out: texts.left_out,
            errors: texts.errors,
            tried: tried(&attempts).into(),
        })
    }

    /// Whether a guard holds; a failure counts as false, but that the steps are used up refuses the command.
    fn holds<'c>(
        &mut self,
        guard: &'c Expression,
        scope: &mut EvalScope<'c>,
        place: impl Fn() -> String,
    ) -> Result<Result<bool, EvalFailure>, Refusal> {
        let holds = guard.holds(scope, &mut self.steps);
        limited(holds, place)
    }

    fn spend(&mut self, steps: u64, place: impl Fn() -> String) -> Result<(), Refusal> {
        self.steps.spend(steps).map_err(|_| limit(place()))
    }

    /// Evaluates what is to be set. Nothing is changed yet.
    fn edits<'c>(
        &mut self,
        actions: &'c Actions,
        scope: &mut EvalScope<'c>,
        place: impl Fn() -> String,
    ) -> Result<Edits<'c>, Refusal> {
        let mut edits = Edits::default();
        for assignment in &actions.set {
            let here = || format!("{}.set.{}", place(), assignment.path);
            let path: Vec<&str> = assignment.path.split('.').collect();
            let value = match assignment.value.json(scope, &mut self.steps) {
                Ok(value) => value,
                Err(failure) if failure.why == Why::Limit => return Err(limit(here())),
                Err(failure) => return Err(failed(here(), failure.to_string())),
            };
            if path.len() + depth(&value) > SET_DEPTH_MAX {
                let why = format!("the value would be nested deeper than {SET_DEPTH_MAX}");
                return Err(failed(here(), why));
            }
            edits.set(&path, Cow::Owned(value));
        }
        for path in &actions.unset {
            let path: Vec<&str> = path.split('.').collect();
            edits.unset(&path);
        }
        Ok(edits)
    }

    fn emit(&mut self, names: &[Arc<str>]) -> Result<(), Refusal> {
        for name in names {
            if !self.emits.contains(name) {
                self.emits.push(name.clone());
            }
        }
        if self.emits.len() > EVENT_EMITS_MAX {
            return Err(Refusal::ExpressionLimit {
                place: "emit".to_owned(),
                why: format!("more than {EVENT_EMITS_MAX} names would be emitted"),
            });
        }
        Ok(())
    }

    /// The context with the changes. It is written anew, which costs steps by its length, its fields and the paths.
    fn edited(&mut self, ctx: Bytes, edits: &Edits<'_>, place: &str) -> Result<Bytes, Refusal> {
        if edits.is_empty() {
            return Ok(ctx);
        }
        let bytes = usize::try_from(self.steps.left().saturating_mul(STEP_BYTES));
        let bytes = bytes.unwrap_or(usize::MAX);
        let mut budget = ReadBudget::new(bytes);
        let edited = edits.apply(text(&ctx)?, &mut budget);
        let spent = (bytes - budget.left()) as u64 / STEP_BYTES;
        self.spend(spent, || format!("{place}.set"))?;
        match edited {
            Ok(text) => Ok(Bytes::from(text)),
            Err(Stuck::TooMuch) => Err(limit(format!("{place}.set"))),
            Err(Stuck::NoObject(path)) => {
                let why =
                    format!("ctx.{path} is not an object, so nothing can be set inside of it");
                Err(failed(format!("{place}.set"), why))
            }
            Err(Stuck::Damaged(fault)) => Err(damaged(fault)),
        }
    }

    fn check(&mut self, schema: &Schema, of: &'static str, text: &str) -> Result<(), Refusal> {
        match schema.check(text, &mut self.steps) {
            Ok(()) => Ok(()),
            Err(Misfit::Limit) => Err(limit(format!("the schema of the {of}"))),
            Err(Misfit::Broken { path, rule, why }) => Err(Refusal::SchemaFailed {
                of,
                path,
                rule,
                why,
            }),
        }
    }
}

/// What guards have read, none of which holds; the first of them, if there are very many.
fn tried(attempts: &[EvalAttempt<'_>]) -> Vec<Tried> {
    let mut room = ExplainRoom::new(EXPLAINED_BYTES_MAX);
    let attempts = attempts.iter();
    attempts
        .map_while(|attempt| explain_attempt(attempt, &mut room))
        .collect()
}

pub(crate) fn text(ctx: &[u8]) -> Result<&str, Refusal> {
    str::from_utf8(ctx).map_err(damaged)
}

fn merged(ctx: &[u8], payload: &JsonObject<'_>) -> Result<Bytes, Refusal> {
    let mut ctx = Context::new(ctx, Some(payload));
    ctx.scan().map_err(damaged)?;
    Ok(ctx.merged())
}
