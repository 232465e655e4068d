//! ALLOWED_EVENTS, and what the operations that write answer to `dry_run`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::fields::{Fields, is_default};
use super::super::meta::{Headers, headers_of};
use super::super::{ParamFault, Params, ReadOptions};

pub use super::super::fields::DRY_RUN;

/// Parameters of ALLOWED_EVENTS.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AllowedEvents<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// An object with the payload of each event that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payloads: Option<&'a RawValue>,
    /// The headers that the write would have.
    #[serde(skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers<'a>,
    /// How fresh the answer has to be.
    #[serde(flatten)]
    pub read: ReadOptions,
}

impl<'a> Params<'a> for AllowedEvents<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = [
            "instance_id",
            "payloads",
            "headers",
            "consistency",
            "min_wal_offset",
        ];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            instance_id: fields.text("instance_id")?,
            payloads: fields.optional_object("payloads")?,
            headers: headers_of(&fields)?,
            read: fields.read_options()?,
        })
    }
}

/// Result of ALLOWED_EVENTS.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AllowedEventsResult<'a> {
    /// The instance's state.
    pub state: Cow<'a, str>,
    /// Where the instance last changed: the answer holds for an APPLY_EVENT that expects it.
    pub last_wal_offset: u64,
    /// In the order in which the definition's transitions from this state name them.
    pub events: Vec<AllowedEvent<'a>>,
    /// Whether the state has more events, which were not looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
}

/// What one event would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AllowedEvent<'a> {
    /// The event.
    pub event: Cow<'a, str>,
    /// Whether it would be taken.
    pub outcome: EventOutcome,
    /// Where it would lead, if it would be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_state: Option<Cow<'a, str>>,
    /// The guards that were tried, in order.
    pub guards: Vec<TriedGuard<'a>>,
    /// Guards that were tried and are not shown, because there are too many.
    #[serde(default, skip_serializing_if = "is_default")]
    pub guards_left_out: u64,
    /// The code of the error with which it would be refused, where that is not for its guards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'a, str>>,
    /// The message of that error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'a, str>>,
    /// The states on its way that have transitions without an event, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<AlwaysTried<'a>>,
    /// The timers that it would arm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub armed: Vec<Cow<'a, str>>,
    /// The timers that it would disarm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disarmed: Vec<Cow<'a, str>>,
}

/// A state with transitions without an event, and what was tried there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlwaysTried<'a> {
    /// The state.
    pub state: Cow<'a, str>,
    /// The guards that were tried, in order, down to the one that leads on.
    pub guards: Vec<TriedGuard<'a>>,
}

/// What would become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    /// It would be taken.
    Taken,
    /// It would be refused.
    Refused,
}

/// A guard that was tried, and what it read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TriedGuard<'a> {
    /// Its text.
    pub text: Cow<'a, str>,
    /// Whether it holds.
    pub holds: bool,
    /// The value at each path that it names; `null` where there is none. Of a value that is cut this is the beginning
    /// of its JSON text, as a string.
    #[serde(default)]
    pub values: BTreeMap<Cow<'a, str>, Box<RawValue>>,
    /// The paths whose values are cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<Cow<'a, str>>,
    /// Why it could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'a, str>>,
}

/// What a write would do to its instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would<'a> {
    /// The fields of the context that would get a new value.
    pub set: Vec<Cow<'a, str>>,
    /// The fields of the context that would go.
    pub unset: Vec<Cow<'a, str>>,
    /// The timers that would be set or moved.
    pub armed: Vec<Cow<'a, str>>,
    /// The timers that would go.
    pub disarmed: Vec<Cow<'a, str>>,
    /// What would be emitted.
    pub emits: Vec<Cow<'a, str>>,
    /// The states that would be passed without an event.
    #[serde(default)]
    pub via: Vec<Cow<'a, str>>,
}

/// What an APPLY_EVENT would answer and do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyEventDryRun<'a> {
    /// The state before.
    pub from_state: Cow<'a, str>,
    /// The state after.
    pub to_state: Cow<'a, str>,
    /// The context after; `null` as in the answer to a repetition.
    pub ctx: Cow<'a, RawValue>,
    /// `None`, unless an idempotency key would replay an earlier call.
    pub wal_offset: Option<u64>,
    /// False when an idempotency key would replay an earlier call.
    pub applied: bool,
    /// As given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Cow<'a, str>>,
    /// Always true.
    pub dry_run: bool,
    /// Whether an idempotency key would replay an earlier call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// What it would do.
    pub would: Would<'a>,
}

/// What a CREATE_INSTANCE would answer and do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateInstanceDryRun<'a> {
    /// `None` if the server would make one up.
    pub instance_id: Option<Cow<'a, str>>,
    /// The state where it would come to rest.
    pub state: Cow<'a, str>,
    /// The context that it would have. `None` if an idempotency key would replay an earlier call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Cow<'a, RawValue>>,
    /// `None`, unless an idempotency key would replay an earlier call.
    pub wal_offset: Option<u64>,
    /// Always true.
    pub dry_run: bool,
    /// Whether an idempotency key would replay an earlier call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// What it would do.
    pub would: Would<'a>,
}

/// What a DELETE_INSTANCE would answer and do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteInstanceDryRun<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Always true.
    pub deleted: bool,
    /// `None`, unless an idempotency key would replay an earlier call.
    pub wal_offset: Option<u64>,
    /// Always true.
    pub dry_run: bool,
    /// Whether an idempotency key would replay an earlier call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// What it would do.
    pub would: Would<'a>,
}

/// Whether a request asks for a dry run, whatever the operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DryRunAsked(pub bool);

impl<'a> Params<'a> for DryRunAsked {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, [DRY_RUN])?;
        Ok(Self(fields.dry_run()?))
    }
}
