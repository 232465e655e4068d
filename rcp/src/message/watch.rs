//! WATCH_INSTANCE, WATCH_ALL, UNWATCH, and what a watch delivers.

use std::borrow::Cow;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fields::{Fields, is_default};
use super::instance::timers::FiredBy;
use super::meta::{FactMeta, text_or_empty, text_or_null};
use super::response::{ErrorBody, write_json};
use super::{ParamFault, Params};
use crate::frame::{EncodeError, Flags};
use crate::json::{DocumentError, read_part};
use crate::wire::{self, WireMode};

/// What a watch can tell besides events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Include {
    /// Creations.
    Created,
    /// Deletions, and that everything was removed at once.
    Deleted,
    /// Timers whose event was refused or came too late.
    TimerSpent,
}

impl Include {
    /// All there is.
    pub const ALL: [Self; 3] = [Self::Created, Self::Deleted, Self::TimerSpent];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Deleted => "deleted",
            Self::TimerSpent => "timer_spent",
        }
    }
}

fn include<const N: usize>(fields: &Fields<'_, N>) -> Result<Option<Vec<Include>>, ParamFault> {
    fields.optional_names(
        "include",
        &Include::ALL.map(|include| (include.name(), include)),
    )
}

/// Parameters of WATCH_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WatchInstance<'a> {
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// True if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_ctx: Option<bool>,
    /// Inclusive; 0 is the earliest retained; after the head if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_offset: Option<u64>,
    /// Extension: the cluster that `from_offset` comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<Cow<'a, str>>,
    /// Extension: what the watch delivers besides events. If present, every message has `kind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<Include>>,
    /// Extension: show what is known about each write. False if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_meta: Option<bool>,
}

impl<'a> Params<'a> for WatchInstance<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = [
            "instance_id",
            "include_ctx",
            "from_offset",
            "cluster_id",
            "include",
            "include_meta",
        ];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            instance_id: fields.text("instance_id")?,
            include_ctx: fields.optional_bool("include_ctx")?,
            from_offset: fields.optional_integer("from_offset")?,
            cluster_id: fields.optional_text("cluster_id")?,
            include: include(&fields)?,
            include_meta: fields.optional_bool("include_meta")?,
        })
    }
}

/// Result of WATCH_INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchInstanceResult<'a> {
    /// Names the watch on its connection.
    pub subscription_id: Cow<'a, str>,
    /// The instance.
    pub instance_id: Cow<'a, str>,
    /// Its state when the watch began; `None`, only with `include`: there was no such instance.
    #[serde(default)]
    pub current_state: Option<Cow<'a, str>>,
    /// Where it had last changed.
    #[serde(default)]
    pub current_wal_offset: Option<u64>,
    /// Extension: the head when the watch began, for a watch with `include`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_offset: Option<u64>,
    /// Extension: the lowest offset that can be watched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_offset: Option<u64>,
    /// Extension: the cluster whose offsets these are; a resume names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<Cow<'a, str>>,
}

/// Parameters of WATCH_ALL. An instance matches a list by any entry, an empty one always; all count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WatchAll<'a> {
    /// Names of machines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<Cow<'a, str>>,
    /// States an instance leaves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from_states: Vec<Cow<'a, str>>,
    /// States an instance enters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to_states: Vec<Cow<'a, str>>,
    /// Events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Cow<'a, str>>,
    /// Extension: names that an event emits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emits: Vec<Cow<'a, str>>,
    /// True if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_ctx: Option<bool>,
    /// Inclusive; 0 is the earliest retained; after the head if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_offset: Option<u64>,
    /// Extension: the cluster that `from_offset` comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<Cow<'a, str>>,
    /// Extension: what the watch delivers besides events. If present, every message has `kind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<Include>>,
    /// Extension: show what is known about each write. False if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_meta: Option<bool>,
}

impl<'a> Params<'a> for WatchAll<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = [
            "machines",
            "from_states",
            "to_states",
            "events",
            "emits",
            "include_ctx",
            "from_offset",
            "cluster_id",
            "include",
            "include_meta",
        ];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            machines: fields.texts("machines")?,
            from_states: fields.texts("from_states")?,
            to_states: fields.texts("to_states")?,
            events: fields.texts("events")?,
            emits: fields.texts("emits")?,
            include_ctx: fields.optional_bool("include_ctx")?,
            from_offset: fields.optional_integer("from_offset")?,
            cluster_id: fields.optional_text("cluster_id")?,
            include: include(&fields)?,
            include_meta: fields.optional_bool("include_meta")?,
        })
    }
}

/// Result of WATCH_ALL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchAllResult<'a> {
    /// Names the watch on its connection.
    pub subscription_id: Cow<'a, str>,
    /// The head when the watch began.
    pub wal_offset: u64,
    /// Extension: the lowest offset that can be watched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_offset: Option<u64>,
    /// Extension: the cluster whose offsets these are; a resume names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<Cow<'a, str>>,
}

/// Parameters of UNWATCH.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Unwatch<'a> {
    /// Of a watch of this connection.
    pub subscription_id: Cow<'a, str>,
}

impl<'a> Params<'a> for Unwatch<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["subscription_id"])?;
        Ok(Self {
            subscription_id: fields.text("subscription_id")?,
        })
    }
}

/// Result of UNWATCH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnwatchResult<'a> {
    /// As asked.
    pub subscription_id: Cow<'a, str>,
    /// False when there is no such watch on this connection.
    pub removed: bool,
}

