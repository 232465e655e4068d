//! The metadata of a write: from parameters to the log, and from the log to JSON.

use rstmdb_engine::fact::{self, Entry, Header};
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::meta::Meta;

use super::failure;
use super::json::{self, Object};

/// As it goes into the log.
pub(crate) fn of_params(meta: Meta<'_>) -> Option<Box<fact::Meta>> {
    if meta.is_empty() {
        return None;
    }
    let headers = meta.headers.into_iter();
    let headers = headers.map(|(name, value)| Header {
        name: name.into_owned(),
        value: value.into_owned(),
    });
    Some(Box::new(fact::Meta {
        headers: headers.collect(),
        reason: meta.reason.map(Into::into),
        correlation_id: meta.correlation_id.map(Into::into),
        causation_id: meta.causation_id.map(Into::into),
    }))
}

/// The operations of an atomic batch are one write: only the batch says something about it.
pub(crate) fn refuse_own(meta: &fact::Meta) -> ErrorBody {
    let field = match meta {
        fact::Meta { headers, .. } if !headers.is_empty() => "headers",
        fact::Meta {
            reason: Some(_), ..
        } => "reason",
        fact::Meta {
            correlation_id: Some(_),
            ..
        } => "correlation_id",
        _ => "causation_id",
    };
    let problem =
        format!("operations of an atomic batch have no metadata of their own: set params.{field}");
    failure::bad_request(&format!("params.{field}"), &problem)
}

/// Writes what is known about the write of an entry.
pub(crate) fn write(mut out: Object<'_>, entry: &Entry) {
    if !entry.actor.is_empty() {
        out.str("actor", &entry.actor);
    }
    out.int("time_ms", entry.time_ms);
    if let Some(meta) = &entry.meta {
        write_said(&mut out, meta);
    }
    out.end();
}

/// Writes the metadata that a client gave, as fields of an object.
pub(crate) fn write_said(out: &mut Object<'_>, meta: &fact::Meta) {
    if !meta.headers.is_empty() {
        let headers = meta.headers.iter();
        json::map(
            out.key("headers"),
            headers.map(|header| (&*header.name, &*header.value)),
        );
    }
    if let Some(reason) = &meta.reason {
        out.str("reason", reason);
    }
    if let Some(id) = &meta.correlation_id {
        out.str("correlation_id", id);
    }
    if let Some(id) = &meta.causation_id {
        out.str("causation_id", id);
    }
}
