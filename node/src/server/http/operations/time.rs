//! Timers, locks, automation, the clock of tests.

use super::field::Kind::*;
use super::field::{Shape, maybe, must};

#[rustfmt::skip]
pub(super) static TIMER_SET: Shape = Shape {
    summary: "Set, move or disarm timers of an instance",
    params: &[
        must("instance_id", Text, ""),
        maybe("timers", Object, "for names of timers of the instance's state: `{\"after\": \"1h\"}`, `{\"at\": time}` with a time as in RFC 3339 or Unix milliseconds, or null, which disarms the timer. 32,768 bytes and 16 names at most"),
        maybe("resume", Bool, "true: if the timers of the instance are suspended, they fire again"),
        maybe("expected_state", Text, "as for APPLY_EVENT"),
        maybe("expected_wal_offset", Integer, "as for APPLY_EVENT"),
        maybe("idempotency_key", Text, "makes a retry take effect once; the header `Idempotency-Key` says the same"),
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("instance_id", Text, ""),
        must("timers", List, "the instance's armed timers after the operation, by name: `name`, `event`?, `due_at`, `refusals`? (how often the event was refused)"),
        maybe("wal_offset", Integer, "absent when nothing was changed"),
        must("applied", Bool, "false when nothing was changed, also when an idempotency key replays an earlier call"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static TIMER_LIST: Shape = Shape {
    summary: "The armed timers, by due time",
    params: &[
        maybe("machine", Text, "only timers of instances of this machine"),
        maybe("due_before", Integer, "only timers that are due before this time, Unix milliseconds"),
        maybe("suspended", Bool, "true: only timers of instances whose timers are suspended, in the order of the instances. false (the default): only those of other instances"),
        maybe("limit", Integer, "100 when absent, 1000 at most"),
        maybe("after", Object, "`next` of the page before"),
    ],
    result: &[
        must("timers", List, "each `instance_id`, `machine`, `version`, `state`, `name`, `event`?, `due_at`, `refusals`?"),
        maybe("next", Object, "`due_at`, `instance_id`, `name`: where the next page begins. A page may be short, even empty, and have one"),
        must("armed", Integer, "how many timers are armed, of all machines. Suspended ones count too"),
        must("overdue", Integer, "how many of these are overdue and not suspended, counted up to 100,000"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static LOCK_ACQUIRE: Shape = Shape {
    summary: "Acquire a lock",
    params: &[
        must("name", Text, "the lock; 1 to 1,024 bytes"),
        must("owner", Text, "who asks; 1 to 1,024 bytes. Two processes with the same owner share the lock"),
        must("ttl_ms", Integer, "after how long the lock expires if the owner does not renew it: 1,000 to 86,400,000"),
        maybe("wait_ms", Integer, "how long to wait while another owner has the lock: 86,400,000 at most. 0 when absent"),
    ],
    result: &[
        must("name", Text, ""),
        must("owner", Text, ""),
        must("token", Integer, "for `fence`, LOCK_RENEW and LOCK_RELEASE: the offset at which the lock was granted, greater than each earlier token of the lock"),
        must("expires_at", Integer, "when the lock expires, Unix milliseconds by log time"),
        must("ttl_ms", Integer, "the time that the owner asked for"),
        must("waiting", Integer, "how many owners wait for the lock"),
        maybe("wal_offset", Integer, "absent when nothing was written"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static LOCK_RENEW: Shape = Shape {
    summary: "Keep a lock for longer",
    params: &[
        must("name", Text, ""),
        must("token", Integer, "of LOCK_ACQUIRE"),
        maybe("ttl_ms", Integer, "when absent, the time that the owner asked for last"),
    ],
    result: &[
        must("name", Text, ""),
        must("owner", Text, ""),
        must("token", Integer, "for `fence`, LOCK_RENEW and LOCK_RELEASE: the offset at which the lock was granted, greater than each earlier token of the lock"),
        must("expires_at", Integer, "when the lock expires, Unix milliseconds by log time"),
        must("ttl_ms", Integer, "the time that the owner asked for"),
        must("waiting", Integer, "how many owners wait for the lock"),
        maybe("wal_offset", Integer, "absent when nothing was written"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static LOCK_RELEASE: Shape = Shape {
    summary: "Release a lock",
    params: &[
        must("name", Text, ""),
        must("token", Integer, "of LOCK_ACQUIRE"),
    ],
    result: &[
        must("name", Text, "the lock, the owner that held it, and its token"),
        must("owner", Text, "the lock, the owner that held it, and its token"),
        must("token", Integer, "the lock, the owner that held it, and its token"),
        must("released", Bool, "always true"),
        maybe("next_owner", Text, "the owner that holds the lock now"),
        must("wal_offset", Integer, ""),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static LOCK_GET: Shape = Shape {
    summary: "A lock and its holder",
    params: &[
        must("name", Text, ""),
    ],
    result: &[
        must("locks", List, "the lock: `name`, `owner`, `token`, `expires_at`, `ttl_ms`, `waiting`. Empty when it is free. Log time says whether it has expired: while there is no leader, a lock is shown after its `expires_at`, too"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static LOCK_LIST: Shape = Shape {
    summary: "The locks that are held",
    params: &[
        maybe("prefix", Text, "only locks whose names begin like this"),
        maybe("limit", Integer, "100 when absent, 1000 at most"),
        maybe("after", Text, "`next` of the page before"),
    ],
    result: &[
        must("locks", List, "as in LOCK_GET"),
        maybe("next", Text, "the next page begins after this name"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static AUTOMATION: Shape = Shape {
    summary: "Whether timers fire, or change that",
    params: &[
        maybe("set", Text, "`paused` or `running`. Absent: nothing is changed"),
        maybe("skip_overdue", Bool, "with `running` only: actions that became due during the pause do not happen"),
        maybe("shift_timers", Bool, "with `running` only, and not with `skip_overdue`: all future times move by the length of the pause"),
    ],
    result: &[
        must("automation", Text, "`paused` or `running`"),
        maybe("since", Integer, "Unix milliseconds; absent when it was never paused"),
        maybe("reason", Text, ""),
        maybe("by", Text, "the name of the token that has set it; not in the answer to `set`"),
        maybe("wal_offset", Integer, "where it was changed, in the answer to a `set` that changed something"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static CLOCK_ADVANCE: Shape = Shape {
    summary: "Let time pass on a node for tests",
    params: &[
        maybe("by", Text, "a duration: `30m`, `1h30m`, `90d`, or as in ISO 8601, `PT30M`. Absent: the clock stays where it is"),
    ],
    result: &[
        must("now", Integer, "what the clock shows, Unix milliseconds"),
    ],
    reads: false,
    writes: false,
};
