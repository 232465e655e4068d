//! The node and its cluster.

use super::field::Kind::*;
use super::field::{Shape, maybe, must};

#[rustfmt::skip]
pub(super) static INFO: Shape = Shape {
    summary: "This node and its state",
    params: &[],
    result: &[
        must("server_name", Text, ""),
        must("server_version", Text, ""),
        must("protocol_version", Integer, "1"),
        must("features", Texts, "all the server has"),
        must("max_frame_bytes", Integer, "16777216"),
        must("max_batch_ops", Integer, "100"),
        must("node_id", Integer, "this node"),
        must("cluster_id", Text, "made when the cluster was formed"),
        must("role", Text, "`leader`, `follower`, `learner` or `candidate`"),
        must("leader", Object, "`node_id`, `rcp_addr`"),
        must("term", Integer, "Raft's term"),
        must("last_applied", Integer, "offsets"),
        must("commit_index", Integer, "offsets"),
        must("members", List, "`node_id`, `rcp_addr`, `peer_addr`, `voter`"),
        must("uptime_secs", Integer, ""),
        must("connections", Integer, ""),
        must("instances", Integer, ""),
        must("earliest_offset", Integer, "the lowest offset that can still be read, from this node or from its archive"),
        must("state_digest", Text, "the digest of the state at `last_applied`, 32 hexadecimal digits"),
        maybe("chain", Object, "the chain over the log, if it has begun: `from`, the first entry in it; `head`, its head at `last_applied`, 64 hexadecimal digits"),
        maybe("automation", Object, "as the result of AUTOMATION"),
        maybe("removed", Object, "this node was removed from the cluster. `by` is the member that says so, and `membership` is the log index of the membership without this node that the member has committed"),
        maybe("feature_level", Integer, "the cluster's feature level, and the highest that this node's program understands"),
        maybe("understands_level", Integer, "the cluster's feature level, and the highest that this node's program understands"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static WHOAMI: Shape = Shape {
    summary: "Who the client is to this node, and what it may do",
    params: &[],
    result: &[
        must("name", Text, "the name that facts carry as their actor; null without authentication"),
        must("roles", Texts, ""),
        must("grants", List, "what the roles allow together: `verbs`, `machines`"),
        maybe("expires_at", Integer, "when the token expires, in Unix milliseconds"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static REPLICATION_STATUS: Shape = Shape {
    summary: "How this node replicates",
    params: &[],
    result: &[
        must("role", Text, "`standalone`, `primary` or `replica`; it says which of the other fields are there"),
        maybe("mode", Text, "of a primary"),
        maybe("primary_sequence", Integer, "of a primary and of a replica"),
        maybe("connected_replicas", Integer, "of a primary"),
        maybe("replicas", List, "of a primary: `replica_id`, `last_acked_sequence`, `lag_entries`"),
        maybe("upstream", Text, "of a replica"),
        maybe("last_applied_sequence", Integer, "of a replica"),
        maybe("lag_entries", Integer, "of a replica"),
        maybe("lag_seconds", Number, "of a replica"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CLUSTER_STATUS: Shape = Shape {
    summary: "The state of every member",
    params: &[],
    result: &[
        must("cluster_id", Text, ""),
        must("cluster_name", Text, ""),
        maybe("leader", Integer, "the leader's node id; absent while none is known"),
        must("term", Integer, "Raft's term, as the answering node knows it"),
        maybe("feature_level", Integer, "the cluster's feature level"),
        maybe("automation", Object, "as the result of AUTOMATION, as the answering node has applied it"),
        maybe("removed", Object, "as in INFO: the node that answers was removed from the cluster. Everything else in the answer is what it knew as a member"),
        must("nodes", List, "the members, by `node_id`"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CLUSTER_ADD: Shape = Shape {
    summary: "Take a node into the cluster",
    params: &[
        must("peer_addr", Text, "`HOST:PORT` where the node listens for peers; it was started to join"),
        maybe("node_id", Integer, "the id that node must have"),
    ],
    result: &[
        must("node_id", Integer, ""),
        must("peer_addr", Text, ""),
        must("rcp_addr", Text, ""),
        must("voter", Bool, "true if it was a voter already"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CLUSTER_PROMOTE: Shape = Shape {
    summary: "Give a learner a vote",
    params: &[
        must("node_id", Integer, "the learner"),
    ],
    result: &[
        must("node_id", Integer, ""),
        must("voter", Bool, "always true"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CLUSTER_REMOVE: Shape = Shape {
    summary: "Take a node out of the cluster",
    params: &[
        must("node_id", Integer, "the member"),
    ],
    result: &[
        must("node_id", Integer, ""),
        must("removed", Bool, "always true"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CLUSTER_SET_ADDRESS: Shape = Shape {
    summary: "Change the addresses of a member",
    params: &[
        must("node_id", Integer, "the member"),
        must("peer_addr", Text, "where other nodes reach it"),
        must("rcp_addr", Text, "where clients reach it"),
    ],
    result: &[
        must("node_id", Integer, ""),
        must("peer_addr", Text, ""),
        must("rcp_addr", Text, ""),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CLUSTER_TRANSFER_LEADER: Shape = Shape {
    summary: "Let another node lead",
    params: &[
        maybe("node_id", Integer, "the voter that is to lead; the leader chooses one when absent"),
    ],
    result: &[
        must("leader", Integer, "the node that leads now"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static CLUSTER_FINALIZE_UPGRADE: Shape = Shape {
    summary: "Raise the feature level",
    params: &[],
    result: &[
        must("from", Integer, "the level before"),
        must("to", Integer, "the level now"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static ROTATE_KEY: Shape = Shape {
    summary: "Read the encryption keys again",
    params: &[
        maybe("switch", Bool, "also encrypt new files with the last key of the file"),
    ],
    result: &[
        must("key_id", Integer, "the key of new files"),
        must("last_key_id", Integer, "the last key of the file"),
        maybe("last_key_fingerprint", Text, "tells whether two nodes have the same key"),
        must("known", Integers, "the ids of all keys"),
    ],
    reads: false,
    writes: false,
};

#[rustfmt::skip]
pub(super) static RELOAD: Shape = Shape {
    summary: "Read the configuration again",
    params: &[],
    result: &[
        must("applied", Texts, "the keys whose values have changed since they were last read, and which are in force now"),
        must("files", Texts, "the files that have changed and are in force now: `tokens`, `tls`, `cluster.tls and cluster.secret_file`, `storage.encryption_key_file`"),
        must("needs_restart", Texts, "the keys whose values differ from those that the node runs with, and need a restart"),
    ],
    reads: false,
    writes: false,
};
