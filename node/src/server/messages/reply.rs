//! From a reply to its JSON.
//!
//! The JSON has the fields of `rstmdb_rcp::message`. This code writes it by hand, because it copies a context as it is,
//! without parsing it again. With the same code a leader writes the results of the requests that other nodes forward,
//! and marks the parts that the other node has to complete or leave out.

mod asked;
mod locks;
mod machines;
mod timers;

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rstmdb_engine::definition::Warning;
use rstmdb_engine::fact::NO_OFFSET;
use rstmdb_engine::reply::{InstanceSummary, Trial};
use rstmdb_engine::{InstanceView, Reply};
use rstmdb_rcp::PAYLOAD_BYTES_MAX;

pub(crate) use machines::write_machine;

use super::failure;
use super::json::{self, ObjectWriter};
use crate::replica::{MarkedPart, Relayed, ReplayedContext, Replied, ReplyMark};

/// Writes a result. Stops early when the text is already longer than a frame may be.
pub(crate) fn write(out: &mut BytesMut, replied: &Replied) {
    match replied {
        Replied::Here(reply) => write_reply(out, reply, &mut Vec::new()),
        Replied::ByLeader(relayed) => relayed.pieces().for_each(|piece| out.put_slice(piece)),
    }
}

/// The result for the client of another node.
pub(crate) fn relayed(reply: &Reply) -> Relayed {
    let (mut out, mut marks) = (BytesMut::new(), Vec::new());
    write_reply(&mut out, reply, &mut marks);
    Relayed::written(out.freeze(), marks)
}

/// Takes out the fields that only clients with the feature `cluster` get.
pub(crate) fn hide_extensions(replied: &mut Replied) {
    match replied {
        Replied::Here(reply) => drop_warnings(reply),
        Replied::ByLeader(relayed) => relayed.hide_extensions(),
    }
}

fn drop_warnings(reply: &mut Reply) {
    match reply {
        Reply::PutMachine { warnings, .. } => *warnings = Vec::<Warning>::new().into(),
        Reply::Batch(replies) => replies.iter_mut().for_each(drop_warnings),
        Reply::DryRun(trial) => drop_warnings(&mut trial.reply),
        _ => {}
    }
}

/// Writes the results of a batch into its object.
pub(crate) fn write_results<T>(
    object: &mut ObjectWriter<'_>,
    items: impl IntoIterator<Item = T>,
    item: impl FnMut(&mut BytesMut, T),
) {
    let results = object.key("results");
    let end = results.len() + PAYLOAD_BYTES_MAX;
    json::array(results, items, end, item);
}

/// Writes a reply. A mark is placed by the bytes that the buffer has.
fn write_reply(out: &mut BytesMut, reply: &Reply, marks: &mut Vec<ReplyMark>) {
    let mut object = ObjectWriter::begin(out);
    write_fields(&mut object, reply, marks);
    object.end();
}

/// What the cluster has agreed on besides its contents.
fn write_agreed(object: &mut ObjectWriter<'_>, reply: &Reply) {
    match reply {
        Reply::Automation {
            paused,
            since_ms,
            reason,
            wal_offset,
        } => {
            object.str("automation", if *paused { "paused" } else { "running" });
            if *since_ms != 0 {
                object.int("since", *since_ms);
            }
            if !reason.is_empty() {
                object.str("reason", reason);
            }
            if let Some(offset) = wal_offset {
                object.int("wal_offset", *offset);
            }
        }
        Reply::LevelSet { from, to } => {
            object
                .int("from", u64::from(*from))
                .int("to", u64::from(*to));
        }
        _ => {}
    }
}

/// The only place that lists all replies: each has one arm.
fn write_fields(object: &mut ObjectWriter<'_>, reply: &Reply, marks: &mut Vec<ReplyMark>) {
    match reply {
        Reply::PutMachine { .. } => machines::write_stored(object, reply, marks),
        Reply::MachineDeleted { .. } => machines::write_deleted(object, reply),
        Reply::Created {
            instance_id,
            state,
            wal_offset,
        } => write_created(object, Some(instance_id), state, *wal_offset),
        Reply::Applied {
            from_state: from,
            to_state: to,
            ctx,
            applied,
            event_id: id,
            wal_offset,
        } => _ = write_event(object, (from, to), ctx, *applied, id, *wal_offset),
        Reply::Replayed {
            instance_id,
            idempotency_key,
            from_state: from,
            to_state: to,
            event_id: id,
            wal_offset,
        } => {
            let at = write_event(object, (from, to), NO_CTX, false, id, *wal_offset);
            marks.push(no_ctx(at, instance_id, idempotency_key, *wal_offset));
        }
        Reply::Deleted {
            instance_id,
            wal_offset,
        } => write_deleted(object, instance_id, *wal_offset),
        Reply::Flushed {
            instances_removed,
            machines_removed,
        } => write_flushed(object, *instances_removed, *machines_removed),
        Reply::Automation { .. } | Reply::LevelSet { .. } => write_agreed(object, reply),
        Reply::TimersSet { .. } | Reply::Timers { .. } | Reply::Fired(_) => {
            timers::write(object, reply);
        }
        Reply::Lock(lock) => locks::write(object, lock),
        Reply::Instance(instance) => write_instance(object, instance),
        Reply::Instances {
            items,
            total,
            has_more,
        } => write_instances(object, items, *total, *has_more),
        Reply::Machine { .. } => machines::write_machine(object, reply),
        Reply::Machines { items } => machines::write_machines(object, items),
        Reply::Batch(replies) => write_batch(object, replies, marks),
        Reply::AllowedEvents(_) | Reply::DryRun(_) | Reply::Refused(_) => {
            write_asked(object, reply, marks);
        }
    }
}

