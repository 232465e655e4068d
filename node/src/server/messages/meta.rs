//! The metadata of a write: from parameters to the log, and from the log to JSON.

use rstmdb_engine::fact::{self, Entry, Header};
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::meta::{Headers, Meta};

use super::failure;
use super::json::{self, ObjectWriter};

/// As it goes into the log.
pub(crate) fn of_params(meta: Meta<'_>) -> Option<Box<fact::Meta>> {
    if meta.is_empty() {
        return None;
    }
    Some(Box::new(fact::Meta {
        headers: headers(meta.headers),
        reason: meta.reason.map(Into::into),
        correlation_id: meta.correlation_id.map(Into::into),
        causation_id: meta.causation_id.map(Into::into),
        fence: meta.fence.map(|fence| fact::Fence {
            lock: fence.lock.into_owned(),
            token: fence.token,
        }),
    }))
}

/// Headers, in the order of their names.
pub(crate) fn headers(headers: Headers<'_>) -> Vec<Header> {
    let headers = headers.into_iter().map(|(name, value)| Header {
        name: name.into_owned(),
        value: value.into_owned(),
    });
    headers.collect()
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
        fact::Meta {
            causation_id: Some(_),
            ..
        } => "causation_id",
        _ => "fence",
    };
    let problem =
        format!("operations of an atomic batch have no metadata of their own: set params.{field}");
    failure::bad_request(&format!("params.{field}"), &problem)
}

/// A dry run asks about all operations of a batch at once, and so for one fence.
pub(crate) fn refuse_fence_of_trial() -> ErrorBody {
    let problem = "a dry run of a batch has one fence for all its operations: set it beside ops";
    failure::bad_request("params.fence", problem)
}

/// Writes what is known about the write of an entry.
pub(crate) fn write(mut out: ObjectWriter<'_>, entry: &Entry) {
    if !entry.actor.is_empty() {
        out.str("actor", &entry.actor);
    }
    out.int("time_ms", entry.time_ms);
    if let Some(meta) = &entry.meta {
        write_said(&mut out, meta);
    }
    out.end();
}

/// Writes headers as a field of an object, if there are any.
pub(crate) fn write_headers(out: &mut ObjectWriter<'_>, headers: &[Header]) {
    if !headers.is_empty() {
        let headers = headers.iter();
        json::map(
            out.key("headers"),
            headers.map(|header| (&*header.name, &*header.value)),
        );
    }
}

/// Writes the metadata that a client gave, as fields of an object.
pub(crate) fn write_said(out: &mut ObjectWriter<'_>, meta: &fact::Meta) {
    write_headers(out, &meta.headers);
    if let Some(reason) = &meta.reason {
        out.str("reason", reason);
    }
    if let Some(id) = &meta.correlation_id {
        out.str("correlation_id", id);
    }
    if let Some(id) = &meta.causation_id {
        out.str("causation_id", id);
    }
    if let Some(fence) = &meta.fence {
        let mut object = out.object("fence");
        object.str("lock", &fence.lock).int("token", fence.token);
        object.end();
    }
}
