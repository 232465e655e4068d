//! Raft's own messages, handed to openraft.

use std::fmt::Display;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use tonic::{Request, Response, Status, Streaming};

use super::identity::Gate;
use super::sane::Bounds;
use super::server::{Served, speaker};
use super::wire::raft_server::Raft;
use super::{append_serve, snapshot_receive, wire};
use crate::replica;
use crate::server::product::{Product, Replica};

/// See the module documentation.
pub(super) struct RaftService(pub(super) Arc<Served>);

#[tonic::async_trait]
impl Raft for RaftService {
    type StreamAppendStream = BoxStream<'static, Result<wire::StreamAppendReply, Status>>;
    type SnapshotStream = BoxStream<'static, Result<wire::SnapshotProgress, Status>>;

    async fn vote(
        &self,
        request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        let from = speaker(&request)?.node_id;
        let vote = VoteRequest::try_from(request.into_inner())?;
        let replica = self.0.replica()?;
        let sane = Bounds::of(&replica).vote_request(&vote);
        sane.map_err(|insane| self.0.gate.insane(from, insane))?;
        let voted = replica.raft().vote(vote).await;
        Ok(Response::new(voted.map_err(stopped)?.into()))
    }

    async fn pre_vote(
        &self,
        request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        let from = speaker(&request)?.node_id;
        let vote = VoteRequest::try_from(request.into_inner())?;
        let replica = self.0.replica()?;
        let sane = Bounds::of(&replica).vote_request(&vote);
        sane.map_err(|insane| self.0.gate.insane(from, insane))?;
        let voted = replica.raft().pre_vote(vote).await;
        Ok(Response::new(voted.map_err(stopped)?.into()))
    }

    async fn append(
        &self,
        request: Request<wire::AppendRequest>,
    ) -> Result<Response<wire::AppendReply>, Status> {
        let from = speaker(&request)?.node_id;
        let append = AppendEntriesRequest::try_from(request.into_inner())?;
        let replica = self.0.replica()?;
        admit(&self.0.gate, from, &replica, &append)?;
        let appended = replica.raft().append_entries(append).await;
        Ok(Response::new(appended.map_err(stopped)?.into()))
    }

    async fn stream_append(
        &self,
        request: Request<Streaming<wire::AppendPart>>,
    ) -> Result<Response<Self::StreamAppendStream>, Status> {
        let from = speaker(&request)?.node_id;
        let replica = self.0.replica()?;
        let closing = self.0.closing.clone().cancelled_owned();
        let answers = append_serve::serve(self.0.clone(), &replica, from, request.into_inner());
        Ok(Response::new(answers.take_until(closing).boxed()))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let from = speaker(&request)?.node_id;
        let replica = self.0.replica()?;
        let parts = request.into_inner();
        let progress = snapshot_receive::receive(self.0.clone(), replica, from, parts);
        Ok(Response::new(progress))
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderReply>, Status> {
        let from = speaker(&request)?.node_id;
        let transfer = request.into_inner().try_into()?;
        let replica = self.0.replica()?;
        let sane = Bounds::of(&replica).transfer(&transfer);
        sane.map_err(|insane| self.0.gate.insane(from, insane))?;
        let raft = replica.raft();
        let transferred = raft.handle_transfer_leader(transfer).await;
        Ok(Response::new(transferred.map_err(stopped)?.into()))
    }
}

/// Refuses what cannot be, and entries for which this node has no room; a heartbeat has none.
pub(super) fn admit(
    gate: &Gate,
    from: u64,
    replica: &Replica,
    append: &AppendEntriesRequest<Product>,
) -> Result<(), Status> {
    let sane = Bounds::of(replica).append(append);
    sane.map_err(|insane| gate.insane(from, insane))?;
    match append.entries.is_empty() {
        true => Ok(()),
        false => replica.must_have_room().map_err(no_room),
    }
}

/// Whether this node knows the other one as the leader.
pub(super) fn leads(replica: &Replica, from: u64) -> bool {
    let metrics = replica.raft().metrics();
    metrics.borrow_watched().current_leader == Some(from)
}

/// The answer of a node that has no room, which its leader takes for one that cannot be reached.
pub(super) fn no_room(error: replica::Error) -> Status {
    Status::resource_exhausted(error.to_string())
}

/// openraft's answer when it has stopped, which is all that can go wrong inside.
pub(super) fn stopped(error: impl Display) -> Status {
    Status::unavailable(format!("this node's Raft has stopped: {error}"))
}
