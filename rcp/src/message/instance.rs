//! CREATE_INSTANCE, GET_INSTANCE, LIST_INSTANCES, DELETE_INSTANCE, APPLY_EVENT.

pub mod asking;
pub mod timers;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use timers::Timer;

use super::fields::{Fields, is_default};
use super::meta::{FactMeta, Meta, names_of_write};
use super::{ParamFault, Params, ReadOptions};
use crate::json::{DocumentError, read_part};

/// Parameters of CREATE_INSTANCE.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CreateInstance<'a> {
    /// The server makes one up if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Cow<'a, str>>,
    /// The machine's name.
    pub machine: Cow<'a, str>,
    /// ≥ 1; 0 is not sent: the highest.
    #[serde(skip_serializing_if = "is_default")]
    pub version: u32,
    /// An object; empty if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_ctx: Option<&'a RawValue>,
    /// Makes a retry take effect once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Extension, for clients that may import: the state in which the instance is created, without guards and actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_state: Option<Cow<'a, str>>,
    /// Only with `initial_state`: when the instance was created where it comes from, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// Only with `initial_state`: when the instance was changed last where it comes from, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<u64>,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only tell what it would do. The answer then is a [`CreateInstanceDryRun`](super::asking::CreateInstanceDryRun).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl<'a> Params<'a> for CreateInstance<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write![
            "instance_id",
            "machine",
            "version",
            "initial_ctx",
            "idempotency_key",
            "initial_state",
            "created_at",
            "updated_at"
        ];
        let fields = Fields::of_params(params, names)?;
        let initial_state = fields.optional_text("initial_state")?;
        for name in ["created_at", "updated_at"] {
            if initial_state.is_none() && fields.get(name).is_some() {
                let problem = "allowed only with initial_state";
                return Err(ParamFault::new(
                    format!("params.{name}"),
                    problem.to_owned(),
                ));
            }
        }
        Ok(Self {
            initial_state,
            created_at: fields.optional_integer("created_at")?,
            updated_at: fields.optional_integer("updated_at")?,
            instance_id: fields.optional_text("instance_id")?,
            machine: fields.text("machine")?,
            version: fields.optional_version("version")?.unwrap_or(0),
            initial_ctx: fields.optional_object("initial_ctx")?,
            idempotency_key: fields.optional_text("idempotency_key")?,
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

/// Result of CREATE_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateInstanceResult<'a> {
    /// Given or made up.
    pub instance_id: Cow<'a, str>,
    /// The machine's initial state.
    pub state: Cow<'a, str>,
    /// Where it stands in the log.
    pub wal_offset: u64,
}

/// Parameters of GET_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct GetInstance<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Extension: what else to show. Not inside a BATCH.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<IncludeOfInstance>,
    /// Extension.
    #[serde(flatten)]
    pub read: ReadOptions,
}

/// What GET_INSTANCE shows only to those who ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncludeOfInstance {
    /// What is known about the write that changed the instance last.
    Meta,
}

impl IncludeOfInstance {
    /// All there is, by its name.
    const NAMED: [(&'static str, Self); 1] = [("meta", Self::Meta)];
}

impl<'a> Params<'a> for GetInstance<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = ["instance_id", "include", "consistency", "min_wal_offset"];
        let fields = Fields::of_params(params, names)?;
        let include = fields.optional_names("include", &IncludeOfInstance::NAMED)?;
        Ok(Self {
            instance_id: fields.text("instance_id")?,
            include: include.unwrap_or_default(),
            read: fields.read_options()?,
        })
    }
}

/// Result of GET_INSTANCE.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetInstanceResult<'a> {
    /// The machine's name.
    pub machine: Cow<'a, str>,
    /// The machine's version.
    pub version: u32,
    /// The current state.
    pub state: Cow<'a, str>,
    /// The current context.
    pub ctx: Cow<'a, RawValue>,
    /// The `event_id` of the last event, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_id: Option<Cow<'a, str>>,
    /// Where the instance last changed.
    pub last_wal_offset: u64,
    /// Its timers, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<Timer<'a>>,
    /// True while too many of its timers have fired: none fires until they are resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timers_suspended: bool,
    /// With [`IncludeOfInstance::Meta`]: what is known about the write at [`Self::last_wal_offset`]. `None` also if the log
    /// no longer has that write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<FactMeta<'a>>,
}

impl GetInstanceResult<'_> {
    /// The context as a type of the program.
    ///
    /// # Errors
    /// The context is not of this type.
    pub fn ctx_as<'b, T: Deserialize<'b>>(&'b self) -> Result<T, DocumentError> {
        read_part("ctx", Some(&self.ctx))
    }
}

/// Parameters of LIST_INSTANCES.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ListInstances<'a> {
    /// Only this machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Cow<'a, str>>,
    /// Only those in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Cow<'a, str>>,
    /// See [`Self::page_limit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How many to skip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Extension: the page that follows this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Cow<'a, str>>,
    /// Extension.
    #[serde(flatten)]
    pub read: ReadOptions,
}

