//! What a replica asks of other nodes besides Raft.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::Instant;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_raft_store::{Entry, NodeInfo};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use crate::replica::{
    ChangeError, Consistency, Error, ForwardStream, Forwarded, HistoryRun, LeaderChange,
    NodeReport, Peer, PeerError, Peers, SentByLeader, Types,
};
use crate::server::config::address;
use crate::server::peer::codec::{cut, decode_result, entries};
use crate::server::peer::connecting::CallError;
use crate::server::peer::connecting::connections::{ConnectionLane, Connections, PeerLink};
use crate::server::peer::wire;
use crate::server::peer::wire::history_part::Part;
use crate::server::peer::wire::read_index_reply::Outcome;
use crate::server::peer::{HelloAnswer, KEEP_ALIVE_TIMEOUT};

/// A change waits until the cluster agrees, and until a new node has its first entries.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one part of the history may take: at worst a large entry over a slow link. The connection itself notices
/// long before when no byte comes from a node.
const PART_TIMEOUT: Duration = Duration::from_secs(120);

/// A broken connection may be noticed by this much earlier, counted from the last command.
const SILENCE_MARGIN: Duration = Duration::from_millis(500);

impl<T: Types> Peers for Connections<T> {
    fn forward(&self, to: &Peer) -> BoxFuture<'static, Result<ForwardStream, PeerError>> {
        let link = self.to(to.clone());
        async move { Ok(forward(link).await?) }.boxed()
    }

    fn read_index(
        &self,
        to: &Peer,
        level: Consistency,
    ) -> BoxFuture<'static, Result<u64, PeerError>> {
        let link = self.to(to.clone());
        async move { read_index(&link, level).await }.boxed()
    }

    fn report(&self, to: &Peer) -> BoxFuture<'static, Result<NodeReport, PeerError>> {
        let link = self.to(to.clone());
        async move { Ok(report(&link).await?) }.boxed()
    }

    fn change(
        &self,
        to: &Peer,
        change: &LeaderChange,
    ) -> BoxFuture<'static, Result<Result<(), ChangeError>, PeerError>> {
        let link = self.to(to.clone());
        let change = wire::ChangeRequest::from(change);
        async move { Ok(self::change(&link, change).await?) }.boxed()
    }

    fn introduce(&self, peer_addr: &str) -> BoxFuture<'static, Result<Peer, PeerError>> {
        let (connections, addr) = (self.clone(), peer_addr.to_owned());
        async move { introduce(&connections, &addr).await }.boxed()
    }

    fn has_ended(&self, of: &Peer) -> BoxFuture<'static, bool> {
        let (connections, of) = (self.clone(), of.clone());
        async move { connections.refused(&of).await }.boxed()
    }

    fn other_places(&self, of: &Peer) -> Vec<String> {
        let mut places = self.members().places_of(of.id, &of.node.peer_addr);
        places.split_off(1)
    }

    fn sent(&self, to: u64) -> SentByLeader {
        let path = self.path(to);
        SentByLeader {
            bytes_taken: path.bytes_taken(),
            stalls: path.stall_count(),
        }
    }

    fn history(
        &self,
        to: &Peer,
        before: u64,
    ) -> BoxFuture<'static, Result<Option<HistoryRun>, PeerError>> {
        let link = self.to(to.clone());
        async move { Ok(history(link, before).await?) }.boxed()
    }
}

/// The streams live until one side drops its end, or the connection breaks. The node that forwards decides how much is
/// in flight.
async fn forward<T: Types>(link: PeerLink<T>) -> Result<ForwardStream, CallError> {
    let stream = forward_over(link.clone()).await?;
    if !link.path().loses_what_is_large() {
        return Ok(stream);
    }
    drop(stream);
    link.use_small_segments(
        "commands forwarded to another node, or its answers, do not arrive although small calls do; \
         this node opens the connection again with small TCP segments",
    );
    forward_over(link).await
}

/// The commands of a stream that have no answer yet.
#[derive(Default)]
struct OwedCommands<T: Types>(Mutex<(usize, Option<InstantOf<T>>)>);

impl<T: Types> OwedCommands<T> {
    fn sent(&self, commands: usize) {
        let mut owed = self.0.lock();
        owed.0 += commands;
        owed.1.get_or_insert_with(T::now);
    }

