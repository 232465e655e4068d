//! What nodes ask of each other besides Raft, handed to the replica.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::served::{Served, speaker};
use crate::replica::{Consistency, ForwardResult, HistoryRun, PeerError, Received, Traced, Types};
use crate::server::logging::traces::{TraceParent, Traces};
use crate::server::messages::op::Op;
use crate::server::peer::budget::shares::Share;
use crate::server::peer::codec::{cut, encode_result, not_understood, received};
use crate::server::peer::wire;
use crate::server::peer::wire::history_part::Part;
use crate::server::peer::wire::node_server::Node;
use crate::server::peer::wire::read_index_reply::Outcome;

/// The gRPC service of forwarded commands, read indexes and history.
pub(crate) struct NodeService<T: Types>(pub(crate) Arc<Served<T>>);

#[tonic::async_trait]
impl<T: Types> Node for NodeService<T> {
    type ForwardStream = BoxStream<'static, Result<wire::ForwardResults, Status>>;
    type HistoryStream = BoxStream<'static, Result<wire::HistoryPart, Status>>;

    async fn forward(
        &self,
        request: Request<Streaming<wire::ForwardBatch>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let from = speaker(&request)?.node_id;
        let (refused, refusals) = mpsc::unbounded_channel();
        // The cluster may remove a node while its stream is open.
        let gate = self.0.gate.clone();
        let is_member = move || gate.members.address_of(from).is_some();
        let share = self.0.shares.of(Some(from));
        let commands = decoded(
            request.into_inner(),
            refused,
            share,
            self.0.traces.get().cloned(),
        )
        .take_while(move |_| std::future::ready(is_member()))
        .boxed();
        let results = self.0.replica()?.serve_forwarded(from, commands);
        let refusals = UnboundedReceiverStream::new(refusals);
        let closing = self.0.closing.clone().cancelled_owned();
        let results = stream::select(results, refusals).take_until(closing);
        let encoded = results.flat_map(|results| {
            let portions = cut(results.into_iter().map(encode_result));
            stream::iter(portions).map(|results| Ok(wire::ForwardResults { results }))
        });
        Ok(Response::new(encoded.boxed()))
    }

    async fn read_index(
        &self,
        request: Request<wire::ReadIndexRequest>,
    ) -> Result<Response<wire::ReadIndexReply>, Status> {
        // An unknown level comes from a newer version: the strictest one includes it.
        let level = match request.into_inner().level() {
            wire::ReadLevel::Lease => Consistency::Lease,
            wire::ReadLevel::Linearizable | wire::ReadLevel::Unspecified => {
                Consistency::Linearizable
            }
        };
        let outcome = match self.0.replica()?.read_index(level).await {
            Ok(offset) => Outcome::Offset(offset),
            Err(error) => Outcome::Error(error.into()),
        };
        Ok(Response::new(wire::ReadIndexReply {
            outcome: Some(outcome),
        }))
    }

    async fn history(
        &self,
        request: Request<wire::HistoryRequest>,
    ) -> Result<Response<Self::HistoryStream>, Status> {
        let before = request.into_inner().before;
        let Some(run) = self.0.replica()?.history_below(before) else {
            return Ok(Response::new(stream::empty().boxed()));
        };
        let closing = self.0.closing.clone().cancelled_owned();
        Ok(Response::new(parts(run).take_until(closing).boxed()))
    }
}

/// The batches as they came, as far as the sender's share has room for them. A request that is not understood leaves
/// only its refusal: the others of its batch must not suffer from it.
fn decoded(
    batches: Streaming<wire::ForwardBatch>,
    refused: mpsc::UnboundedSender<Vec<ForwardResult>>,
    share: Arc<Share>,
    traces: Option<Arc<Traces>>,
) -> BoxStream<'static, Vec<Received>> {
    // The sender ends with the last batch, which ends the refusals as well.
    let understood = stream::unfold((batches, refused, share, traces), |state| async {
        let (mut batches, refused, share, traces) = state;
        let batch = batches.message().await.ok()??;
        let room = share.commands(batch.encoded_len()).await?;
        let (mut commands, mut refusals) = (Vec::new(), Vec::new());
        for message in batch.requests {
            let seq = message.seq;
            let record = traces.as_ref().and_then(|traces| record(traces, &message));
            match received(message, room.clone()) {
                Ok(command) => commands.push(Received {
                    trace: record,
                    ..command
                }),
                Err(error) => refusals.push(not_understood(seq, error)),
            }
        }
        if !refusals.is_empty() {
            // This fails only once the stream of results was dropped.
            let _ = refused.send(refusals);
        }
        Some((commands, (batches, refused, share, traces)))
    });
    understood.boxed()
}

/// Where to record a request that is traced.
fn record(traces: &Arc<Traces>, message: &wire::Forwarded) -> Option<Traced> {
    let parent = TraceParent::parse(&message.traceparent).filter(TraceParent::is_sampled)?;
    let (op, _) = Op::from_forwarded_name(&message.op)?;
    Some(traces.begin_forwarded(op.name(), &parent))
}

fn parts(run: HistoryRun) -> impl futures_util::Stream<Item = Result<wire::HistoryPart, Status>> {
    let range = Part::Range(wire::HistoryRange {
        first: run.first,
        last: run.last,
    });
    let entries = run.entries.flat_map(|portion| {
        let parts = match portion {
            Ok(entries) => cut(entries.into_iter().map(wire::Entry::from))
                .into_iter()
                .map(|entries| Ok(part(Part::Entries(wire::Entries { entries }))))
                .collect(),
            Err(error) => vec![Err(unreadable(&error))],
        };
        stream::iter(parts)
    });
    stream::once(async move { Ok(part(range)) }).chain(entries)
}

fn part(part: Part) -> wire::HistoryPart {
    wire::HistoryPart { part: Some(part) }
}

fn unreadable(error: &PeerError) -> Status {
    Status::internal(format!("the history cannot be read: {error}"))
}
