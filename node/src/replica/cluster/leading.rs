//! Keeps a flag that says whether this node leads.
//!
//! Each session asks on every turn, for the `meta` of its answers. Reading Raft's metrics takes a lock. The Raft core
//! needs the same lock to publish the metrics, which it does for each message. So only one task reads the metrics, and
//! only when they change.

use openraft::async_runtime::watch::WatchReceiver;

use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;

/// Keeps the flag of the gate until the replica is dropped or stopped, or its Raft core ends.
pub(crate) async fn run<T: Types>(pace: TaskPace<Neighbours<T>>) {
    let Some(mut metrics) = pace.parts().map(|parts| parts.raft.server_metrics()) else {
        return;
    };
    loop {
        let leads = metrics.borrow_watched().state.is_leader();
        match pace.parts() {
            Some(parts) => parts.gate.set_leads(leads),
            None => return,
        }
        tokio::select! {
            biased;
            () = pace.stopped() => return,
            changed = metrics.changed() => if changed.is_err() {
                return;
            }
        }
    }
}
