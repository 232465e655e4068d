//! What WAL_READ shows of locks.

use rstmdb_engine::fact::LockChanged;

use crate::server::messages::json::ObjectWriter;

/// What became of a lock at this offset.
pub(super) fn write(out: &mut ObjectWriter<'_>, offset: u64, change: &LockChanged) {
    // A fact cannot carry the offset that it gets.
    let or_this = |earlier: u64| if earlier == 0 { offset } else { earlier };
    out.str("type", "lock_changed").str("name", &change.name);
    if let Some(ended) = &change.ended {
        let mut object = out.object("ended");
        object
            .str("owner", &ended.owner)
            .int("token", ended.token)
            .str("by", if ended.expired { "expiry" } else { "release" });
        object.end();
    }
    if let Some(holder) = &change.holder {
        let mut object = out.object("holder");
        object
            .str("owner", &holder.owner)
            .int("token", or_this(holder.token))
            .int("expires_at", holder.expires_ms)
            .int("ttl_ms", holder.ttl_ms);
        object.end();
    }
    if let Some(waiter) = &change.waiter {
        let mut object = out.object("waiter");
        object
            .str("owner", &waiter.owner)
            .int("place", or_this(waiter.place))
            .int("until", waiter.until_ms);
        object.end();
    }
    if !change.gone.is_empty() {
        out.value("gone", &change.gone);
    }
}
