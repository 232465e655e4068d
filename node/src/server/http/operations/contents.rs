//! Machines, instances, batches and watches.

use super::field::Kind::*;
use super::field::{Shape, maybe, must};

#[rustfmt::skip]
pub(super) static PUT_MACHINE: Shape = Shape {
    summary: "Put a version of a machine",
    params: &[
        must("machine", Text, "the name"),
        must("version", Integer, ""),
        must("definition", Object, "states, transitions and the rest, see the documents on machines"),
        maybe("checksum", Text, "SHA-256 of the definition's text, 64 hexadecimal digits; a mismatch is `BAD_REQUEST`"),
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("machine", Text, "as put"),
        must("version", Integer, "as put"),
        must("stored_checksum", Text, "SHA-256 of the definition's text as stored"),
        must("created", Bool, "false when the same definition was there already. Definitions are compared by value: white space, the order of keys and how a number is written do not count. The stored text stays as it was first put"),
        maybe("warnings", List, "parts of the definition that are allowed and probably a mistake: `place`, as a path like `transitions[3].label`, and `text`"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static GET_MACHINE: Shape = Shape {
    summary: "A version of a machine",
    params: &[
        must("machine", Text, ""),
        maybe("version", Integer, "the highest when absent"),
        maybe("include", Texts, "`layout`: where the parts of its diagram stand. Refused inside a BATCH"),
    ],
    result: &[
        must("definition", Object, "as it was put"),
        must("checksum", Text, ""),
        must("version", Integer, "which version this is"),
        maybe("format", Integer, "the format of the definition"),
        maybe("warnings", List, "as for PUT_MACHINE"),
        maybe("layout", Object, "with `layout` in `include`: `width`, `height`, `initial`, `states`, `arrows`; null for a machine that is too large for a picture"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static DELETE_MACHINE: Shape = Shape {
    summary: "Delete versions of a machine that no instance has",
    params: &[
        must("machine", Text, ""),
        maybe("version", Integer, "this version; the request names either it or `all_versions`"),
        maybe("all_versions", Bool, "true: every version, the machine is gone"),
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("machine", Text, ""),
        must("deleted", Bool, "always true"),
        must("versions", Integers, "the versions that are gone, ascending"),
        must("wal_offset", Integer, "where it stands in the log; null in the answer to a dry run"),
        maybe("dry_run", Bool, "true in the answer to a dry run"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static LIST_MACHINES: Shape = Shape {
    summary: "The machines and their versions",
    params: &[
        maybe("limit", Integer, "all when absent"),
        maybe("offset", Integer, "how many to skip"),
    ],
    result: &[
        must("items", List, "by name: `machine`, `versions`, `format`?, `warning_count`?"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CREATE_INSTANCE: Shape = Shape {
    summary: "Create an instance",
    params: &[
        maybe("instance_id", Text, "the server makes a UUID when absent"),
        must("machine", Text, ""),
        maybe("version", Integer, "the highest when absent"),
        maybe("initial_ctx", Object, "`{}` when absent"),
        maybe("initial_state", Text, "extension: imports the instance in this state; needs a token that may import"),
        maybe("created_at", Integer, "extension: Unix milliseconds; only with `initial_state`"),
        maybe("updated_at", Integer, "extension: Unix milliseconds; only with `initial_state`"),
        maybe("idempotency_key", Text, "makes a retry take effect once; the header `Idempotency-Key` says the same"),
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("instance_id", Text, "given or made up"),
        must("state", Text, "the state in which it rests"),
        must("wal_offset", Integer, "where it stands in the log"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static GET_INSTANCE: Shape = Shape {
    summary: "The current state of an instance",
    params: &[
        must("instance_id", Text, ""),
        maybe("include", Texts, "what else to show. Refused inside a BATCH, and with a name that the server does not know"),
    ],
    result: &[
        must("machine", Text, ""),
        must("version", Integer, ""),
        must("state", Text, ""),
        must("ctx", Object, "the whole context"),
        maybe("last_event_id", Text, "the `event_id` of the last event, where it had one"),
        must("last_wal_offset", Integer, "where the instance last changed"),
        maybe("timers", List, "its armed timers, as in the result of TIMER_SET; absent where there are none"),
        maybe("timers_suspended", Bool, "too many of its timers have fired within a minute. None fires until a client resumes them"),
        maybe("meta", Object, "the metadata of the write at `last_wal_offset`; null if neither the log nor the archive has that write any more"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static LIST_INSTANCES: Shape = Shape {
    summary: "The instances, a page at a time",
    params: &[
        maybe("machine", Text, "only those"),
        maybe("state", Text, "only those"),
        maybe("limit", Integer, "100 when absent; more than 1000 counts as 1000"),
        maybe("offset", Integer, "how many matches to skip"),
        maybe("after", Text, "extension: the page that follows this id; cheaper than a deep `offset`"),
    ],
    result: &[
        must("instances", List, "by id: `id`, `machine`, `version`, `state`, `created_at`, `updated_at`, `last_wal_offset`"),
        must("total", Integer, "how many match, on all pages"),
        must("has_more", Bool, "whether more follow"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static DELETE_INSTANCE: Shape = Shape {
    summary: "Delete an instance",
    params: &[
        must("instance_id", Text, ""),
        maybe("expected_wal_offset", Integer, "`CONFLICT` unless the instance last changed at this offset"),
        maybe("idempotency_key", Text, "makes a retry take effect once; the header `Idempotency-Key` says the same"),
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("instance_id", Text, ""),
        must("deleted", Bool, "always true"),
        must("wal_offset", Integer, "where it stands in the log"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static APPLY_EVENT: Shape = Shape {
    summary: "Apply an event to an instance",
    params: &[
        must("instance_id", Text, ""),
        must("event", Text, ""),
        maybe("payload", Object, "its top-level keys replace those of the context"),
        maybe("expected_state", Text, "`CONFLICT` unless the instance is in this state"),
        maybe("expected_wal_offset", Integer, "`CONFLICT` unless the instance last changed at this offset"),
        maybe("event_id", Text, "a name for the event, kept with the instance and in the log"),
        maybe("timers", Object, "sets, moves or disarms timers of the state that the event leads to, as TIMER_SET does"),
        maybe("idempotency_key", Text, "makes a retry take effect once; the header `Idempotency-Key` says the same"),
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("from_state", Text, ""),
        must("to_state", Text, ""),
        must("ctx", Object, "the whole context after the event; null only where an idempotency key repeats an event that the log no longer has"),
        must("wal_offset", Integer, ""),
        must("applied", Bool, "false when an idempotency key replays an earlier call"),
        maybe("event_id", Text, "as given"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static ALLOWED_EVENTS: Shape = Shape {
    summary: "What each event would do now",
    params: &[
        must("instance_id", Text, ""),
        maybe("payloads", Object, "a payload, which is an object or null, for each event that has one"),
        maybe("headers", Object, "the headers that the event would be sent with"),
    ],
    result: &[
        must("state", Text, "the instance's state"),
        must("last_wal_offset", Integer, "where the instance last changed"),
        must("events", List, "in the order in which the definition's transitions from this state name them"),
        maybe("has_more", Bool, "the state has more events, which were not looked at"),
    ],
    reads: true,
    writes: false,
};

#[rustfmt::skip]
pub(super) static BATCH: Shape = Shape {
    summary: "Several operations in one request",
    params: &[
        maybe("mode", Text, "`best_effort` (default) or `atomic`"),
        must("ops", List, "each `{\"op\":NAME,\"params\":OBJECT}`"),
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("results", List, "one for each of `ops`, in their order: `status`, and `result` or `error`"),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static WATCH_INSTANCE: Shape = Shape {
    summary: "The events of an instance, live",
    params: &[
        must("instance_id", Text, "has to exist, unless `include` names something"),
        maybe("include_ctx", Bool, "true when absent"),
        maybe("include", Texts, "what else to deliver: `created`, `deleted`, `timer_spent`"),
        maybe("include_meta", Bool, "each event has `meta`"),
        maybe("from_offset", Integer, "where to start: 0 is the earliest event that is retained; after the head when absent"),
        maybe("cluster_id", Text, "the cluster that `from_offset` comes from"),
    ],
    result: &[],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static WATCH_ALL: Shape = Shape {
    summary: "The events of all instances, live",
    params: &[
        maybe("machines", Texts, "any of these; an empty or absent list matches everything"),
        maybe("from_states", Texts, "any of these; an empty or absent list matches everything"),
        maybe("to_states", Texts, "any of these; an empty or absent list matches everything"),
        maybe("events", Texts, "any of these; an empty or absent list matches everything"),
        maybe("emits", Texts, "any of these; an empty or absent list matches everything"),
        maybe("include_ctx", Bool, "true when absent"),
        maybe("include", Texts, "what else to deliver: `created`, `deleted`, `timer_spent`"),
        maybe("include_meta", Bool, "each event has `meta`"),
        maybe("from_offset", Integer, "where to start: 0 is the earliest event that is retained; after the head when absent"),
        maybe("cluster_id", Text, "the cluster that `from_offset` comes from"),
    ],
    result: &[],
    reads: false,
    writes: false,
};
