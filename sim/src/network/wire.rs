//! Raft's own messages over the simulated network.

use std::future::Future;
use std::time::Duration;

use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use rstmdb_raft_store::{MemFs, NodeInfo, SnapshotHandle};

use super::{Lost, Network, Process};
use crate::Sim;
use crate::trace;

/// Bytes of a snapshot in one message: few, so that many snapshots take more than one.
const BLOCK_BYTES: usize = 2048;
/// The pauses before a retry of an unreachable node, as in the product.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(400);

/// One node's side of the network.
#[derive(Clone)]
pub struct Link {
    /// The network.
    pub network: Network,
    /// The node.
    pub from: u64,
}

impl RaftNetworkFactory<Sim> for Link {
    type Network = Wire;

    async fn new_client(&mut self, target: u64, _node: &NodeInfo) -> Wire {
        Wire {
            link: self.clone(),
            to: target,
        }
    }
}

/// From one node to another.
pub struct Wire {
    link: Link,
    to: u64,
}

type Answer<R> = Result<R, RPCError<Sim>>;

fn unreachable<E: std::error::Error + 'static>(error: &E) -> RPCError<Sim> {
    RPCError::Unreachable(Unreachable::new(error))
}

fn failed<E: std::error::Error + 'static>(error: &E) -> RPCError<Sim> {
    RPCError::Network(NetworkError::new(error))
}

impl Wire {
    async fn ask<R, Fut>(&self, question: impl FnOnce(Process) -> Fut + Send + 'static) -> Answer<R>
    where
        R: Send + 'static,
        Fut: Future<Output = Answer<R>> + Send + 'static,
    {
        let Link { network, from } = &self.link;
        match network.ask(*from, self.to, question).await {
            Ok(answer) => answer,
            Err(lost) => Err(unreachable(&lost)),
        }
    }

    /// Whether a message that may arrive twice does so this time.
    fn again<R, Fut>(&self, question: impl FnOnce(Process) -> Fut + Send + 'static)
    where
        R: Send + 'static,
        Fut: Future<Output = Answer<R>> + Send + 'static,
    {
        trace::note(self.to, "message twice", [self.link.from, 0]);
        let Link { network, from } = &self.link;
        network.deliver_again(*from, self.to, question);
    }
}

async fn append(
    process: Process,
    rpc: AppendEntriesRequest<Sim>,
) -> Answer<AppendEntriesResponse<Sim>> {
    if !rpc.entries.is_empty() {
        let room = process.replica.must_have_room();
        room.map_err(|full| unreachable(&full))?;
    }
    let follows_something = rpc.prev_log_id.is_some();
    let answer = process.replica.raft().append_entries(rpc).await;
    let answer = answer.map_err(|error| failed(&error))?;
    // openraft assumes that the empty beginning fits every log, and would stop.
    if matches!(answer, AppendEntriesResponse::Conflict) && !follows_something {
        return Err(unreachable(&Lost::Reset));
    }
    Ok(answer)
}

async fn vote(process: Process, rpc: VoteRequest<Sim>) -> Answer<VoteResponse<Sim>> {
    let answer = process.replica.raft().vote(rpc).await;
    answer.map_err(|error| failed(&error))
}

impl RaftNetworkV2<Sim> for Wire {
    type SnapshotData = SnapshotHandle<MemFs>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Sim>,
        _option: RPCOption,
    ) -> Answer<AppendEntriesResponse<Sim>> {
        let Link { network, from } = &self.link;
        if !rpc.entries.is_empty() && network.loses_entries(*from, self.to) {
            Sim::sleep(network.limit()).await;
            return Err(unreachable(&Lost::Silence));
        }
        if network.doubles() {
            let rpc = rpc.clone();
            self.again(move |process| append(process, rpc));
        }
        self.ask(move |process| append(process, rpc)).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Sim>,
        _option: RPCOption,
    ) -> Answer<VoteResponse<Sim>> {
        trace::note(
            self.link.from,
            "asks for a vote",
            [self.to, rpc.vote.leader_id.term],
        );
        if self.link.network.doubles() {
            let rpc = rpc.clone();
            self.again(move |process| vote(process, rpc));
        }
        self.ask(move |process| vote(process, rpc)).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Sim>,
        _option: RPCOption,
    ) -> Answer<VoteResponse<Sim>> {
        self.ask(move |process| async move {
            let answer = process.replica.raft().pre_vote(rpc).await;
            answer.map_err(|error| failed(&error))
        })
        .await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Sim>,
        snapshot: SnapshotOf<Sim, SnapshotHandle<MemFs>>,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Sim>, StreamingError<Sim>> {
        let sent = self.send_snapshot(vote, snapshot).await;
        sent.map_err(|error| match error {
            RPCError::Unreachable(error) => StreamingError::Unreachable(error),
            other => StreamingError::Network(NetworkError::new(&other)),
        })
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Sim>,
        _option: RPCOption,
    ) -> Answer<TransferLeaderResponse<Sim>> {
        self.ask(move |process| async move {
            let answer = process.replica.raft().handle_transfer_leader(req).await;
            answer.map_err(|error| failed(&error))
        })
        .await
    }

    fn backoff(&self) -> Option<Backoff> {
        let waits =
            std::iter::successors(Some(BACKOFF_MIN), |wait| Some((*wait * 2).min(BACKOFF_MAX)));
        Some(Backoff::new(waits))
    }
}

impl Wire {
    /// Block by block, each a message of its own; then the other side installs it.
    async fn send_snapshot(
        &self,
        vote: VoteOf<Sim>,
        snapshot: SnapshotOf<Sim, SnapshotHandle<MemFs>>,
    ) -> Answer<SnapshotResponse<Sim>> {
        let number = self.link.network.transfer();
        let bytes = snapshot.snapshot.info().bytes;
        self.ask(move |process| async move {
            let room = process.replica.must_have_room_for(bytes);
            room.map_err(|full| unreachable(&full))?;
            let receiver = process.replica.snapshots().receive();
            let receiver = receiver.map_err(|error| failed(&error))?;
            process.arriving.lock().insert(number, receiver);
            Ok(())
        })
        .await?;
        let mut sent = 0;
        loop {
            let block = snapshot.snapshot.read_block(sent, BLOCK_BYTES);
            let block = block.map_err(|error| unreachable(&error))?;
            if block.is_empty() {
                break;
            }
            sent += block.len() as u64;
            self.ask(move |process| async move {
                let mut arriving = process.arriving.lock();
                let receiver = arriving.get_mut(&number);
                let receiver = receiver.ok_or_else(|| unreachable(&Lost::Reset))?;
                receiver.write_block(&block).map_err(|error| failed(&error))
            })
            .await?;
        }
        let (meta, to) = (snapshot.meta, self.to);
        let installed = self.ask(move |process| async move {
            let receiver = process.arriving.lock().remove(&number);
            let receiver = receiver.ok_or_else(|| unreachable(&Lost::Reset))?;
            let received = receiver.finish().map_err(|error| failed(&error))?;
            let end = meta.last_log_id.map_or(0, |id| id.index);
            trace::note(to, "snapshot received", [end, bytes]);
            let received = SnapshotOf::<Sim, SnapshotHandle<MemFs>> {
                meta,
                snapshot: received,
            };
            let installed = process.replica.install_snapshot(vote, received).await;
            installed.map_err(|error| failed(&error))
        });
        installed.await.inspect_err(|error| {
            if !matches!(error, RPCError::Unreachable(_)) {
                snapshot.snapshot.suspect();
            }
        })
    }
}
