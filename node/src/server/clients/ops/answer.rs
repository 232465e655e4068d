//! The answers of the operations, and their JSON.
//!
//! The shapes are those of `rstmdb_rcp::message`; the answers of every request's path are written
//! by hand, because a context has to be spliced as it is and not parsed again. The tests read
//! every answer with the types of `rstmdb_rcp`.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rstmdb_engine::definition::Warning;
use rstmdb_engine::reply::{InstanceSummary, MachineSummary};
use rstmdb_engine::{InstanceView, Reply};
use rstmdb_rcp::PAYLOAD_BYTES_MAX;
use rstmdb_rcp::message::ErrorBody;
use serde::Serialize;

use crate::replica::Watch;
use crate::server::clients::json::{self, Object};
use crate::server::product::Product;

/// What an envelope adds to a result, at most: the longest id, escaped, and the meta.
pub(crate) const FRAME_ROOM_BYTES: usize = 4096;

/// One operation's part of a best-effort batch.
pub(crate) type Item = Result<Reply, ErrorBody>;

/// A successful answer.
pub(crate) struct Answer {
    /// The result.
    pub(crate) body: Body,
    /// For `meta`.
    pub(crate) wal_offset: Option<u64>,
}

/// A result.
pub(crate) enum Body {
    /// What the engine replied.
    Reply(Reply),
    /// The operations of a best-effort batch.
    Items(Vec<Item>),
    /// JSON text.
    Json(BytesMut),
    /// A watch has begun; the session gives it a name and writes the result.
    Watch(Box<Watching>),
}

/// A watch that has begun.
pub(crate) struct Watching {
    /// Where its events come from.
    pub(crate) watch: Watch<Product>,
    /// Whether its events carry the context.
    pub(crate) include_ctx: bool,
    /// For WATCH_INSTANCE: the instance and how it stands at the watch's head.
    pub(crate) instance: Option<(String, Reply)>,
}

impl Body {
    /// A result that is serialized here and now.
    pub(crate) fn json(result: &impl Serialize) -> Self {
        let mut out = BytesMut::new();
        json::serialized(&mut out, result);
        Self::Json(out)
    }

    /// Takes out what is shown only to clients that have offered `cluster`.
    pub(crate) fn for_legacy(&mut self) {
        match self {
            Self::Reply(reply) => drop_warnings(reply),
            Self::Items(items) => items.iter_mut().flatten().for_each(drop_warnings),
            Self::Json(_) | Self::Watch(_) => {}
        }
    }

    /// Writes the result. Stops early when the text is already longer than a frame may be.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Reply(reply) => write_reply(out, reply),
            Self::Items(items) => {
                let mut object = Object::begin(out);
                write_results(&mut object, items, write_item);
                object.end();
            }
            Self::Json(text) => out.put_slice(text),
            // The session writes it, because it knows the watch's name.
            Self::Watch(_) => out.put_slice(b"{}"),
        }
    }
}

fn write_item(out: &mut BytesMut, item: &Item) {
    match item {
        Ok(reply) => write_ok(out, reply),
        Err(error) => {
            let mut object = Object::begin(out);
            object.str("status", "error").value("error", error);
            object.end();
        }
    }
}

fn drop_warnings(reply: &mut Reply) {
    match reply {
        Reply::PutMachine { warnings, .. } => *warnings = Vec::<Warning>::new().into(),
        Reply::Batch(replies) => replies.iter_mut().for_each(drop_warnings),
        _ => {}
    }
}

fn write_ok(out: &mut BytesMut, reply: &Reply) {
    let mut object = Object::begin(out);
    object.str("status", "ok");
    write_reply(object.key("result"), reply);
    object.end();
}

fn write_results<T>(
    object: &mut Object<'_>,
    items: impl IntoIterator<Item = T>,
    item: impl FnMut(&mut BytesMut, T),
) {
    let results = object.key("results");
    let end = results.len() + PAYLOAD_BYTES_MAX;
    json::array(results, items, end, item);
}

fn write_reply(out: &mut BytesMut, reply: &Reply) {
    let mut object = Object::begin(out);
    write_fields(&mut object, reply);
    object.end();
}

/// The only place that knows all replies: each has one arm.
fn write_fields(object: &mut Object<'_>, reply: &Reply) {
    match reply {
        Reply::PutMachine {
            machine,
            version,
            checksum,
            created,
            warnings,
        } => write_stored(object, machine, *version, checksum, *created, warnings),
        Reply::Created {
            instance_id,
            state,
            wal_offset,
        } => write_created(object, instance_id, state, *wal_offset),
        Reply::Applied {
            from_state: from,
            to_state: to,
            ctx,
            applied,
            event_id: id,
            wal_offset,
        } => write_event(object, (from, to), ctx, *applied, id, *wal_offset),
        // A retry whose context is no longer in the log; a client that reads `ctx` still finds the field.
        Reply::Replayed {
            from_state: from,
            to_state: to,
            event_id: id,
            wal_offset,
            ..
        } => write_event(object, (from, to), b"null", false, id, *wal_offset),
        Reply::Deleted {
            instance_id,
            wal_offset,
        } => write_deleted(object, instance_id, *wal_offset),
        Reply::Flushed {
            instances_removed,
            machines_removed,
        } => write_flushed(object, *instances_removed, *machines_removed),
        Reply::Instance(instance) => write_instance(object, instance),
        Reply::Instances {
            items,
            total,
            has_more,
        } => write_instances(object, items, *total, *has_more),
        Reply::Machine {
            machine: _,
            version,
            definition,
            checksum,
        } => write_machine(object, definition, checksum, *version),
        Reply::Machines { items } => write_machines(object, items),
        Reply::Batch(replies) => write_results(object, replies, write_ok),
    }
}

