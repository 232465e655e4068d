//! What this node answers the other nodes: the other side of [`Peers`](super::peers::Peers).

use futures_util::future::FutureExt;
use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::Raft;
use openraft::errors::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use rstmdb_raft_store::{SnapshotHandle, SnapshotStore};

use super::error::Error;
use super::handle::Replica;
use super::peers::{ForwardResult, Forwarded};
use super::queue::{BATCH_COMMANDS_MAX, IN_FLIGHT_MAX, OriginGuard};
use super::reads::{Consistency, policy};
use super::state_machine::StateMachine;
use super::status::Report;
use super::types::Types;

impl<T: Types> Replica<T> {
    /// The Raft node, for the transport to hand Raft's own messages to; snapshots go to
    /// [`install_snapshot`](Self::install_snapshot).
    pub fn raft(&self) -> &Raft<T, StateMachine<T>> {
        &self.inner.raft
    }

    /// The snapshots, for the transport to send and receive them.
    pub fn snapshots(&self) -> SnapshotStore<T::Fs> {
        self.inner.store.snapshots()
    }

    /// Installs a snapshot that the leader of `vote` has sent, unless the log has all of it.
    ///
    /// A snapshot is sent for what the log lacked. By the time it is here, an append that the leader
    /// had given up can have brought that, and more. openraft 0.10.0-alpha.37 would then take the log to
    /// end with the snapshot, and not apply what is behind it before the next entry comes. Whether the
    /// log has the snapshot's last entry is asked as a leader asks it: by an append of nothing behind
    /// that, which is answered when the log is durable. An append that comes between the answer and the
    /// installation is not held back.
    ///
    /// # Errors
    ///
    /// When Raft has stopped.
    pub async fn install_snapshot(
        &self,
        vote: VoteOf<T>,
        snapshot: SnapshotOf<T, SnapshotHandle<T::Fs>>,
    ) -> Result<SnapshotResponse<T>, RaftError<T>> {
        let nothing = AppendEntriesRequest {
            vote,
            prev_log_id: snapshot.meta.last_log_id,
            entries: Vec::new(),
            leader_commit: None,
        };
        let vote = match self.raft().append_entries(nothing).await? {
            AppendEntriesResponse::Success => vote,
            AppendEntriesResponse::HigherVote(higher) => higher,
            AppendEntriesResponse::Conflict | AppendEntriesResponse::PartialSuccess(_) => {
                let installed = self.raft().install_full_snapshot(vote, snapshot).await;
                return installed.map_err(RaftError::Fatal);
            }
        };
        Ok(SnapshotResponse { vote })
    }

    /// Takes the commands that node `from` forwards because it believes this one leads, and
    /// gives their outcomes. Ends with `commands`, once all were answered. What comes with a command
    /// is held until its outcome is there.
    pub fn serve_forwarded<H: Send + 'static>(
        &self,
        from: u64,
        commands: BoxStream<'static, Vec<(Forwarded, H)>>,
    ) -> BoxStream<'static, Vec<ForwardResult>> {
        let replica = self.clone();
        let stream = OriginGuard(self.inner.origins.open(from));
        commands
            .flat_map(stream::iter)
            .map(move |(forwarded, held)| {
                let Forwarded {
                    seq,
                    command,
                    actor,
                } = forwarded;
                // Submitted here, in the order of the stream; only the answers may overtake.
                let submitted = replica.submit_from(command, actor, Some(stream.0.clone()));
                submitted.map(move |outcome| {
                    drop(held);
                    ForwardResult { seq, outcome }
                })
            })
            .buffer_unordered(IN_FLIGHT_MAX)
            .ready_chunks(BATCH_COMMANDS_MAX)
            .boxed()
    }

    /// The offset that a read beginning now must see, confirmed as `level` asks.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeader`] when this node does not lead, or keeps quiet so that another one will.
    pub async fn read_index(&self, level: Consistency) -> Result<u64, Error> {
        if self.inner.gate.is_silent() {
            return Err(Error::NotLeader);
        }
        match self.inner.raft.get_read_log_id(policy(level)).await {
            Ok((read, _)) => Ok(read.index()),
            Err(_) => Err(Error::NotLeader),
        }
    }

    /// What this node tells the others about itself.
    pub fn report(&self) -> Report {
        let status = self.status();
        Report {
            node_id: status.node_id,
            role: status.role,
            term: status.term,
            leader: status.leader,
            last_log: self.inner.store.last_log_id().map_or(0, |id| id.index),
            commit_index: status.commit_index,
            applied: (status.last_applied, status.digest),
            checkpoints: self.inner.applied.checkpoints(),
            earliest_offset: status.earliest_offset,
            read_only: self.inner.gate.no_room_here(),
            diverged: self.inner.gate.is_diverged(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            members: status.members.iter().map(|member| member.node_id).collect(),
            uptime_secs: (T::now() - self.inner.started).as_secs(),
            clock_ms: Some(self.inner.host.now_ms()),
            log_ms: self.led_time_ms(),
        }
    }
}
