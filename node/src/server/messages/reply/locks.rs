//! LOCK_ACQUIRE, LOCK_RENEW, LOCK_RELEASE, LOCK_GET, LOCK_LIST.

use rstmdb_engine::{LockReply, LockView};

use super::super::json::{self, ObjectWriter};

pub(super) fn write(object: &mut ObjectWriter<'_>, reply: &LockReply) {
    match reply {
        LockReply::Held { lock, wal_offset } => {
            write_lock(object, lock);
            if let Some(offset) = wal_offset {
                object.int("wal_offset", *offset);
            }
        }
        // A node that asks for its client reads this. A result with `place` is no answer for a client.
        LockReply::Waits {
            lock,
            place,
            ahead,
            until_ms,
            wal_offset,
        } => {
            write_lock(object, lock);
            object
                .int("place", *place)
                .int("ahead", *ahead)
                .int("until", *until_ms);
            if let Some(offset) = wal_offset {
                object.int("wal_offset", *offset);
            }
        }
        LockReply::Released {
            name,
            owner,
            token,
            next,
            wal_offset,
        } => {
            object
                .str("name", name)
                .str("owner", owner)
                .int("token", *token)
                .flag("released", true);
            if let Some(next) = next {
                object.str("next_owner", next);
            }
            object.int("wal_offset", *wal_offset);
        }
        LockReply::Found { lock, .. } => write_list(object, lock.as_slice()),
        LockReply::Listed { items, next } => {
            write_list(object, items);
            if let Some(next) = next {
                object.str("next", next);
            }
        }
        // No client gets the answer of an expiry.
        LockReply::Expired(_) => {}
    }
}

fn write_list(object: &mut ObjectWriter<'_>, locks: &[LockView]) {
    json::array(object.key("locks"), locks, usize::MAX, |out, lock| {
        let mut object = ObjectWriter::begin(out);
        write_lock(&mut object, lock);
        object.end();
    });
}

fn write_lock(object: &mut ObjectWriter<'_>, lock: &LockView) {
    object
        .str("name", &lock.name)
        .str("owner", &lock.owner)
        .int("token", lock.token)
        .int("expires_at", lock.expires_ms)
        .int("ttl_ms", lock.ttl_ms)
        .int("waiting", lock.waiting);
}
