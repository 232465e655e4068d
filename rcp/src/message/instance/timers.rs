//! TIMER_SET and TIMER_LIST, and the timers that GET_INSTANCE shows.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::asking::Would;
use crate::message::fields::{Fields, is_default};
use crate::message::meta::{Meta, names_of_write};
use crate::message::{ParamFault, Params, ReadOptions};

/// An armed timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer<'a> {
    /// Its name, unique in its state.
    pub name: Cow<'a, str>,
    /// The event that it applies. Absent: it deletes the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Cow<'a, str>>,
    /// When it fires, Unix ms.
    pub due_at: u64,
    /// How often it has fired and was refused, where it is tried again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refusals: u32,
}

/// The timer that has fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredBy<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// When it was due, Unix ms.
    pub due_at: u64,
}

/// Parameters of TIMER_SET.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TimerSet<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// An object with timers' names as keys: each has `{"after": "1h"}`, `{"at": time}`, or null, which disarms it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timers: Option<&'a RawValue>,
    /// Let its timers fire again after they were suspended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// Refuse unless the instance is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_state: Option<Cow<'a, str>>,
    /// Refuse unless the instance last changed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_wal_offset: Option<u64>,
    /// Makes a retry take effect once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only tell what it would do. The answer then is a [`TimerSetDryRun`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl<'a> Params<'a> for TimerSet<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write![
            "instance_id",
            "timers",
            "resume",
            "expected_state",
            "expected_wal_offset",
            "idempotency_key"
        ];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            instance_id: fields.text("instance_id")?,
            timers: fields.optional_object("timers")?,
            resume: fields.optional_bool("resume")?.unwrap_or(false),
            expected_state: fields.optional_text("expected_state")?,
            expected_wal_offset: fields.optional_integer("expected_wal_offset")?,
            idempotency_key: fields.optional_text("idempotency_key")?,
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

/// Result of TIMER_SET.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerSetResult<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Its timers now, by name.
    #[serde(default)]
    pub timers: Vec<Timer<'a>>,
    /// Where it stands in the log; absent when nothing was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_offset: Option<u64>,
    /// False when nothing was changed, also when an idempotency key replays an earlier call.
    pub applied: bool,
}

/// What a TIMER_SET would answer and do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerSetDryRun<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// The timers that it would have, by name.
    #[serde(default)]
    pub timers: Vec<Timer<'a>>,
    /// `None`, unless an idempotency key would replay an earlier call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_offset: Option<u64>,
    /// Whether it would change something. False when an idempotency key would replay an earlier call.
    pub applied: bool,
    /// Always true.
    pub dry_run: bool,
    /// Whether an idempotency key would replay an earlier call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// What it would do; absent when it would change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<Would<'a>>,
}

/// Parameters of TIMER_LIST.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TimerList<'a> {
    /// Only those of instances of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Cow<'a, str>>,
    /// Only those that are due before this time, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_before: Option<u64>,
    /// Only timers that do not fire, because too many timers of their instance have fired; in the order of instances.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// 100 if absent, 1000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The page that follows: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<TimerPlace<'a>>,
    /// Extension.
    #[serde(flatten)]
    pub read: ReadOptions,
}

/// A place in the order in which timers are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerPlace<'a> {
    /// When the timer is due, Unix ms.
    pub due_at: u64,
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// The timer's name.
    pub name: Cow<'a, str>,
}

impl<'a> Params<'a> for TimerList<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = [
            "machine",
            "due_before",
            "suspended",
            "limit",
            "after",
            "consistency",
            "min_wal_offset",
        ];
        let fields = Fields::of_params(params, names)?;
        let after = fields.optional_object("after")?;
        let after = after.map(|raw| {
            serde_json::from_str::<TimerPlace<'static>>(raw.get()).map_err(|_| {
                fields.unexpected("after", "an object with due_at, instance_id and name")
            })
        });
        Ok(Self {
            machine: fields.optional_text("machine")?,
            due_before: fields.optional_integer("due_before")?,
            suspended: fields.optional_bool("suspended")?.unwrap_or(false),
            limit: fields.optional_integer("limit")?,
            after: after.transpose()?,
            read: fields.read_options()?,
        })
    }
}

/// Result of TIMER_LIST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerListResult<'a> {
    /// In the order in which they are due.
    pub timers: Vec<TimerItem<'a>>,
    /// Where the next page begins; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TimerPlace<'a>>,
    /// How many timers are armed, of all machines.
    #[serde(default)]
    pub armed: u64,
    /// How many of them are overdue; counted up to 100,000.
    #[serde(default)]
    pub overdue: u64,
}

/// One timer of TIMER_LIST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerItem<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Its machine's name.
    pub machine: Cow<'a, str>,
    /// Its machine's version.
    pub version: u32,
    /// Its current state.
    pub state: Cow<'a, str>,
    /// The timer.
    #[serde(flatten)]
    pub timer: Timer<'a>,
}