fn write_stored(
    object: &mut Object<'_>,
    machine: &str,
    version: u32,
    checksum: &str,
    created: bool,
    warnings: &[Warning],
) {
    object
        .str("machine", machine)
        .int("version", u64::from(version))
        .str("stored_checksum", checksum)
        .flag("created", created);
    // The field is there only where there are any.
    if !warnings.is_empty() {
        let out = object.key("warnings");
        json::array(out, warnings, usize::MAX, |out, warning| {
            let mut object = Object::begin(out);
            object
                .str("place", &warning.place)
                .str("text", &warning.text);
            object.end();
        });
    }
}

fn write_created(object: &mut Object<'_>, instance_id: &str, state: &str, wal_offset: u64) {
    object
        .str("instance_id", instance_id)
        .str("state", state)
        .int("wal_offset", wal_offset);
}

/// The reply of APPLY_EVENT.
fn write_event(
    object: &mut Object<'_>,
    (from_state, to_state): (&str, &str),
    ctx: &[u8],
    applied: bool,
    event_id: &Option<Arc<str>>,
    wal_offset: u64,
) {
    object
        .str("from_state", from_state)
        .str("to_state", to_state)
        .raw("ctx", ctx)
        .int("wal_offset", wal_offset)
        .flag("applied", applied);
    if let Some(event_id) = event_id {
        object.str("event_id", event_id);
    }
}

fn write_deleted(object: &mut Object<'_>, instance_id: &str, wal_offset: u64) {
    object
        .str("instance_id", instance_id)
        .flag("deleted", true)
        .int("wal_offset", wal_offset);
}

fn write_flushed(object: &mut Object<'_>, instances_removed: u64, machines_removed: u64) {
    object
        .flag("flushed", true)
        .int("instances_removed", instances_removed)
        .int("machines_removed", machines_removed);
}

fn write_instance(object: &mut Object<'_>, instance: &InstanceView) {
    object
        .str("machine", &instance.machine)
        .int("version", u64::from(instance.version))
        .str("state", &instance.state)
        .raw("ctx", &instance.ctx);
    if let Some(event_id) = &instance.last_event_id {
        object.str("last_event_id", event_id);
    }
    object.int("last_wal_offset", instance.last_wal_offset);
}

fn write_instances(object: &mut Object<'_>, items: &[InstanceSummary], total: u64, has_more: bool) {
    json::array(object.key("instances"), items, usize::MAX, |out, item| {
        let mut object = Object::begin(out);
        object
            .str("id", &item.id)
            .str("machine", &item.machine)
            .int("version", u64::from(item.version))
            .str("state", &item.state)
            .int("created_at", item.created_ms)
            .int("updated_at", item.updated_ms)
            .int("last_wal_offset", item.last_wal_offset);
        object.end();
    });
    object.int("total", total).flag("has_more", has_more);
}

fn write_machine(object: &mut Object<'_>, definition: &[u8], checksum: &str, version: u32) {
    object
        .raw("definition", definition)
        .str("checksum", checksum)
        .int("version", u64::from(version));
}

fn write_machines(object: &mut Object<'_>, items: &[MachineSummary]) {
    json::array(object.key("items"), items, usize::MAX, |out, item| {
        let mut object = Object::begin(out);
        object
            .str("machine", &item.machine)
            .value("versions", &item.versions);
        object.end();
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_rcp::message::instance::ApplyEventResult;

    use super::*;

    #[test]
    fn a_repeated_event_whose_context_is_gone_says_null() {
        let body = Body::Reply(Reply::Replayed {
            instance_id: "i".into(),
            idempotency_key: "k".into(),
            from_state: "a".into(),
            to_state: "b".into(),
            event_id: Some("e".into()),
            wal_offset: 7,
        });
        let mut out = BytesMut::new();
        body.write(&mut out);
        let expected = r#"{"from_state":"a","to_state":"b","ctx":null,"wal_offset":7,"applied":false,"event_id":"e"}"#;
        assert_eq!(out, expected);
        let read: ApplyEventResult<'_> = serde_json::from_slice(&out).unwrap();
        assert!(read.ctx.get() == "null" && !read.applied);
    }
}
