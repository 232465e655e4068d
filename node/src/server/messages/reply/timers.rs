//! Timers: what GET_INSTANCE shows of them, TIMER_SET, TIMER_LIST.

use rstmdb_engine::reply::{TimerListed, TimerView};
use rstmdb_engine::{InstanceView, Reply};

use super::super::json::{self, ObjectWriter};

/// The timers of an instance. The fields are there only where there are any, so that others look as they always did.
pub(super) fn write_armed(object: &mut ObjectWriter<'_>, instance: &InstanceView) {
    if !instance.timers.is_empty() {
        write_list(object, &instance.timers);
    }
    if instance.timers_suspended {
        object.flag("timers_suspended", true);
    }
}

pub(super) fn write(object: &mut ObjectWriter<'_>, reply: &Reply) {
    match reply {
        Reply::TimersSet {
            instance_id,
            timers,
            applied,
            wal_offset,
        } => {
            object.str("instance_id", instance_id);
            write_list(object, timers);
            if let Some(offset) = wal_offset {
                super::write_offset(object, "wal_offset", *offset);
            }
            object.flag("applied", *applied);
        }
        Reply::Timers {
            items,
            next,
            armed,
            overdue,
        } => {
            json::array(object.key("timers"), items, usize::MAX, |out, item| {
                let mut object = ObjectWriter::begin(out);
                write_item(&mut object, item);
                object.end();
            });
            if let Some(next) = next {
                let mut place = object.object("next");
                place
                    .int("due_at", next.due_ms)
                    .str("instance_id", &next.instance_id)
                    .str("name", &next.name);
                place.end();
            }
            object.int("armed", *armed).int("overdue", *overdue);
        }
        // No client gets the answer of a firing.
        _ => {}
    }
}

fn write_list(object: &mut ObjectWriter<'_>, timers: &[TimerView]) {
    json::array(object.key("timers"), timers, usize::MAX, |out, timer| {
        let mut object = ObjectWriter::begin(out);
        write_timer(&mut object, timer);
        object.end();
    });
}

fn write_item(object: &mut ObjectWriter<'_>, item: &TimerListed) {
    object
        .str("instance_id", &item.instance_id)
        .str("machine", &item.machine)
        .int("version", u64::from(item.version))
        .str("state", &item.state);
    write_timer(object, &item.timer);
}

fn write_timer(object: &mut ObjectWriter<'_>, timer: &TimerView) {
    object.str("name", &timer.name);
    if let Some(event) = &timer.event {
        object.str("event", event);
    }
    object.int("due_at", timer.due_ms);
    if timer.refusals > 0 {
        object.int("refusals", u64::from(timer.refusals));
    }
}
