//! APPLY_EVENT.

use std::sync::Arc;

use bytes::Bytes;

use super::idempotency::{KeyCheck, ParamsHash};
use super::instance::{ObjectParam, check_ctx_bytes, object_param};
use super::timers::{Moves, TimersChange, has_timer};
use super::{Decider, OpDecision, check_expected};
use crate::Refusal;
use crate::api::check_name;
use crate::api::command::ApplyEvent;
use crate::api::refusal::GuardTexts;
use crate::api::reply::Reply;
use crate::fact::{self, Body, Fired, headers_json};
use crate::json::{Context, check, compact};
use crate::limits::{EXPLAINED_BYTES_MAX, GUARD_READ_BYTES_MAX, GUARD_STEPS_MAX};
use crate::machine::TransitionRule;
use crate::machine::definition::Condition;
use crate::machine::expression::ScopeNames;
use crate::machine::guard::{ExplainRoom, GuardBudget, Tried, explain};
use crate::query::course::{Arrived, Course, ReadPayload, not_understood};
use crate::state::Scope;
use crate::view::Current;

impl<'a> Decider<'a> {
    /// The event of a client, or of a timer that has fired.
    pub(super) fn event(
        self,
        apply: &ApplyEvent,
        fired: Option<Fired>,
    ) -> Result<OpDecision, Refusal> {
        self.check_names(apply)?;
        let moves = Moves::read(apply.timers.as_ref())?;
        let payload = object_param("payload", apply.payload.as_ref())?;
        let scope = Scope::Apply(&apply.instance_id);
        let params = || params(apply, payload.as_ref());
        let key = match self.key(apply.idempotency_key.as_deref(), scope, params)? {
            KeyCheck::Seen(found) => return Ok(self.replay(found, Some(apply))),
            KeyCheck::New(key) => key,
        };
        let current = self.current(&apply.instance_id)?;
        check_expected(apply, &current)?;
        let sent = payload.as_ref().map(|payload| compact(&payload.object));
        let Arrived {
            to,
            ctx,
            via,
            emits,
            armed,
        } = self.moved(apply, &current, payload.as_ref())?;
        check_ctx_bytes("payload", &ctx)?;
        let change = TimersChange::new(armed, fired.clone());
        let of_state = |name: &str| has_timer(current.machine, to, name);
        let timers = self.timers_after(&apply.instance_id, change, &moves, of_state)?;
        let from_state = current.state_name();
        let to_state = current.machine.state_name(to);
        Ok(OpDecision::Write {
            body: Body::ApplyEvent(fact::ApplyEvent {
                instance_id: apply.instance_id.clone(),
                machine: current.machine.name.to_string(),
                version: current.machine.version,
                event: apply.event.clone(),
                from_state: from_state.to_string(),
                to_state: to_state.to_string(),
                ctx: ctx.clone(),
                payload: sent,
                event_id: apply.event_id.clone(),
                prev_offset: current.last_offset,
                key,
                emits,
                via,
                timers,
                fired,
            }),
            reply: Reply::Applied {
                from_state: from_state.clone(),
                to_state: to_state.clone(),
                ctx,
                applied: true,
                event_id: apply.event_id.as_deref().map(Arc::from),
                wal_offset: self.offset,
            },
            machine: None,
        })
    }

    /// An instance that must be there.
    pub(super) fn current(&self, instance_id: &str) -> Result<Current<'a>, Refusal> {
        let current = self.view.instance(instance_id);
        current.ok_or_else(|| Refusal::InstanceNotFound {
            instance_id: instance_id.to_owned(),
        })
    }

    /// Where the event leads, and the context there.
    fn moved(
        self,
        apply: &ApplyEvent,
        current: &Current<'_>,
        payload: Option<&ObjectParam<'_>>,
    ) -> Result<Arrived, Refusal> {
        let chart = current.machine.chart();
        let chart = chart.map_err(|reason| not_understood(current.machine, reason))?;
        if let Some(chart) = chart {
            let names = self.names(&apply.instance_id, &current.machine.name);
            let payload = payload.map(|payload| ReadPayload {
                object: &payload.object,
                text: payload.as_str(),
            });
            let event = payload.as_ref().map_or("{}", |payload| payload.text);
            let headers = self.headers();
            let mut course = Course::new(current.machine, chart, names, event, &headers);
            course.slack_ms = self.slack_ms;
            let ctx = current.ctx_bytes();
            return course.event(current.state, &apply.event, &ctx, payload.as_ref());
        }
        let mut ctx = Context::new(current.ctx(), payload.map(|payload| &payload.object));
        let rule = choose(apply, current, &mut ctx)?;
        let ctx = match payload {
            Some(payload) if !payload.object.is_empty() => merged(ctx)?,
            _ => current.ctx_bytes(),
        };
        Ok(Arrived {
            to: rule.to,
            ctx,
            via: Vec::new(),
            emits: Vec::new(),
            armed: None,
        })
    }

    /// The headers of the write, as a JSON object.
    pub(super) fn headers(self) -> String {
        self.meta
            .map_or_else(|| "{}".to_owned(), |meta| headers_json(&meta.headers))
    }

    /// What an expression may name beside the documents and the state.
    pub(super) fn names<'n>(&'n self, instance_id: &'n str, machine: &'n str) -> ScopeNames<'n> {
        ScopeNames {
            now_ms: i64::try_from(self.time_ms).unwrap_or(i64::MAX),
            state: "",
            instance_id,
            machine,
            actor: self.actor,
        }
    }

    fn check_names(self, apply: &ApplyEvent) -> Result<(), Refusal> {
        self.check_id("instance_id", &apply.instance_id)?;
        check_name("event", &apply.event)?;
        if let Some(state) = &apply.expected_state {
            check_name("expected_state", state)?;
        }
        match &apply.event_id {
            Some(id) => self.check_id("event_id", id),
            None => Ok(()),
        }
    }
}

