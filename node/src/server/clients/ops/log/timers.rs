//! What WAL_READ shows of timers.

use rstmdb_engine::fact::{Fired, SetTimers, TimerSpent, Timers};

use crate::server::messages::json::{self, ObjectWriter};

/// All timers of the instance after the fact, where it has changed them.
pub(super) fn write(out: &mut ObjectWriter<'_>, timers: Option<&Timers>) {
    let Some(timers) = timers else { return };
    json::array(
        out.key("timers"),
        &timers.armed,
        usize::MAX,
        |out, timer| {
            let mut object = ObjectWriter::begin(out);
            object.str("name", &timer.name).int("due_at", timer.due_ms);
            if timer.refusals > 0 {
                object.int("refusals", u64::from(timer.refusals));
            }
            object.end();
        },
    );
    if timers.suspended {
        out.flag("timers_suspended", true);
    }
}

/// The timer that has applied the event or deleted the instance.
pub(super) fn write_fired(out: &mut ObjectWriter<'_>, fired: Option<&Fired>) {
    let Some(fired) = fired else { return };
    let mut timer = out.object("timer");
    timer
        .str("name", &fired.name)
        .int("due_at", fired.due_ms)
        .int("entry_offset", fired.entry);
    timer.end();
}

/// A timer that had no effect.
pub(super) fn write_spent(out: &mut ObjectWriter<'_>, spent: &TimerSpent) {
    out.str("type", "timer_spent")
        .str("instance_id", &spent.instance_id)
        .str("machine", &spent.machine)
        .int("version", u64::from(spent.version))
        .str("state", &spent.state);
    if !spent.event.is_empty() {
        out.str("event", &spent.event);
    }
    out.str("code", &spent.code).str("message", &spent.message);
    write_fired(out, spent.fired.as_ref());
    write(out, spent.timers.as_ref());
}

/// Timers that were set without an event.
pub(super) fn write_set(out: &mut ObjectWriter<'_>, set: &SetTimers) {
    out.str("type", "set_timers")
        .str("instance_id", &set.instance_id)
        .str("machine", &set.machine)
        .int("version", u64::from(set.version))
        .str("state", &set.state);
    write(out, set.timers.as_ref());
}