    fn answered(&self, commands: usize) {
        let mut owed = self.0.lock();
        owed.0 = owed.0.saturating_sub(commands);
        owed.1 = (owed.0 > 0).then(T::now);
    }

    /// Whether no answer has come for longer than a healthy connection is silent.
    fn is_silent(&self) -> bool {
        let since = self.0.lock().1;
        since.is_some_and(|since| since.elapsed() >= KEEP_ALIVE_TIMEOUT - SILENCE_MARGIN)
    }
}

async fn forward_over<T: Types>(link: PeerLink<T>) -> Result<ForwardStream, CallError> {
    let (commands, outgoing) = mpsc::unbounded_channel::<Vec<Forwarded>>();
    let (answers, results) = mpsc::unbounded_channel();
    let owed = Arc::new(OwedCommands::<T>::default());
    let sent = owed.clone();
    let batches = UnboundedReceiverStream::new(outgoing).flat_map(move |batch| {
        if !batch.is_empty() {
            sent.sent(batch.len());
        }
        let portions = cut(batch.into_iter().map(wire::Forwarded::from));
        stream::iter(portions).map(|requests| wire::ForwardBatch { requests })
    });
    let mut client = link.node(ConnectionLane::Forward)?;
    let request = link.request(batches)?;
    let limit = link.silence_timeout();
    let mut incoming = link.answer(limit, client.forward(request)).await?;
    drop(T::spawn(async move {
        loop {
            let message = tokio::select! {
                biased;
                message = incoming.message() => message,
                () = answers.closed() => return,
            };
            match message {
                Ok(Some(message)) => {
                    owed.answered(message.results.len());
                    let decoded = message.results.into_iter().map(decode_result).collect();
                    if answers.send(decoded).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    if owed.is_silent() {
                        link.path().fell_silent();
                    }
                    let reason = link.failure(status);
                    tracing::debug!(peer = %link.peer(), %reason, "forwarding broke");
                    return;
                }
            }
        }
    }));
    Ok(ForwardStream { commands, results })
}

async fn read_index<T: Types>(link: &PeerLink<T>, level: Consistency) -> Result<u64, PeerError> {
    let level = match level {
        Consistency::Lease => wire::ReadLevel::Lease,
        Consistency::Linearizable | Consistency::Local => wire::ReadLevel::Linearizable,
    };
    let message = wire::ReadIndexRequest {
        level: level.into(),
    };
    let mut client = link.node(ConnectionLane::Forward)?;
    let call = client.read_index(link.request(message)?);
    let reply = link.answer(link.rpc_timeout(), call).await?;
    match reply.outcome {
        Some(Outcome::Offset(offset)) => Ok(offset),
        Some(Outcome::Error(error)) => Err(match Error::try_from(error) {
            Ok(Error::NotLeader) => PeerError::NotLeader,
            Ok(error) => PeerError::Failed(error.to_string()),
            Err(error) => CallError::from(error).into(),
        }),
        None => Err(PeerError::Failed(
            "ReadIndexReply.outcome is missing".to_owned(),
        )),
    }
}

async fn report<T: Types>(link: &PeerLink<T>) -> Result<NodeReport, CallError> {
    let mut client = link.membership()?;
    let call = client.report(link.request(wire::ReportRequest {})?);
    let reply = link.answer(link.rpc_timeout(), call).await?;
    Ok(reply.try_into()?)
}

async fn change<T: Types>(
    link: &PeerLink<T>,
    change: wire::ChangeRequest,
) -> Result<Result<(), ChangeError>, CallError> {
    let mut client = link.membership()?;
    let call = client.change(link.request(change)?);
    let limit = CHANGE_TIMEOUT.max(link.rpc_timeout());
    let reply = link.answer(limit, call).await?;
    Ok(reply.error.map_or(Ok(()), |error| Err(error.into())))
}