impl ListInstances<'_> {
    /// How many items a page holds without a `limit`.
    pub const LIMIT_DEFAULT: u64 = 100;
    /// How many items a page holds at most, inclusive.
    pub const LIMIT_MAX: u64 = 1000;

    /// The limit that counts: a higher one asks for a page as long as pages get.
    pub fn page_limit(&self) -> u64 {
        self.limit
            .unwrap_or(Self::LIMIT_DEFAULT)
            .min(Self::LIMIT_MAX)
    }
}

impl<'a> Params<'a> for ListInstances<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = [
            "machine",
            "state",
            "limit",
            "offset",
            "after",
            "consistency",
            "min_wal_offset",
        ];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            machine: fields.optional_text("machine")?,
            state: fields.optional_text("state")?,
            limit: fields.optional_integer("limit")?,
            offset: fields.optional_integer("offset")?,
            after: fields.optional_text("after")?,
            read: fields.read_options()?,
        })
    }
}

/// Result of LIST_INSTANCES.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListInstancesResult<'a> {
    /// By id.
    pub instances: Vec<InstanceItem<'a>>,
    /// How many match, on all pages.
    pub total: u64,
    /// Whether more follow.
    pub has_more: bool,
}

/// One instance of LIST_INSTANCES.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceItem<'a> {
    /// The instance's id.
    pub id: Cow<'a, str>,
    /// The machine's name.
    pub machine: Cow<'a, str>,
    /// The machine's version.
    pub version: u32,
    /// The current state.
    pub state: Cow<'a, str>,
    /// Unix ms.
    pub created_at: u64,
    /// Unix ms.
    pub updated_at: u64,
    /// Where the instance last changed.
    pub last_wal_offset: u64,
}

/// Parameters of DELETE_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DeleteInstance<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Refuse unless the instance last changed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_wal_offset: Option<u64>,
    /// Makes a retry take effect once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only tell what it would do. The answer then is a [`DeleteInstanceDryRun`](super::asking::DeleteInstanceDryRun).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl<'a> Params<'a> for DeleteInstance<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["instance_id", "expected_wal_offset", "idempotency_key"];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            instance_id: fields.text("instance_id")?,
            expected_wal_offset: fields.optional_integer("expected_wal_offset")?,
            idempotency_key: fields.optional_text("idempotency_key")?,
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

/// Result of DELETE_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteInstanceResult<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Always true.
    pub deleted: bool,
    /// Where it stands in the log.
    pub wal_offset: u64,
}

/// Parameters of APPLY_EVENT.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ApplyEvent<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// The event.
    pub event: Cow<'a, str>,
    /// An object: its top-level keys replace those of the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a RawValue>,
    /// Refuse unless the instance is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_state: Option<Cow<'a, str>>,
    /// Refuse unless the instance last changed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_wal_offset: Option<u64>,
    /// Kept with the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Cow<'a, str>>,
    /// What becomes of the timers of the state that the event leads to; see [`timers::TimerSet::timers`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timers: Option<&'a RawValue>,
    /// Makes a retry take effect once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
    /// Only tell what it would do. The answer then is an [`ApplyEventDryRun`](super::asking::ApplyEventDryRun).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl<'a> Params<'a> for ApplyEvent<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write![
            "instance_id",
            "event",
            "payload",
            "expected_state",
            "expected_wal_offset",
            "event_id",
            "timers",
            "idempotency_key"
        ];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            instance_id: fields.text("instance_id")?,
            event: fields.text("event")?,
            payload: fields.optional_object("payload")?,
            expected_state: fields.optional_text("expected_state")?,
            expected_wal_offset: fields.optional_integer("expected_wal_offset")?,
            event_id: fields.optional_text("event_id")?,
            timers: fields.optional_object("timers")?,
            idempotency_key: fields.optional_text("idempotency_key")?,
            meta: Meta::of(&fields)?,
            dry_run: fields.dry_run()?,
        })
    }
}

/// Result of APPLY_EVENT.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApplyEventResult<'a> {
    /// The state before.
    pub from_state: Cow<'a, str>,
    /// The state after.
    pub to_state: Cow<'a, str>,
    /// The context after; `null` when an idempotency key repeats an event that the log no longer has.
    pub ctx: Cow<'a, RawValue>,
    /// Where it stands in the log.
    pub wal_offset: u64,
    /// False when an idempotency key replays an earlier call.
    pub applied: bool,
    /// As given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Cow<'a, str>>,
}

impl ApplyEventResult<'_> {
    /// The context after, as a type of the program. An `Option` takes the `null` of a repeated event.
    ///
    /// # Errors
    /// The context is not of this type.
    pub fn ctx_as<'b, T: Deserialize<'b>>(&'b self) -> Result<T, DocumentError> {
        read_part("ctx", Some(&self.ctx))
    }
}
