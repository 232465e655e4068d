//! The answers to ALLOWED_EVENTS, and the fields that `dry_run` adds to an answer.

use bytes::{BufMut, BytesMut};
use rstmdb_engine::guard::Tried;
use rstmdb_engine::reply::{AllowedEvent, AllowedEvents, AlwaysTried, Trial, Would};

use crate::server::messages::json::{self, ObjectWriter};

/// The result of ALLOWED_EVENTS.
pub(super) fn write_allowed(object: &mut ObjectWriter<'_>, allowed: &AllowedEvents) {
    object.str("state", &allowed.state);
    super::write_offset(object, "last_wal_offset", allowed.last_wal_offset);
    json::array(
        object.key("events"),
        &allowed.events,
        usize::MAX,
        write_event,
    );
    if allowed.has_more {
        object.flag("has_more", true);
    }
}

fn write_event(out: &mut BytesMut, allowed: &AllowedEvent) {
    let mut object = ObjectWriter::begin(out);
    object.str("event", &allowed.event);
    match &allowed.to_state {
        Some(state) => object.str("outcome", "taken").str("to_state", state),
        None => object.str("outcome", "refused"),
    };
    json::array(
        object.key("guards"),
        &allowed.guards,
        usize::MAX,
        write_tried,
    );
    if allowed.guards_left_out > 0 {
        object.int("guards_left_out", allowed.guards_left_out as u64);
    }
    if !allowed.always.is_empty() {
        let always = object.key("always");
        json::array(always, &allowed.always, usize::MAX, write_always);
    }
    for (key, names) in [("armed", &allowed.armed), ("disarmed", &allowed.disarmed)] {
        if !names.is_empty() {
            object.value(key, names);
        }
    }
    if let Some(refusal) = &allowed.refusal {
        object
            .str("code", refusal.code())
            .str("message", &refusal.to_string());
    }
    object.end();
}

fn write_always(out: &mut BytesMut, always: &AlwaysTried) {
    let mut object = ObjectWriter::begin(out);
    object.str("state", &always.state);
    let guards = object.key("guards");
    json::array(guards, &always.guards, usize::MAX, write_tried);
    object.end();
}

fn write_tried(out: &mut BytesMut, tried: &Tried) {
    let mut object = ObjectWriter::begin(out);
    object.str("text", &tried.text).flag("holds", tried.holds);
    let values = object.key("values");
    values.put_u8(b'{');
    for (at, read) in tried.values.iter().enumerate() {
        if at > 0 {
            values.put_u8(b',');
        }
        json::string(values, &read.path);
        values.put_u8(b':');
        match read.beginning() {
            Some(beginning) => json::string(values, &beginning),
            None => values.put_slice(read.value.as_bytes()),
        }
    }
    values.put_u8(b'}');
    let cut = tried.values.iter().filter(|read| read.cut);
    let cut: Vec<&str> = cut.map(|read| &*read.path).collect();
    if !cut.is_empty() {
        object.value("cut", &cut);
    }
    if let Some(error) = &tried.error {
        object.str("error", error);
    }
    object.end();
}

/// What `dry_run` adds to the answer of an operation.
pub(super) fn write_trial(object: &mut ObjectWriter<'_>, trial: &Trial) {
    object.flag("dry_run", true);
    if trial.replayed {
        object.flag("replayed", true);
    }
    let Some(Would {
        set,
        unset,
        armed,
        disarmed,
        emits,
        via,
        ctx,
    }) = &trial.would
    else {
        return;
    };
    if let Some(ctx) = ctx {
        object.key("ctx").put_slice(ctx);
    }
    let mut would = object.object("would");
    would
        .value("set", set)
        .value("unset", unset)
        .value("armed", armed)
        .value("disarmed", disarmed)
        .value("emits", emits)
        .value("via", via);
    would.end();
}