/// A node may be added when it belongs to no other cluster and its id is free for its data folder.
async fn introduce<T: Types>(connections: &Connections<T>, addr: &str) -> Result<Peer, PeerError> {
    let found = connections.hello(addr).await?;
    let local = &connections.gate().local;
    let refused = |reason: String| Err(PeerError::Refused(reason));
    if found.node_id == local.node_id {
        return refused(format!(
            "the node at {addr} has the id of this node, {}: every node needs an id of its own",
            local.node_id
        ));
    }
    if found.cluster_name != local.cluster_name {
        return refused(format!(
            "the node at {addr} is configured for cluster {:?}, this one for {:?} (cluster.name)",
            found.cluster_name, local.cluster_name
        ));
    }
    if let (Some(theirs), Some(ours)) = (found.cluster_id, local.cluster_id.get())
        && theirs != *ours
    {
        return refused(format!(
            "node {} at {addr} belongs to another cluster; empty its data folder first",
            found.node_id
        ));
    }
    for (key, own) in [
        ("peer_addr", &found.peer_addr),
        ("rcp_addr", &found.rcp_addr),
    ] {
        if !address::is_dialable(own) {
            return refused(format!(
                "node {} at {addr} tells other nodes to reach it at {own:?} ({key}), which they cannot dial: give that \
                 node an entry in its cluster.peers with {}",
                found.node_id,
                address::DIALABLE
            ));
        }
    }
    if found.peer_addr != addr {
        must_be_there(connections, &found, addr).await?;
    }
    let recorded = connections.recorded(found.node_id);
    if recorded.is_some_and(|incarnation| incarnation != found.incarnation) {
        return refused(format!(
            "node {} has taken part in this cluster with another data folder: start the one at {addr} under a new \
             cluster.node_id",
            found.node_id
        ));
    }
    Ok(Peer {
        id: found.node_id,
        node: NodeInfo {
            peer_addr: found.peer_addr,
            rcp_addr: found.rcp_addr,
        },
    })
}

/// From now on other nodes look for the node at the address that it calls its own.
async fn must_be_there<T: Types>(
    connections: &Connections<T>,
    found: &HelloAnswer,
    asked_at: &str,
) -> Result<(), PeerError> {
    let (id, own) = (found.node_id, &found.peer_addr);
    let what = format!(
        "node {id} at {asked_at} tells other nodes to reach it at {own:?} (from its entry in its cluster.peers)"
    );
    match connections.hello(own).await {
        Ok(there) if there.incarnation == found.incarnation => Ok(()),
        Ok(there) => Err(PeerError::Refused(format!(
            "{what}, but node {} answers there",
            there.node_id
        ))),
        Err(error) => Err(PeerError::Refused(format!(
            "{what}, but that address {error}"
        ))),
    }
}

async fn history<T: Types>(
    link: PeerLink<T>,
    before: u64,
) -> Result<Option<HistoryRun>, CallError> {
    let mut client = link.node(ConnectionLane::Bulk)?;
    let call = client.history(link.request(wire::HistoryRequest { before })?);
    let mut parts = link.answer(link.silence_timeout(), call).await?;
    let head = next_part(&link, &mut parts).await?;
    let Some(head) = head else {
        return Ok(None);
    };
    let Part::Range(range) = head else {
        let what = "the history does not begin with its range";
        return Err(CallError::Failed(what.to_owned()));
    };
    Ok(Some(HistoryRun {
        first: range.first,
        last: range.last,
        entries: portions(link, parts),
    }))
}

fn portions<T: Types>(
    link: PeerLink<T>,
    parts: Streaming<wire::HistoryPart>,
) -> BoxStream<'static, Result<Vec<Entry>, PeerError>> {
    let portions = stream::unfold(Some((link, parts)), |state| async {
        let (link, mut parts) = state?;
        let portion = match next_part(&link, &mut parts).await {
            Ok(None) => return None,
            Ok(Some(Part::Entries(portion))) => entries(portion.entries).map_err(Into::into),
            Ok(Some(Part::Range(_))) => Err(CallError::Failed(
                "the history names its range twice".to_owned(),
            )),
            Err(error) => Err(error),
        };
        let more = portion.is_ok().then_some((link, parts));
        Some((portion.map_err(Into::into), more))
    });
    portions.boxed()
}

async fn next_part<T: Types>(
    link: &PeerLink<T>,
    parts: &mut Streaming<wire::HistoryPart>,
) -> Result<Option<Part>, CallError> {
    let Ok(message) = T::timeout(PART_TIMEOUT, parts.message()).await else {
        return Err(CallError::Timeout(PART_TIMEOUT));
    };
    let Some(message) = message.map_err(|status| link.failure(status))? else {
        return Ok(None);
    };
    let missing = || CallError::Failed("HistoryPart.part is missing".to_owned());
    message.part.map(Some).ok_or_else(missing)
}
