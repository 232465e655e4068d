//! openraft's side of the connections.

use std::future::Future;
use std::time::Duration;

use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError};
use openraft::network::{
    Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential,
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use rstmdb_raft_store::{NodeInfo, SnapshotHandle};

use super::{append_stream, snapshot_send};
use crate::replica::{Peer, Types};
use crate::server::peer::connecting::CallError;
use crate::server::peer::connecting::connections::{ConnectionLane, Connections, PeerLink};
use crate::server::peer::sane::TermBounds;
use crate::server::peer::way::path;
use crate::server::peer::wire;

/// A vote is synced to disk before it is answered: a shorter timeout would fail healthy calls.
const VOTE_TIMEOUT_MIN: Duration = Duration::from_millis(250);

/// openraft's connection to one node, for one purpose.
pub struct PeerNetwork<T: Types> {
    link: PeerLink<T>,
    /// Where appends go.
    lane: ConnectionLane,
}

impl<T: Types> Connections<T> {
    fn network(&self, target: u64, node: &NodeInfo, lane: ConnectionLane) -> PeerNetwork<T> {
        let peer = Peer {
            id: target,
            node: node.clone(),
        };
        PeerNetwork {
            link: self.to(peer),
            lane,
        }
    }
}

impl<T: Types> RaftNetworkFactory<T> for Connections<T> {
    type Network = PeerNetwork<T>;

    async fn new_client(&mut self, target: u64, node: &NodeInfo) -> PeerNetwork<T> {
        self.network(target, node, ConnectionLane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &NodeInfo) -> PeerNetwork<T> {
        self.network(target, node, ConnectionLane::Beat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &NodeInfo) -> PeerNetwork<T> {
        self.network(target, node, ConnectionLane::Bulk)
    }
}

impl<T: Types> PeerNetwork<T> {
    async fn ask_vote(
        &self,
        rpc: VoteRequest<T>,
        option: &RPCOption,
        pre: bool,
    ) -> Result<VoteResponse<T>, CallError> {
        let limit = option.soft_ttl().max(VOTE_TIMEOUT_MIN);
        let mut client = self.link.raft(ConnectionLane::Beat)?;
        let bounds = TermBounds::beyond(rpc.vote.leader_id.term);
        let request = self.link.request(wire::VoteRequest::from(rpc))?;
        let reply = if pre {
            self.link.answer(limit, client.pre_vote(request)).await?
        } else {
            self.link.answer(limit, client.vote(request)).await?
        };
        self.link.path().beat();
        let response: VoteResponse<T> = reply.try_into()?;
        bounds.vote(&response.vote)?;
        Ok(response)
    }

    async fn append_one(
        &self,
        rpc: AppendEntriesRequest<T>,
        limit: Duration,
    ) -> Result<AppendEntriesResponse<T>, CallError> {
        let follows_something = rpc.prev_log_id.is_some();
        let mut client = self.link.raft(self.lane)?;
        let bounds = TermBounds::beyond(rpc.vote.leader_id.term);
        let request = self.link.request(wire::AppendRequest::from(rpc))?;
        let reply = self.link.answer(limit, client.append(request)).await?;
        self.link.path().beat();
        let response: AppendEntriesResponse<T> = reply.try_into()?;
        // openraft assumes that the empty beginning fits every log, and would stop.
        if matches!(response, AppendEntriesResponse::Conflict) && !follows_something {
            let what = "a conflict before the first entry, which is impossible";
            return Err(CallError::Failed(what.to_owned()));
        }
        if let AppendEntriesResponse::HigherVote(vote) = &response {
            bounds.vote(vote)?;
        }
        Ok(response)
    }

    async fn hand_over(
        &self,
        request: &TransferLeaderRequest<T>,
    ) -> Result<TransferLeaderResponse<T>, CallError> {
        let mut client = self.link.raft(ConnectionLane::Beat)?;
        let request = self
            .link
            .request(wire::TransferLeaderRequest::from(request))?;
        let limit = self.link.rpc_timeout();
        let reply = self
            .link
            .answer(limit, client.transfer_leader(request))
            .await?;
        Ok(reply.try_into()?)
    }
}

impl<T: Types> RaftNetworkV2<T> for PeerNetwork<T> {
    type SnapshotData = SnapshotHandle<T::Fs>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<T>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<T>, RPCError<T>> {
        Ok(self.append_one(rpc, option.hard_ttl()).await?)
    }

    /// A heartbeat is one message and one answer, for which a stream would be too much.
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<T>, RPCError<T>>>, RPCError<T>>>
    where
        S: futures_util::Stream<Item = AppendEntriesRequest<T>> + Send + Unpin + 'static,
    {
        if self.lane == ConnectionLane::Beat {
            return stream_append_sequential(self, input, option);
        }
        let link = self.link.clone();
        let lane = self.lane;
        Box::pin(async move {
            let opened = append_stream::open(link, lane, input).await;
            if opened.is_err() {
                // openraft waits its backoff when a stream takes the next request. A stream that cannot be opened takes
                // none: openraft would retry at once, because a node that is starting refuses at once. So this waits.
                T::sleep(path::WAIT_MIN).await;
            }
            Ok(opened?)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<T>,
        option: RPCOption,
    ) -> Result<VoteResponse<T>, RPCError<T>> {
        Ok(self.ask_vote(rpc, &option, false).await?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<T>,
        option: RPCOption,
    ) -> Result<VoteResponse<T>, RPCError<T>> {
        Ok(self.ask_vote(rpc, &option, true).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<T>,
        snapshot: SnapshotOf<T, SnapshotHandle<T::Fs>>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<T>, StreamingError<T>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = snapshot_send::send(&self.link, vote, snapshot.snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<T>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<T>, RPCError<T>> {
        Ok(self.hand_over(&req).await?)
    }

    /// openraft waits for this time inside of a stream, before each request, until one is answered. A connection that
    /// lives shorter than the wait would carry nothing. So the wait ends once the last connection has carried
    /// something.
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(self.link.path().clone().waits()))
    }
}
