//! What this node refuses before Raft sees it, and what Raft's own refusals become.

use std::fmt::Display;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::AppendEntriesRequest;
use tonic::Status;

use crate::replica::{self, Replica, Types};
use crate::server::peer::identity::gate::PeerGate;
use crate::server::peer::sane::TermBounds;
use crate::server::peer::wire;

/// Refuses impossible messages, and entries for which this node has no room; a heartbeat has no entries.
pub(crate) fn admit<T: Types>(
    gate: &PeerGate,
    from: u64,
    replica: &Replica<T>,
    append: &AppendEntriesRequest<T>,
) -> Result<(), Status> {
    let sane = TermBounds::of(replica).append(append);
    sane.map_err(|insane| gate.insane(from, insane))?;
    match append.entries.is_empty() {
        true => Ok(()),
        false => replica.must_have_room().map_err(no_room),
    }
}

/// Whether this node knows the other one as the leader.
pub(crate) fn leads<T: Types>(replica: &Replica<T>, from: u64) -> bool {
    let metrics = replica.raft().metrics();
    metrics.borrow_watched().current_leader == Some(from)
}

/// Refuses a piece of an entry from a former leader, when this node follows another leader, whose term is not earlier.
/// Each piece that this node takes counts as an answer, and could keep the former leader from stepping down.
pub(crate) fn heed<T: Types>(
    replica: &Replica<T>,
    from: u64,
    piece: &wire::EntryPiece,
) -> Result<(), Status> {
    let metrics = replica.raft().metrics();
    let metrics = metrics.borrow_watched();
    let term = piece.log_id.map_or(0, |id| id.term);
    match metrics.current_leader {
        Some(leader) if leader != from && metrics.current_term >= term => {
            Err(Status::aborted(format!(
                "this node follows node {leader} in term {}",
                metrics.current_term
            )))
        }
        _ => Ok(()),
    }
}

/// The answer of a node that has no room: to its leader it looks like a node that cannot be reached.
pub(crate) fn no_room(error: replica::Error) -> Status {
    Status::resource_exhausted(error.to_string())
}

/// The answer when openraft has stopped, which is the only thing that can go wrong inside.
pub(crate) fn stopped(error: impl Display) -> Status {
    Status::unavailable(format!("this node's Raft has stopped: {error}"))
}