fn write_asked(object: &mut ObjectWriter<'_>, reply: &Reply, marks: &mut Vec<ReplyMark>) {
    match reply {
        Reply::AllowedEvents(allowed) => asked::write_allowed(object, allowed),
        Reply::DryRun(trial) => write_trial(object, trial, marks),
        // A refusal is only an operation of a batch, whose item shows it.
        _ => {}
    }
}

fn write_trial(object: &mut ObjectWriter<'_>, trial: &Trial, marks: &mut Vec<ReplyMark>) {
    match &trial.reply {
        Reply::Created {
            state, wal_offset, ..
        } if trial.id_drawn => write_created(object, None, state, *wal_offset),
        reply => write_fields(object, reply, marks),
    }
    asked::write_trial(object, trial);
}

fn write_batch(object: &mut ObjectWriter<'_>, replies: &[Reply], marks: &mut Vec<ReplyMark>) {
    let indexed = replies.iter().enumerate();
    write_results(object, indexed, |out, (index, reply)| {
        let mut item = ObjectWriter::begin(out);
        match reply {
            Reply::Refused(refusal) => {
                let error = failure::in_batch(failure::of_refusal(refusal), index);
                item.str("status", "error").value("error", &error);
            }
            reply => write_reply(item.str("status", "ok").key("result"), reply, marks),
        }
        item.end();
    });
}

/// `null` if there is none: nothing has been written.
fn write_offset(object: &mut ObjectWriter<'_>, name: &'static str, offset: u64) {
    match offset {
        NO_OFFSET => object.raw(name, b"null"),
        offset => object.int(name, offset),
    };
}

fn write_created(
    object: &mut ObjectWriter<'_>,
    instance_id: Option<&str>,
    state: &str,
    wal_offset: u64,
) {
    match instance_id {
        Some(id) => object.str("instance_id", id),
        None => object.raw("instance_id", b"null"),
    };
    write_offset(object.str("state", state), "wal_offset", wal_offset);
}

/// The reply of APPLY_EVENT. Returns where the context is.
fn write_event(
    object: &mut ObjectWriter<'_>,
    (from_state, to_state): (&str, &str),
    ctx: &[u8],
    applied: bool,
    event_id: &Option<Arc<str>>,
    wal_offset: u64,
) -> usize {
    object
        .str("from_state", from_state)
        .str("to_state", to_state);
    let at = object.raw("ctx", ctx).written() - ctx.len();
    write_offset(object, "wal_offset", wal_offset);
    object.flag("applied", applied);
    if let Some(event_id) = event_id {
        object.str("event_id", event_id);
    }
    at
}

/// The context of a retry that is not in the state, and perhaps no longer in the log; a client that reads `ctx` still
/// finds the field.
const NO_CTX: &[u8] = b"null";

fn no_ctx(at: usize, instance_id: &str, key: &str, wal_offset: u64) -> ReplyMark {
    ReplyMark {
        at,
        bytes: NO_CTX.len(),
        part: MarkedPart::Context(ReplayedContext {
            instance_id: instance_id.to_owned(),
            idempotency_key: key.to_owned(),
            wal_offset,
            found: None,
        }),
    }
}

fn write_deleted(object: &mut ObjectWriter<'_>, instance_id: &str, wal_offset: u64) {
    object.str("instance_id", instance_id).flag("deleted", true);
    write_offset(object, "wal_offset", wal_offset);
}

fn write_flushed(object: &mut ObjectWriter<'_>, instances_removed: u64, machines_removed: u64) {
    object
        .flag("flushed", true)
        .int("instances_removed", instances_removed)
        .int("machines_removed", machines_removed);
}

/// Writes an instance's fields.
pub(crate) fn write_instance(object: &mut ObjectWriter<'_>, instance: &InstanceView) {
    object
        .str("machine", &instance.machine)
        .int("version", u64::from(instance.version))
        .str("state", &instance.state)
        .raw("ctx", &instance.ctx);
    if let Some(event_id) = &instance.last_event_id {
        object.str("last_event_id", event_id);
    }
    write_offset(object, "last_wal_offset", instance.last_wal_offset);
    timers::write_armed(object, instance);
}

fn write_instances(
    object: &mut ObjectWriter<'_>,
    items: &[InstanceSummary],
    total: u64,
    has_more: bool,
) {
    json::array(object.key("instances"), items, usize::MAX, |out, item| {
        let mut object = ObjectWriter::begin(out);
        object
            .str("id", &item.id)
            .str("machine", &item.machine)
            .int("version", u64::from(item.version))
            .str("state", &item.state)
            .int("created_at", item.created_ms)
            .int("updated_at", item.updated_ms);
        write_offset(&mut object, "last_wal_offset", item.last_wal_offset);
        object.end();
    });
    object.int("total", total).flag("has_more", has_more);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_rcp::message::instance::ApplyEventResult;

    use super::*;

    #[test]
    fn a_repeated_event_whose_context_is_gone_says_null() {
        let reply = Reply::Replayed {
            instance_id: "i".into(),
            idempotency_key: "k".into(),
            from_state: "a".into(),
            to_state: "b".into(),
            event_id: Some("e".into()),
            wal_offset: 7,
        };
        let mut out = BytesMut::new();
        write(&mut out, &reply.into());
        let expected = r#"{"from_state":"a","to_state":"b","ctx":null,"wal_offset":7,"applied":false,"event_id":"e"}"#;
        assert_eq!(out, expected);
        let read: ApplyEventResult<'_> = serde_json::from_slice(&out).unwrap();
        assert!(read.ctx.get() == "null" && !read.applied);
    }
}