/// What has happened, for a watch with `include`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An event was applied. Watches without `include` deliver nothing else.
    #[default]
    Event,
    /// An instance was created. It has no state before and no event.
    Created,
    /// An instance was deleted. It has no state after, no event and no context.
    Deleted,
    /// A timer fired, and its event was refused or came too late: [`Event::code`] says why.
    TimerSpent,
    /// Everything was removed, all machines and instances at once. It has nothing but an offset.
    Flushed,
    /// Something that this version of the library does not know.
    #[serde(other)]
    Unknown,
}

impl Event<'_> {
    /// What has happened. A watch without `include` delivers only events, without `kind`.
    pub fn kind(&self) -> EventKind {
        self.kind.unwrap_or_default()
    }

    /// The context after, as a type of the program. An `Option` takes it also where there is none.
    ///
    /// # Errors
    /// The context is not of this type.
    pub fn ctx_as<'b, T: Deserialize<'b>>(&'b self) -> Result<T, DocumentError> {
        read_part("ctx", self.ctx.as_deref())
    }

    /// The payload as a type of the program. An `Option` takes it also where there is none.
    ///
    /// # Errors
    /// The payload is not of this type.
    pub fn payload_as<'b, T: Deserialize<'b>>(&'b self) -> Result<T, DocumentError> {
        read_part("payload", self.payload.as_deref())
    }
}

/// What a watch delivers. What its [`kind`](Event::kind()) does not have is the empty text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "event")]
pub struct Event<'a> {
    /// The watch.
    pub subscription_id: Cow<'a, str>,
    /// Extension: what has happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EventKind>,
    /// The instance.
    #[serde(
        default,
        deserialize_with = "text_or_empty",
        serialize_with = "text_or_null"
    )]
    pub instance_id: Cow<'a, str>,
    /// The machine's name. For a deletion that an earlier version has written it is unknown, and so are its version and
    /// the state before.
    #[serde(
        default,
        deserialize_with = "text_or_empty",
        skip_serializing_if = "str::is_empty"
    )]
    pub machine: Cow<'a, str>,
    /// The machine's version; 0 if it is unknown.
    #[serde(default, skip_serializing_if = "is_default")]
    pub version: u32,
    /// Where it stands in the log. Events of one atomic batch share it.
    pub wal_offset: u64,
    /// The state before.
    #[serde(
        default,
        deserialize_with = "text_or_empty",
        serialize_with = "text_or_null"
    )]
    pub from_state: Cow<'a, str>,
    /// The state after.
    #[serde(
        default,
        deserialize_with = "text_or_empty",
        serialize_with = "text_or_null"
    )]
    pub to_state: Cow<'a, str>,
    /// The event.
    #[serde(
        default,
        deserialize_with = "text_or_empty",
        serialize_with = "text_or_null"
    )]
    pub event: Cow<'a, str>,
    /// Extension: the names that it emitted, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emits: Vec<Cow<'a, str>>,
    /// As applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Cow<'a, RawValue>>,
    /// The context after, unless the watch does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Cow<'a, RawValue>>,
    /// Extension: of a creation: the instance was imported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// Extension: the timer that has fired, for a watch with `include`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<FiredBy<'a>>,
    /// Extension: why a timer was spent: the code of the refusal, or `LATE` or `SKIPPED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'a, str>>,
    /// Extension: the same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'a, str>>,
    /// Extension: what is known about the write, if the watch asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Box<FactMeta<'a>>>,
}

/// How far a watch has read while no event matched; only for clients with the feature `cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "progress")]
pub struct Progress<'a> {
    /// The watch.
    pub subscription_id: Cow<'a, str>,
    /// The server has read everything up to here, inclusive, and has sent the events that matched.
    pub wal_offset: u64,
}

/// A watch's last frame, when it ends before UNWATCH.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "end")]
pub struct WatchEnd<'a> {
    /// The watch.
    pub subscription_id: Cow<'a, str>,
    /// Why.
    pub error: ErrorBody,
}

/// Appends a watch's event, for tests that stand in for a server.
///
/// # Errors
/// [`EncodeError`]; the buffer is as it was before.
#[cfg(any(test, feature = "testing"))]
pub fn encode_event(
    mode: WireMode,
    out: &mut BytesMut,
    event: &Event<'_>,
) -> Result<(), EncodeError> {
    wire::encode_with(mode, out, Flags::STREAM, |out| write_json(out, event))
}

/// Appends a notice of a watch's progress, for tests that stand in for a server.
///
/// # Errors
/// [`EncodeError`]; the buffer is as it was before.
#[cfg(any(test, feature = "testing"))]
pub fn encode_progress(
    mode: WireMode,
    out: &mut BytesMut,
    progress: &Progress<'_>,
) -> Result<(), EncodeError> {
    wire::encode_with(mode, out, Flags::STREAM, |out| write_json(out, progress))
}

/// Appends a watch's last frame; only for clients with the feature `cluster`.
///
/// # Errors
/// [`EncodeError`]; the buffer is as it was before.
pub fn encode_end(
    mode: WireMode,
    out: &mut BytesMut,
    end: &WatchEnd<'_>,
) -> Result<(), EncodeError> {
    let flags = Flags::STREAM | Flags::END_OF_STREAM;
    wire::encode_with(mode, out, flags, |out| write_json(out, end))
}
