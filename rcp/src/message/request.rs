//! The request envelope.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::response::ErrorBody;
use super::{ParamFault, response};
use crate::{JSON_DEPTH_MAX, REQUEST_ID_BYTES_MAX, depth};

/// A request, its parameters not yet looked at. Borrows from the payload.
#[derive(Debug, Clone)]
pub struct RequestHead<'a> {
    /// At most [`REQUEST_ID_BYTES_MAX`] bytes.
    pub id: Cow<'a, str>,
    /// The operation's name. The caller checks whether it exists.
    pub op: Cow<'a, str>,
    /// A JSON object, at most [`JSON_DEPTH_MAX`] deep counting the envelope.
    pub params: &'a RawValue,
    /// What the request belongs to, as W3C Trace Context writes it. Anything that is no text counts as absent, because
    /// no request fails for the sake of its trace.
    pub traceparent: Option<Cow<'a, str>>,
}

/// A payload that is not a valid request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestFault {
    /// The request's id; empty if it has no usable one.
    pub id: String,
    /// What is wrong.
    pub message: String,
    /// The field, where it is one field that is wrong.
    pub field: Option<String>,
    /// The payload is not a JSON object: the connection is closed after the answer.
    pub closes: bool,
}

/// How the message of a fault begins if the payload is not a JSON object. What is wrong with it follows.
pub const NOT_AN_OBJECT: &str = "the payload is not a JSON object: ";

impl RequestFault {
    /// The error to answer with.
    pub fn error(&self) -> ErrorBody {
        let error = ErrorBody::new(crate::Code::BadRequest, self.message.clone());
        match &self.field {
            Some(field) => error.with_details(serde_json::json!({ "field": field })),
            None => error,
        }
    }

    fn not_an_object(problem: impl std::fmt::Display) -> Self {
        Self {
            id: String::new(),
            message: format!("{NOT_AN_OBJECT}{problem}"),
            field: None,
            closes: true,
        }
    }
}

impl<'a> RequestHead<'a> {
    /// Parses a payload's envelope.
    ///
    /// # Errors
    /// [`RequestFault`], which says whether the connection lives on.
    pub fn parse(payload: &'a [u8]) -> Result<Self, RequestFault> {
        let text = std::str::from_utf8(payload).map_err(RequestFault::not_an_object)?;
        // Splitting does not recurse, so it finds the id however deep the rest is nested.
        let fields = Fields::split("", text, ["type", "id", "op", "params", "traceparent"])
            .map_err(RequestFault::not_an_object)?;
        let id = read_id(&fields);
        let fault = |fault: ParamFault| RequestFault {
            id: id.as_deref().unwrap_or_default().to_owned(),
            message: fault.to_string(),
            field: Some(fault.field),
            closes: false,
        };
        if let Err(too_deep) = depth::check(payload, JSON_DEPTH_MAX) {
            return Err(RequestFault {
                id: id.as_deref().unwrap_or_default().to_owned(),
                message: too_deep.to_string(),
                field: None,
                closes: false,
            });
        }
        let kind = fields.optional_text("type").map_err(fault)?;
        if kind.is_some_and(|kind| kind != "request") {
            return Err(fault(fields.unexpected("type", "\"request\"")));
        }
        let op = fields.text("op").map_err(fault)?;
        let params = match fields.optional_object("params").map_err(fault)? {
            Some(params) => params,
            None => serde_json::from_str("{}").map_err(RequestFault::not_an_object)?,
        };
        let id = id.map_err(|problem| RequestFault {
            id: String::new(),
            message: problem.to_string(),
            field: Some(problem.field),
            closes: false,
        })?;
        let traceparent = fields.optional_text("traceparent").ok().flatten();
        Ok(Self {
            id,
            op,
            params,
            traceparent,
        })
    }
}

fn read_id<'a>(fields: &Fields<'a, 5>) -> Result<Cow<'a, str>, ParamFault> {
    let id = fields.text("id")?;
    if id.len() > REQUEST_ID_BYTES_MAX {
        return Err(ParamFault::new(
            "id",
            format!(
                "at most {REQUEST_ID_BYTES_MAX} bytes, got {} bytes",
                id.len()
            ),
        ));
    }
    Ok(id)
}

/// Appends the JSON text of a request whose id is this number.
#[cfg(feature = "client")]
pub(crate) fn write_numbered(
    out: &mut BytesMut,
    id: u64,
    op: &str,
    params: &RawValue,
) -> serde_json::Result<()> {
    out.put_slice(b"{\"type\":\"request\",\"id\":\"");
    response::write_json(out, &id)?;
    out.put_u8(b'"');
    write_rest(out, op, params)
}

/// Appends a request's JSON text.
///
/// # Errors
/// When `id` or `op` cannot be written; they are strings, so this does not happen.
pub fn write(out: &mut BytesMut, id: &str, op: &str, params: &RawValue) -> serde_json::Result<()> {
    out.put_slice(b"{\"type\":\"request\",\"id\":");
    response::write_json(out, id)?;
    write_rest(out, op, params)
}

fn write_rest(out: &mut BytesMut, op: &str, params: &RawValue) -> serde_json::Result<()> {
    out.put_slice(b",\"op\":");
    response::write_json(out, op)?;
    out.put_slice(b",\"params\":");
    out.put_slice(params.get().as_bytes());
    out.put_u8(b'}');
    Ok(())
}
