//! The response envelope, errors and meta; what a server writes and a client reads.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ParamFault;
use crate::Code;
use crate::frame::{EncodeError, Flags};
use crate::wire::{self, WireMode};

/// In the details of an error: how many leaders in a row were lost with the request, if the cluster stops
/// retrying it for that reason.
pub const LEADERS_LOST: &str = "leaders_lost";

/// The error in a response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The code.
    pub code: Code,
    /// For people.
    #[serde(default)]
    pub message: Box<str>,
    /// Whether trying the same again is safe and may succeed.
    #[serde(default)]
    pub retryable: bool,
    /// Data by code.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::json::optional_value"
    )]
    pub details: Option<Value>,
}

impl ErrorBody {
    /// An error with the code's own `retryable`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            retryable: code.retryable(),
            code,
            message: message.into().into_boxed_str(),
            details: None,
        }
    }

    /// The same with these details, an object.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// The same for a write that may or may not have taken effect and carries no idempotency key:
    /// not retryable, and the details say so.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.retryable = false;
        match &mut self.details {
            Some(Value::Object(details)) => {
                details.insert("outcome".into(), "unknown".into());
            }
            details => *details = Some(serde_json::json!({ "outcome": "unknown" })),
        }
        self
    }

    /// Whether this is about a write that may or may not have taken effect.
    pub fn outcome_unknown(&self) -> bool {
        let outcome = self.details.as_ref().and_then(|d| d.get("outcome"));
        outcome.is_some_and(|outcome| outcome == "unknown")
    }

    /// How many leaders in a row the cluster lost with the request; 0 if it did not give up for that reason.
    pub fn leaders_lost(&self) -> u64 {
        let lost = self.details.as_ref().and_then(|d| d.get(LEADERS_LOST));
        lost.and_then(serde_json::Value::as_u64).unwrap_or(0)
    }

    /// The error for a client that did not ask for the feature `cluster`.
    #[must_use]
    pub fn for_legacy(mut self) -> Self {
        self.code = self.code.for_legacy();
        self
    }
}

impl std::fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl From<ParamFault> for ErrorBody {
    fn from(fault: ParamFault) -> Self {
        let message = fault.to_string();
        ErrorBody::new(Code::BadRequest, message)
            .with_details(serde_json::json!({ "field": fault.field }))
    }
}

impl From<&crate::Reject> for ErrorBody {
    fn from(reject: &crate::Reject) -> Self {
        ErrorBody::new(reject.code.clone(), reject.message.clone())
    }
}

/// What a response says beside its result. Fields this version does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResponseMeta {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<String>,
    /// Whether the answering node is the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<bool>,
    /// The offset of the write, or the one a read saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_offset: Option<u64>,
    /// Finds the request in the server's traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

pub(super) fn write_json<T: Serialize + ?Sized>(
    out: &mut BytesMut,
    value: &T,
) -> serde_json::Result<()> {
    serde_json::to_writer(out.writer(), value)
}

fn write_response(
    out: &mut BytesMut,
    id: &str,
    outcome: &[u8],
    body: &(impl Serialize + ?Sized),
    meta: Option<&ResponseMeta>,
) -> serde_json::Result<()> {
    out.put_slice(b"{\"type\":\"response\",\"id\":");
    write_json(out, id)?;
    out.put_slice(outcome);
    write_json(out, body)?;
    if let Some(meta) = meta {
        out.put_slice(b",\"meta\":");
        write_json(out, meta)?;
    }
    out.put_u8(b'}');
    Ok(())
}

/// Appends a successful response, for tests that stand in for a server. Documents inside `result` are spliced
/// unparsed.
///
/// # Errors
/// [`EncodeError`]; the buffer is as it was before, so an error can be answered instead.
#[cfg(any(test, feature = "testing"))]
pub fn encode_ok<R: Serialize + ?Sized>(
    mode: WireMode,
    out: &mut BytesMut,
    id: &str,
    result: &R,
    meta: Option<&ResponseMeta>,
) -> Result<(), EncodeError> {
    wire::encode_with(mode, out, Flags::NONE, |out| {
        write_response(out, id, b",\"status\":\"ok\",\"result\":", result, meta)
    })
}

/// Appends an error response.
///
/// # Errors
/// [`EncodeError`]; the buffer is as it was before.
pub fn encode_error(
    mode: WireMode,
    out: &mut BytesMut,
    id: &str,
    error: &ErrorBody,
    meta: Option<&ResponseMeta>,
) -> Result<(), EncodeError> {
    wire::encode_with(mode, out, Flags::NONE, |out| {
        write_response(out, id, b",\"status\":\"error\",\"error\":", error, meta)
    })
}

/// A message from a server. Borrows from the payload.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The answer to a request.
    Response {
        /// The request's id; empty if the server could not tell.
        id: Cow<'a, str>,
        /// The result, or the error, both unparsed.
        outcome: Result<&'a RawValue, &'a RawValue>,
        /// Unparsed.
        meta: Option<&'a RawValue>,
    },
    /// An event of a watch: parse the payload as [`Event`](super::watch::Event).
    Event,
    /// The progress of a watch: parse the payload as [`Progress`](super::watch::Progress).
    Progress,
    /// The end of a watch: parse the payload as [`End`](super::watch::WatchEnd).
    End,
    /// A message of a newer server.
    Unknown,
}

impl<'a> Incoming<'a> {
    /// Parses a payload's envelope.
    ///
    /// # Errors
    /// When the payload is not a message of the protocol.
    pub fn parse(payload: &'a [u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct ResponseText<'t>(#[serde(borrow)] Cow<'t, str>);
        #[derive(Deserialize)]
        struct Envelope<'t> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'t, str>,
            #[serde(borrow, default)]
            id: Option<ResponseText<'t>>,
            #[serde(borrow, default)]
            status: Option<ResponseText<'t>>,
            #[serde(borrow, default)]
            result: Option<&'t RawValue>,
            #[serde(borrow, default)]
            error: Option<&'t RawValue>,
            #[serde(borrow, default)]
            meta: Option<&'t RawValue>,
        }
        let envelope: Envelope<'a> = serde_json::from_slice(payload)?;
        match &*envelope.kind {
            "response" => {}
            "event" => return Ok(Incoming::Event),
            "progress" => return Ok(Incoming::Progress),
            "end" => return Ok(Incoming::End),
            _ => return Ok(Incoming::Unknown),
        }
        let ok = envelope.status.is_some_and(|status| status.0 == "ok");
        let outcome = match (ok, envelope.result, envelope.error) {
            (true, Some(result), _) => Ok(result),
            (true, None, _) => Ok(serde_json::from_str("{}")?),
            (false, _, Some(error)) => Err(error),
            (false, _, None) => {
                return Err(serde::de::Error::custom(
                    "a response without a result or an error",
                ));
            }
        };
        Ok(Incoming::Response {
            id: envelope.id.map(|id| id.0).unwrap_or_default(),
            outcome,
            meta: envelope.meta,
        })
    }
}
