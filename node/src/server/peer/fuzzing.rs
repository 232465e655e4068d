//! Feeds any bytes to the decoder of each message of the protocol. What decodes is converted and judged as a node does
//! it. For tests and for the fuzz target in `node/fuzz`.

use std::sync::Arc;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prost::Message;
use rstmdb_raft_store::SnapshotMeta;

use super::asking::hello::HelloAnswer;
use super::codec::{self, id_from};
use super::sane::TermBounds;
use super::serving::pieces::EntryPieces;
use super::wire;
use crate::replica::{ChangeError, Error, LeaderChange, NodeReport};
use crate::server::product::Product;

/// The term of the node that judges.
const TERM: u64 = 7;
/// The node that sends.
const SENDER: u64 = 2;

/// Takes `data` as each message that another node can send. No content of it may cause a panic here.
pub fn take(data: &[u8]) {
    first_exchange(data);
    requests_of_raft(data);
    answers_of_raft(data);
    stream_of_appends(data);
    commands(data);
    membership(data);
}

/// The message in `data`, if it is one.
fn decoded<M: Message + Default>(data: &[u8]) -> Option<M> {
    M::decode(data).ok()
}

/// The message in `data` as the node's own type, if it is valid.
fn converted<M: Message + Default, T: TryFrom<M>>(data: &[u8]) -> Option<T> {
    T::try_from(decoded::<M>(data)?).ok()
}

fn first_exchange(data: &[u8]) {
    if let Some(asked) = decoded::<wire::HelloRequest>(data) {
        let _ = id_from("HelloRequest.incarnation", &asked.incarnation);
    }
    if let Some(reply) = decoded::<wire::HelloReply>(data) {
        let _ = HelloAnswer::decode(reply);
    }
}

fn requests_of_raft(data: &[u8]) {
    let bounds = TermBounds::beyond(TERM);
    if let Some(vote) = converted::<wire::VoteRequest, VoteRequest<Product>>(data) {
        let _ = bounds.vote_request(&vote);
        let _ = wire::VoteRequest::from(vote);
    }
    if let Some(append) = converted::<wire::AppendRequest, AppendEntriesRequest<Product>>(data) {
        let _ = bounds.append(&append);
        let _ = wire::AppendRequest::from(append);
    }
    let transfer = converted::<wire::TransferLeaderRequest, TransferLeaderRequest<Product>>(data);
    if let Some(transfer) = transfer {
        let _ = bounds.transfer(&transfer);
    }
    if let Some(wire::snapshot_part::Part::Offer(offer)) =
        decoded::<wire::SnapshotPart>(data).and_then(|part| part.part)
        && let (Some(vote), Some(meta)) = (offer.vote, offer.meta)
        && let Ok(meta) = SnapshotMeta::try_from(meta)
    {
        let _ = bounds.snapshot(&vote.into(), &meta);
        let _ = wire::SnapshotMeta::from(&meta);
    }
}

fn answers_of_raft(data: &[u8]) {
    let _ = converted::<wire::VoteReply, VoteResponse<Product>>(data);
    let _ = converted::<wire::AppendReply, AppendEntriesResponse<Product>>(data);
    let _ = converted::<wire::StreamAppendReply, StreamAppendResult<Product>>(data);
    let _ = converted::<wire::TransferLeaderReply, TransferLeaderResponse<Product>>(data);
    if let Some(wire::history_part::Part::Entries(entries)) =
        decoded::<wire::HistoryPart>(data).and_then(|part| part.part)
    {
        let _ = codec::entries(entries.entries);
    }
}

/// One part of a stream, as the first one: a piece of an entry is kept, and taken out as if it were complete.
fn stream_of_appends(data: &[u8]) {
    use wire::append_part::Part;
    let Some(part) = decoded::<wire::AppendPart>(data).and_then(|part| part.part) else {
        return;
    };
    match part {
        Part::Piece(piece) => {
            let pieces = EntryPieces::<Product>::default();
            let (ticket, _) = pieces.enter(SENDER);
            let _ = pieces.add(ticket, &piece, true);
            if let Some(entry) = piece.entry {
                let _ = pieces.take(ticket, piece.log_id, entry);
            }
        }
        Part::Append(append) => {
            if let Ok(append) = AppendEntriesRequest::<Product>::try_from(append) {
                let _ = TermBounds::beyond(TERM).append(&append);
                let bytes = append.entries.iter().map(codec::append_cut::size);
                let _ = bytes.sum::<usize>();
            }
        }
    }
}

fn commands(data: &[u8]) {
    if let Some(batch) = decoded::<wire::ForwardBatch>(data) {
        for message in batch.requests {
            let _ = codec::received(message, Arc::new(()));
        }
    }
    if let Some(results) = decoded::<wire::ForwardResults>(data) {
        for message in results.results {
            let _ = codec::encode_result(codec::decode_result(message));
        }
    }
    if let Some(wire::read_index_reply::Outcome::Error(error)) =
        decoded::<wire::ReadIndexReply>(data).and_then(|reply| reply.outcome)
    {
        let _ = Error::try_from(error);
    }
}

fn membership(data: &[u8]) {
    let _ = converted::<wire::ReportReply, NodeReport>(data);
    let _ = converted::<wire::ChangeRequest, LeaderChange>(data);
    if let Some(error) = decoded::<wire::ChangeReply>(data).and_then(|reply| reply.error) {
        let _ = ChangeError::from(error);
    }
}
