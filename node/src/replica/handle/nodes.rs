//! The second half of [`Replica`]: its cluster, and what the other nodes ask of it.

use futures_util::stream::BoxStream;
use openraft::Raft;
use openraft::errors::RaftError;
use openraft::raft::SnapshotResponse;
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use rstmdb_raft_store::{NodeInfo, SnapshotHandle, SnapshotStore};

use super::Replica;
use crate::replica::apply::state_machine::StateMachine;
use crate::replica::cluster::install_snapshot;
use crate::replica::cluster::status::{MemberReport, Status};
use crate::replica::error::Error;
use crate::replica::parts::consistency::Consistency;
use crate::replica::peers::calls::{
    ForwardResult, HistoryRun, Peer, PeerError, Received, SentByLeader,
};
use crate::replica::peers::change::{ChangeError, LeaderChange};
use crate::replica::peers::report::NodeReport;
use crate::replica::types::Types;
use crate::replica::upkeep::history_served;
use crate::replica::write::forwarded;

/// The cluster: its state and its members, and the answers to the other nodes.
impl<T: Types> Replica<T> {
    /// Who this node is.
    #[must_use]
    pub fn node(&self) -> (u64, &NodeInfo) {
        (self.parts.options.node_id, &self.parts.options.node)
    }

    /// Whether this node leads, as far as it knows: it was elected, and a majority answers.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.parts.neighbours.is_leader()
    }

    /// As [`Replica::is_leader`], from a flag that follows it: for what asks all the time.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.parts.neighbours.gate.leads()
    }

    /// How this node and its cluster stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.parts.standing.status()
    }

    /// What this node tells the others about itself.
    pub fn report(&self) -> NodeReport {
        self.parts.standing.report()
    }

    /// Asks every member how it stands.
    pub async fn member_reports(&self) -> Vec<MemberReport> {
        self.parts.standing.member_reports().await
    }

    /// The newest membership of this node's log, committed or not: the index of its entry, and the members.
    #[must_use]
    pub fn membership(&self) -> (u64, Vec<(u64, NodeInfo)>) {
        self.parts.neighbours.membership()
    }

    /// The last index of this node's log, committed or not.
    #[must_use]
    pub fn log_end(&self) -> u64 {
        self.parts.standing.log_end()
    }

    /// A stream of appends from another node has ended, for whatever reason.
    pub fn appends_ended(&self, from: u64) {
        self.parts.neighbours.appends_ended.send_replace(from);
    }

    /// What this node has sent to another one.
    #[must_use]
    pub fn sent(&self, to: u64) -> SentByLeader {
        self.parts.neighbours.peers.sent(to)
    }

    /// Asks the node at `peer_addr` who it is.
    ///
    /// # Errors
    ///
    /// Why that node does not say who it is, or may not be added to this cluster.
    pub async fn introduce(&self, peer_addr: &str) -> Result<Peer, PeerError> {
        self.parts.neighbours.peers.introduce(peer_addr).await
    }

    /// Has the leader make a change, wherever it is.
    ///
    /// # Errors
    ///
    /// The reason why the leader does not make it, or [`ChangeError::Unconfirmed`].
    pub async fn change(&self, change: &LeaderChange) -> Result<(), ChangeError> {
        self.parts.membership.change(change).await
    }

    /// Makes a change of the membership, if this node leads.
    ///
    /// # Errors
    ///
    /// See [`ChangeError`].
    pub async fn change_here(&self, change: &LeaderChange) -> Result<(), ChangeError> {
        self.parts.membership.change_here(change).await
    }

    /// Hands the leadership over, if this node leads and another node can take it. A node does this before it leaves.
    pub async fn hand_over(&self) {
        self.parts.membership.hand_over().await;
    }

    /// The Raft node, for the transport to hand Raft's own messages to; snapshots go to
    /// [`install_snapshot`](Self::install_snapshot).
    pub fn raft(&self) -> &Raft<T, StateMachine<T>> {
        &self.parts.neighbours.raft
    }

    /// The snapshots, for the transport to send and receive them.
    pub fn snapshots(&self) -> SnapshotStore<T::Fs> {
        self.parts.log.store.snapshots()
    }

    /// Installs a snapshot that the leader of `vote` has sent, unless the log has all of it.
    ///
    /// # Errors
    ///
    /// When Raft has stopped.
    pub async fn install_snapshot(
        &self,
        vote: VoteOf<T>,
        snapshot: SnapshotOf<T, SnapshotHandle<T::Fs>>,
    ) -> Result<SnapshotResponse<T>, RaftError<T>> {
        install_snapshot::install_snapshot(self.raft(), vote, snapshot).await
    }

    /// Refuses entries or a snapshot from another node while the disk of this node has no room. The transport asks this
    /// before it hands entries to Raft, because a full disk would stop Raft for good. Heartbeats and votes pass in any
    /// case.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub fn must_have_room(&self) -> Result<(), Error> {
        self.parts.disk.must_have_room()
    }

    /// Refuses a file of `bytes` that would use the disk reserve.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub fn must_have_room_for(&self, bytes: u64) -> Result<(), Error> {
        self.parts.disk.must_have_room_for(bytes)
    }

    /// Takes the commands that node `from` forwards because it believes that this node leads, and returns their
    /// outcomes. Ends when `commands` ends and all commands were answered.
    pub fn serve_forwarded(
        &self,
        from: u64,
        commands: BoxStream<'static, Vec<Received>>,
    ) -> BoxStream<'static, Vec<ForwardResult>> {
        forwarded::serve_forwarded(&self.parts.inbox, from, commands)
    }

    /// The offset that a read beginning now must see, confirmed as `level` asks.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeader`] when this node does not lead, or keeps quiet so that another node can lead.
    pub async fn read_index(&self, level: Consistency) -> Result<u64, Error> {
        self.parts.reads.index(level).await
    }

    /// The history right below `before`, for a node that lacks it.
    pub fn history_below(&self, before: u64) -> Option<HistoryRun> {
        history_served::history_below(&self.parts.log, before)
    }
}
