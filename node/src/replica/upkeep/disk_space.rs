//! The watch on free disk space, inodes and file descriptors.
//!
//! A full disk fails a write, and a failed write ends the node. So a node whose free space is below its reserve, or
//! that could not create the next file, takes no writes. It hands the leadership over to a node with room, does not ask
//! to be elected, and takes no entries and no snapshot from another leader. It still follows, serves local reads and
//! watches, and takes part again as soon as there is room. A leader also refuses writes while so many voters have no
//! room that no majority would confirm an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use rstmdb_raft_store::Store;

use crate::replica::cluster::membership::MembershipChanges;
use crate::replica::error::Error;
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::{Host, Types};

/// Interval between checks. Well below the time in which the reserve can be filled.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long another node may take to say how it stands.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// What the last check has seen.
#[derive(Default)]
struct LastSpace {
    /// On a leader: the voters without room, and their reasons.
    full: BTreeMap<u64, String>,
    /// Why the leadership was not handed over, so that the reason is not logged at each check.
    kept_because: Option<String>,
}

/// The disk of this node, and what happens when it is full.
pub(crate) struct DiskSpace<T: Types> {
    pub store: Store<T::Fs>,
    pub host: Arc<dyn Host>,
    pub neighbours: Arc<Neighbours<T>>,
    pub membership: Arc<MembershipChanges<T>>,
    /// Has the reserve.
    pub tuned: Arc<Tuned>,
}

/// Checks again and again until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<DiskSpace<T>>) {
    let mut seen = LastSpace::default();
    let mut pause = Duration::ZERO;
    while let Some(disk) = pace.next::<T>(pause).await {
        pause = LOOK_INTERVAL;
        disk.look_here();
        seen.look_elsewhere(&disk.neighbours).await;
        seen.hand_over(&disk).await;
    }
}

impl<T: Types> DiskSpace<T> {
    /// Refuses entries or a snapshot from another node while the disk of this node has no room. The transport asks this
    /// before it hands entries to Raft, because a full disk would stop Raft for good. Heartbeats and votes pass in any
    /// case.
    pub(crate) fn must_have_room(&self) -> Result<(), Error> {
        match self.neighbours.gate.no_room_here() {
            Some(reason) => Err(Error::ReadOnly { reason }),
            None => Ok(()),
        }
    }

    /// Refuses a file of `bytes` that would use the disk reserve.
    pub(crate) fn must_have_room_for(&self, bytes: u64) -> Result<(), Error> {
        self.must_have_room()?;
        match self.lacking(bytes) {
            Some(reason) => Err(Error::ReadOnly { reason }),
            None => Ok(()),
        }
    }

    /// Why `more` bytes would leave less than the reserve; `None` when they would not.
    fn lacking(&self, more: u64) -> Option<String> {
        const MIB: u64 = 1024 * 1024;
        let least = self.tuned.now().free_bytes_min;
        let free = self.host.free_bytes()?;
        if least == 0 || free >= least.saturating_add(more) {
            return None;
        }
        let wanted = match more {
            0 => String::new(),
            more => format!(
                " and the {} MiB of the file to be received",
                more.div_ceil(MIB)
            ),
        };
        Some(format!(
            "the disk of the data folder has {} MiB free, less than storage.min_free_mb = {}{wanted}",
            free / MIB,
            least / MIB
        ))
    }

    fn look_here(&self) {
        // If the folder is gone, the store fails, which ends the node.
        if let Err(error) = self.store.check_folder() {
            tracing::warn!(%error, "the data folder cannot be checked");
        }
        let reason = self
            .lacking(0)
            .or_else(|| self.store.shortage())
            .or_else(|| self.host.shortage());
        let refused = reason.clone();
        let alone = !self.neighbours.has_several_voters();
        // A node that cannot write must not be the leader that all others wait for.
        let may_lead = reason.is_none() || alone;
        self.neighbours.raft.runtime_config().elect(may_lead);
        if self.neighbours.gate.set_no_room_here(reason) {
            match refused {
                Some(reason) => {
                    tracing::error!(
                        %reason,
                        "disk nearly full: this node takes no writes, and no entries from the leader, until there is \
                         room"
                    );
                }
                None => tracing::info!("this node has room again; it takes writes and entries"),
            }
        }
    }
}

impl LastSpace {
    /// On a leader: checks whether enough of the other nodes have room for new entries.
    async fn look_elsewhere<T: Types>(&mut self, neighbours: &Neighbours<T>) {
        let reason = match neighbours.is_leader() {
            true => self.too_few(neighbours).await,
            false => {
                self.full.clear();
                None
            }
        };
        let refused = reason.clone();
        if neighbours.gate.set_no_room_elsewhere(reason) {
            match refused {
                Some(reason) => {
                    tracing::error!(%reason, "this leader refuses writes until enough nodes have room")
                }
                None => tracing::info!("enough nodes have room again; this leader takes writes"),
            }
        }
    }

    async fn too_few<T: Types>(&mut self, neighbours: &Neighbours<T>) -> Option<String> {
        let metrics = neighbours.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let mut others = neighbours.others();
        others.retain(|peer| voters.contains(&peer.id));
        let asked = others.iter().map(|peer| async {
            let report = T::timeout(REPORT_TIMEOUT, neighbours.peers.report(peer)).await;
            (peer.id, report.ok().and_then(Result::ok))
        });
        for (id, report) in join_all(asked).await {
            // A node that did not answer keeps its last state: heartbeats tell whether it is there at all.
            match report.map(|report| report.read_only) {
                Some(Some(reason)) => {
                    if !self.full.contains_key(&id) {
                        tracing::warn!(node_id = id, %reason, "a voter has no room and takes no entries");
                    }
                    self.full.insert(id, reason);
                }
                Some(None) if self.full.remove(&id).is_some() => {
                    tracing::info!(node_id = id, "a voter has room again");
                }
                Some(None) | None => {}
            }
        }
        self.full.retain(|id, _| voters.contains(id));
        let answering = neighbours.answering(&metrics);
        let able = voters.intersection(&answering);
        let able = able.filter(|id| !self.full.contains_key(id)).count();
        let needed = voters.len() / 2 + 1;
        if self.full.is_empty() || able >= needed {
            return None;
        }
        let reasons = self
            .full
            .iter()
            .map(|(id, why)| format!("node {id}: {why}"));
        let reasons: Vec<String> = reasons.collect();
        Some(format!(
            "a write needs {needed} of {} voters, and only {able} of them answer and have room: {}",
            voters.len(),
            reasons.join("; ")
        ))
    }

    /// A leader that takes no writes hands over, because all clients bring their writes to the leader.
    async fn hand_over<T: Types>(&mut self, disk: &DiskSpace<T>) {
        if disk.neighbours.gate.no_room_here().is_none() || !disk.neighbours.is_leader() {
            self.kept_because = None;
            return;
        }
        let kept = match disk.membership.try_hand_over().await {
            Ok(()) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = &kept
            && kept != self.kept_because
        {
            tracing::warn!(%reason, "this node has no room, but cannot hand the leadership over");
        }
        self.kept_because = kept;
    }
}
