//! The log, its upkeep, backups and proofs.

use super::field::Kind::*;
use super::field::{Shape, maybe, must};

#[rustfmt::skip]
pub(super) static WAL_READ: Shape = Shape {
    summary: "A page of the log",
    params: &[
        must("from_offset", Integer, "inclusive; 0 for the earliest retained"),
        maybe("limit", Integer, "the most records of a page; 100 when absent; more than 1000 counts as 1000"),
        maybe("include_meta", Bool, "each record but those of checkpoints has `meta`"),
    ],
    result: &[
        must("records", List, "each `sequence`, `offset`, `entry`, and `meta` if asked for"),
        must("next_offset", Integer, "where to read on"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static ANCESTORS: Shape = Shape {
    summary: "A write, its cause, the cause of the cause, and so on",
    params: &[
        must("offset", Integer, "of a write"),
        maybe("limit", Integer, "the most writes; 100 when absent; more than 1000 counts as 1000"),
    ],
    result: &[
        must("facts", List, "newest first, each as in WAL_READ with `meta`. The facts of an atomic batch stand together, in their order"),
        must("ended", Text, "why the list ends. `root`: the last write names no cause. `not_an_offset`: its `causation_id` is not the offset of an earlier write of this log. `compacted`: its cause is no longer retained. `limit`: there are more"),
        maybe("next", Integer, "with `limit`: the write to go on with"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static WAL_STATS: Shape = Shape {
    summary: "The size of the log",
    params: &[],
    result: &[
        must("entry_count", Integer, ""),
        must("segment_count", Integer, ""),
        must("total_size_bytes", Integer, ""),
        must("latest_offset", Integer, ""),
        must("io_stats", Object, "`bytes_written`, `bytes_read`, `writes`, `reads`, `fsyncs`"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static SNAPSHOT_INSTANCE: Shape = Shape {
    summary: "Describe an instance with a checksum",
    params: &[
        must("instance_id", Text, ""),
    ],
    result: &[
        must("instance_id", Text, ""),
        must("snapshot_id", Text, ""),
        must("wal_offset", Integer, "where the instance last changed"),
        must("size_bytes", Integer, ""),
        must("checksum", Text, "equal for equal content"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static COMPACT: Shape = Shape {
    summary: "Take a snapshot and drop old segments",
    params: &[
        maybe("force_snapshot", Bool, "take a snapshot in any case, unless there is nothing new"),
    ],
    result: &[
        must("snapshots_created", Integer, ""),
        must("segments_deleted", Integer, ""),
        must("bytes_reclaimed", Integer, ""),
        must("total_snapshots", Integer, ""),
        must("wal_segments", Integer, ""),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static FLUSH_ALL: Shape = Shape {
    summary: "Remove every machine and instance",
    params: &[
        maybe("dry_run", Bool, "only tell what it would do"),
    ],
    result: &[
        must("flushed", Bool, "always true"),
        must("instances_removed", Integer, ""),
        must("machines_removed", Integer, ""),
    ],
    reads: false,
    writes: true,
};

#[rustfmt::skip]
pub(super) static BACKUP_DESCRIBE: Shape = Shape {
    summary: "What a backup can get from this node",
    params: &[],
    result: &[
        must("cluster_id", Text, ""),
        must("cluster_name", Text, ""),
        must("node_id", Integer, "who answers"),
        must("first_offset", Integer, "the log that can be read, inclusive"),
        must("last_offset", Integer, "the log that can be read, inclusive"),
        must("state_digest", Text, "the digest of the state at `last_offset`, in hex"),
        maybe("chain_head", Text, "the head of the chain over the log there, in hex, if it has begun"),
        must("time_ms", Integer, "the log time up to which, inclusive, no fact is missing, Unix milliseconds. The leader tells this time before the read: facts that are in flight there, or are decided later, have a later time. If the leader does not tell it, it is the time of the last fact"),
        maybe("archive_unavailable", Text, "why this node cannot read its archive at the moment. Then the archive may have entries before `first_offset`"),
        maybe("snapshot", Object, "the newest: `snapshot_id`, `offset`, `term`, `time_ms` (of its last fact), `digest`"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static BACKUP_SNAPSHOT: Shape = Shape {
    summary: "A piece of a snapshot",
    params: &[
        must("snapshot_id", Text, "as described"),
        must("from_byte", Integer, "where the piece begins; 0 at first"),
    ],
    result: &[
        must("data", Text, ""),
        must("next_byte", Integer, "where the next piece begins"),
        must("done", Bool, "there is no next piece"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static BACKUP_LOG: Shape = Shape {
    summary: "A piece of the log as it is stored",
    params: &[
        must("from_offset", Integer, "from 1"),
        maybe("from_byte", Integer, "where the piece begins in that entry; 0 when absent"),
        must("to_offset", Integer, "the last entry that is wanted, inclusive; the node waits until it has applied it"),
    ],
    result: &[
        must("data", Text, ""),
        must("next_offset", Integer, "where the next piece begins; `next_offset` is beyond `to_offset` after the last"),
        must("next_byte", Integer, "where the next piece begins; `next_offset` is beyond `to_offset` after the last"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static AUDIT_READ: Shape = Shape {
    summary: "Hashes of entries of the log",
    params: &[
        must("from_offset", Integer, "the first entry; 0: the first one before which the node knows the head"),
        maybe("instance_id", Text, "entries with facts about this instance are given whole, and so are those of FLUSH_ALL. Events without effect are left out"),
        maybe("limit", Integer, "how many entries the page covers, 1 to 16,384, which is also the default"),
    ],
    result: &[
        must("cluster_id", Text, ""),
        must("chain_from", Integer, "the first entry in the chain"),
        must("first_offset", Integer, "the first entry that the page covers"),
        must("head_before", Text, "the head before that entry, in hex"),
        must("hashes", Text, "the hashes of the covered entries, 32 bytes each, in base64"),
        must("entries", List, "`offset`, `term`, and in `data` the payload in base64; `stale` is true where the entry had no effect, and absent otherwise"),
        maybe("lives", List, "with `instance_id`, for each other entry that creates or deletes instances: `offset`, and in `opened` what its hash is made of, in base64: its content, 32 bytes, and its lives, 16 bytes each"),
        must("next_offset", Integer, "where the next page begins"),
        must("last_applied", Integer, "the last entry that the node has applied; a page may begin one after it, and is then empty"),
    ],
    reads: false,
    writes: false,
};
