//! The fields of an event frame.

use rstmdb_engine::fact::{ApplyEvent, CreateInstance, DeleteInstance, Fired, TimerSpent};

use crate::replica::{WatchEvent, WatchFact};
use crate::server::clients::ops::ShownParts;
use crate::server::messages::json::ObjectWriter;
use crate::server::messages::meta;

/// Writes a message of a watch. An event of a watch that asks for nothing more has exactly the fields that existing
/// clients know.
pub(super) fn write(frame: &mut ObjectWriter<'_>, event: &WatchEvent, shown: ShownParts) {
    let Some(told) = event.told() else {
        return;
    };
    if shown.kind {
        frame.str("kind", told.kind());
    }
    match told {
        WatchFact::Event(fact) => applied(frame, fact, event.offset, shown),
        WatchFact::Created(fact) => created(frame, fact, event.offset, shown),
        WatchFact::Deleted(fact) => deleted(frame, fact, event.offset),
        WatchFact::Spent(fact) => spent(frame, fact, event.offset),
        WatchFact::Flushed => {
            frame.int("wal_offset", event.offset);
        }
    }
    if shown.meta {
        meta::write(frame.object("meta"), event.entry());
    }
}

fn applied(frame: &mut ObjectWriter<'_>, fact: &ApplyEvent, offset: u64, shown: ShownParts) {
    frame
        .str("instance_id", &fact.instance_id)
        .str("machine", &fact.machine)
        .int("version", u64::from(fact.version))
        .int("wal_offset", offset)
        .str("from_state", &fact.from_state)
        .str("to_state", &fact.to_state)
        .str("event", &fact.event);
    if shown.kind {
        fired(frame, fact.fired.as_ref());
    }
    emitted(frame, &fact.emits);
    if let Some(payload) = &fact.payload {
        frame.raw("payload", payload);
    }
    if shown.ctx {
        frame.raw("ctx", &fact.ctx);
    }
}

fn created(frame: &mut ObjectWriter<'_>, fact: &CreateInstance, offset: u64, shown: ShownParts) {
    frame
        .str("instance_id", &fact.instance_id)
        .str("machine", &fact.machine)
        .int("version", u64::from(fact.version))
        .int("wal_offset", offset)
        .raw("from_state", NULL)
        .str("to_state", &fact.state)
        .raw("event", NULL);
    // Only watches that ask for creations get here.
    if fact.imported.is_some() {
        frame.flag("imported", true);
    }
    emitted(frame, &fact.emits);
    if shown.ctx {
        frame.raw("ctx", &fact.ctx);
    }
}

/// There are some only of machines of format 2, so that all others look as they always did.
fn emitted(frame: &mut ObjectWriter<'_>, names: &[String]) {
    if !names.is_empty() {
        frame.value("emits", &names);
    }
}

fn deleted(frame: &mut ObjectWriter<'_>, fact: &DeleteInstance, offset: u64) {
    frame.str("instance_id", &fact.instance_id);
    if !fact.machine.is_empty() {
        frame
            .str("machine", &fact.machine)
            .int("version", u64::from(fact.version));
    }
    frame.int("wal_offset", offset);
    match &*fact.from_state {
        "" => frame.raw("from_state", NULL),
        state => frame.str("from_state", state),
    };
    frame.raw("to_state", NULL).raw("event", NULL);
    fired(frame, fact.fired.as_ref());
}

/// A timer that had no effect: the state stays, and no event was applied.
fn spent(frame: &mut ObjectWriter<'_>, fact: &TimerSpent, offset: u64) {
    frame
        .str("instance_id", &fact.instance_id)
        .str("machine", &fact.machine)
        .int("version", u64::from(fact.version))
        .int("wal_offset", offset)
        .str("from_state", &fact.state)
        .str("to_state", &fact.state);
    match &*fact.event {
        "" => frame.raw("event", NULL),
        event => frame.str("event", event),
    };
    fired(frame, fact.fired.as_ref());
    frame.str("code", &fact.code).str("message", &fact.message);
}

/// The timer that has fired, for watches that ask for more than events.
fn fired(frame: &mut ObjectWriter<'_>, fired: Option<&Fired>) {
    if let Some(fired) = fired {
        let mut timer = frame.object("timer");
        timer.str("name", &fired.name).int("due_at", fired.due_ms);
        timer.end();
    }
}

const NULL: &[u8] = b"null";
