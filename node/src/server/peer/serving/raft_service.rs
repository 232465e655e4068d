//! Raft's own messages, handed to openraft.

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use tonic::{Request, Response, Status, Streaming};

use super::admission::{admit, stopped};
use super::served::{Served, speaker};
use super::{append_serve, snapshot_receive};
use crate::replica::Types;
use crate::server::peer::sane::TermBounds;
use crate::server::peer::wire;
use crate::server::peer::wire::raft_server::Raft;

/// The gRPC service of Raft's own messages.
pub(crate) struct RaftService<T: Types>(pub(crate) Arc<Served<T>>);

#[tonic::async_trait]
impl<T: Types> Raft for RaftService<T> {
    type StreamAppendStream = BoxStream<'static, Result<wire::StreamAppendReply, Status>>;
    type SnapshotStream = BoxStream<'static, Result<wire::SnapshotProgress, Status>>;

    async fn vote(
        &self,
        request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteReply>, Status> {
        let from = speaker(&request)?.node_id;
        let vote = VoteRequest::try_from(request.into_inner())?;
        let replica = self.0.replica()?;
        let sane = TermBounds::of(&replica).vote_request(&vote);
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
        let sane = TermBounds::of(&replica).vote_request(&vote);
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
        let sane = TermBounds::of(&replica).transfer(&transfer);
        sane.map_err(|insane| self.0.gate.insane(from, insane))?;
        let raft = replica.raft();
        let transferred = raft.handle_transfer_leader(transfer).await;
        Ok(Response::new(transferred.map_err(stopped)?.into()))
    }
}
