//! The network of a cluster of one: there is no other node to call.
//!
//! openraft asks for a connection only to other members. If it ever asks for one here, every call answers
//! *unreachable*.

use std::future::Future;
use std::marker::PhantomData;

use futures_util::future::BoxFuture;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use rstmdb_raft_store::SnapshotHandle;

use super::calls::{ForwardStream, HistoryRun, Peer, PeerError, Peers};
use super::change::{ChangeError, LeaderChange};
use super::report::NodeReport;
use crate::replica::parts::consistency::Consistency;
use crate::replica::types::Types;

/// Makes a `NoConnection` for any node.
pub struct NoPeers<T>(PhantomData<fn() -> T>);

impl<T> Default for NoPeers<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// A connection to a node that does not exist.
pub struct NoConnection<T>(PhantomData<T>);

#[derive(Debug, thiserror::Error)]
#[error("this node is a cluster of one and has no peers")]
struct ClusterOfOne;

fn unreachable<T: Types>() -> Unreachable<T> {
    Unreachable::new(&ClusterOfOne)
}

impl<T: Types> Peers for NoPeers<T> {
    fn forward(&self, _to: &Peer) -> BoxFuture<'static, Result<ForwardStream, PeerError>> {
        no_answer()
    }

    fn read_index(
        &self,
        _to: &Peer,
        _level: Consistency,
    ) -> BoxFuture<'static, Result<u64, PeerError>> {
        no_answer()
    }

    fn report(&self, _to: &Peer) -> BoxFuture<'static, Result<NodeReport, PeerError>> {
        no_answer()
    }

    fn change(
        &self,
        _to: &Peer,
        _change: &LeaderChange,
    ) -> BoxFuture<'static, Result<Result<(), ChangeError>, PeerError>> {
        no_answer()
    }

    fn introduce(&self, _peer_addr: &str) -> BoxFuture<'static, Result<Peer, PeerError>> {
        no_answer()
    }

    fn history(
        &self,
        _to: &Peer,
        _before: u64,
    ) -> BoxFuture<'static, Result<Option<HistoryRun>, PeerError>> {
        no_answer()
    }
}

fn no_answer<R: Send + 'static>() -> BoxFuture<'static, Result<R, PeerError>> {
    let error = PeerError::Unreachable(ClusterOfOne.to_string());
    Box::pin(std::future::ready(Err(error)))
}

impl<T: Types> RaftNetworkFactory<T> for NoPeers<T> {
    type Network = NoConnection<T>;

    async fn new_client(&mut self, _target: u64, _node: &T::Node) -> Self::Network {
        NoConnection(PhantomData)
    }
}

impl<T: Types> RaftNetworkV2<T> for NoConnection<T> {
    type SnapshotData = SnapshotHandle<T::Fs>;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<T>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<T>, RPCError<T>> {
        Err(RPCError::Unreachable(unreachable()))
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<T>,
        _option: RPCOption,
    ) -> Result<VoteResponse<T>, RPCError<T>> {
        Err(RPCError::Unreachable(unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<T>,
        _snapshot: SnapshotOf<T, Self::SnapshotData>,
        _cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<T>, StreamingError<T>> {
        Err(StreamingError::Unreachable(unreachable()))
    }
}