fn params(apply: &ApplyEvent, payload: Option<&ObjectParam<'_>>) -> ParamsHash {
    let params = ParamsHash::default()
        .text(Some(&apply.event))
        .number(payload.map(|payload| payload.hash()))
        .text(apply.expected_state.as_deref())
        .number(apply.expected_wal_offset)
        .text(apply.event_id.as_deref());
    // Keys of earlier versions know no timers.
    match &apply.timers {
        Some(timers) => params.number(check(timers).ok()),
        None => params,
    }
}

/// The first transition whose guard holds, or that has none.
fn choose<'a>(
    apply: &ApplyEvent,
    current: &Current<'a>,
    ctx: &mut Context<'a>,
) -> Result<&'a TransitionRule, Refusal> {
    let rules = current
        .machine
        .rules(current.state, &apply.event)
        .map_err(|reason| not_understood(current.machine, reason))?;
    let mut budget = GuardBudget::new();
    let mut tried_texts = GuardTexts::default();
    for rule in rules.clone() {
        let Some(Condition::Guard(guard)) = &rule.guard else {
            return Ok(rule);
        };
        if !ctx.is_scanned() {
            let all = rules.clone().filter_map(|rule| match &rule.guard {
                Some(Condition::Guard(guard)) => Some(guard),
                _ => None,
            });
            all.for_each(|guard| guard.want(ctx));
            scan(ctx)?;
        }
        match guard.holds(ctx, &mut budget) {
            Ok(true) => return Ok(rule),
            Ok(false) => tried_texts.push(guard.text(), None),
            Err(_) => return Err(too_costly(apply, current, guard.text())),
        }
    }
    let current_state = current.state_name().to_string();
    let event = apply.event.clone();
    Err(match tried_texts.guards.is_empty() {
        true => Refusal::InvalidTransition {
            current_state,
            event,
        },
        false => Refusal::GuardFailed {
            current_state,
            event,
            guards: tried_texts.guards,
            guards_left_out: tried_texts.left_out,
            errors: Vec::new(),
            tried: tried(rules, ctx).into(),
        },
    })
}

/// What the guards of these transitions have read, none of which holds; the first of them, if there are very many.
fn tried<'a>(rules: impl Iterator<Item = &'a TransitionRule>, ctx: &Context<'_>) -> Vec<Tried> {
    let mut room = ExplainRoom::new(EXPLAINED_BYTES_MAX);
    let guards = rules.filter_map(|rule| match &rule.guard {
        Some(Condition::Guard(guard)) => Some(&**guard),
        _ => None,
    });
    guards
        .map_while(|guard| explain(guard, false, ctx, &mut room))
        .collect()
}

fn too_costly(apply: &ApplyEvent, current: &Current<'_>, guard: &str) -> Refusal {
    Refusal::BadRequest {
        field: None,
        message: format!(
            "the guards of event {:?} in state {:?} cost too much on this instance's context: at \
             guard {guard:?} they had taken more than {GUARD_STEPS_MAX} steps or compared more \
             than {GUARD_READ_BYTES_MAX} bytes",
            apply.event,
            current.state_name(),
        ),
    }
}

fn merged(mut ctx: Context<'_>) -> Result<Bytes, Refusal> {
    if !ctx.is_scanned() {
        scan(&mut ctx)?;
    }
    Ok(ctx.merged())
}

/// Every stored context was checked when it was decided; one that is not an object can only come
/// from a log that was written by something else.
fn scan(ctx: &mut Context<'_>) -> Result<(), Refusal> {
    ctx.scan().map_err(|error| Refusal::BadRequest {
        field: None,
        message: format!("the instance's stored context is not a JSON object: {error}"),
    })
}
