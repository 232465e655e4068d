//! Raft's own messages.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use rstmdb_raft_store::{
    Data, Entry, LeaderId, LogId, Membership, Payload, SnapshotMeta, StoreConfig, StoredMembership,
    Vote, log_id,
};

use super::{DecodeError, required};
use crate::server::peer::wire;

impl From<LogId> for wire::LogId {
    fn from(id: LogId) -> Self {
        Self {
            term: id.leader_id.term,
            index: id.index,
        }
    }
}

impl From<wire::LogId> for LogId {
    fn from(id: wire::LogId) -> Self {
        log_id(id.term, id.index)
    }
}

impl From<Vote> for wire::Vote {
    fn from(vote: Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            node_id: vote.leader_id.voted_for,
            committed: vote.committed,
        }
    }
}

impl From<wire::Vote> for Vote {
    fn from(vote: wire::Vote) -> Self {
        Self {
            leader_id: LeaderId {
                term: vote.term,
                voted_for: vote.node_id,
            },
            committed: vote.committed,
        }
    }
}

impl<T: StoreConfig> From<VoteRequest<T>> for wire::VoteRequest {
    fn from(request: VoteRequest<T>) -> Self {
        Self {
            vote: Some(request.vote.into()),
            last_log_id: request.last_log_id.map(Into::into),
            leadership_transfer: request.leadership_transfer,
        }
    }
}

impl<T: StoreConfig> TryFrom<wire::VoteRequest> for VoteRequest<T> {
    type Error = DecodeError;

    fn try_from(message: wire::VoteRequest) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: required("VoteRequest.vote", message.vote)?.into(),
            last_log_id: message.last_log_id.map(Into::into),
            leadership_transfer: message.leadership_transfer,
        })
    }
}

impl<T: StoreConfig> From<VoteResponse<T>> for wire::VoteReply {
    fn from(response: VoteResponse<T>) -> Self {
        Self {
            vote: Some(response.vote.into()),
            granted: response.vote_granted,
            last_log_id: response.last_log_id.map(Into::into),
        }
    }
}

impl<T: StoreConfig> TryFrom<wire::VoteReply> for VoteResponse<T> {
    type Error = DecodeError;

    fn try_from(message: wire::VoteReply) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: required("VoteReply.vote", message.vote)?.into(),
            vote_granted: message.granted,
            last_log_id: message.last_log_id.map(Into::into),
        })
    }
}

impl From<Entry> for wire::Entry {
    fn from(entry: Entry) -> Self {
        use wire::entry::Payload as Wire;
        let payload = match entry.payload {
            Payload::Blank => Wire::Blank(wire::Blank {}),
            Payload::Normal(data) => Wire::Normal(data.0),
            Payload::Membership(membership) => Wire::Membership((&membership).into()),
        };
        Self {
            log_id: Some(entry.log_id.into()),
            payload: Some(payload),
        }
    }
}

impl TryFrom<wire::Entry> for Entry {
    type Error = DecodeError;

    fn try_from(message: wire::Entry) -> Result<Self, DecodeError> {
        use wire::entry::Payload as Wire;
        let payload = match required("Entry.payload", message.payload)? {
            Wire::Blank(_) => Payload::Blank,
            Wire::Normal(bytes) => Payload::Normal(Data(bytes)),
            Wire::Membership(config) => Payload::Membership(config.try_into()?),
            // If it is allowed, its pieces have been put in its place by now.
            Wire::InPieces(_) => return Err(DecodeError::Missing("Entry.payload")),
        };
        Ok(Self {
            log_id: required("Entry.log_id", message.log_id)?.into(),
            payload,
        })
    }
}

/// Decodes a run of entries.
pub(in super::super) fn entries(messages: Vec<wire::Entry>) -> Result<Vec<Entry>, DecodeError> {
    messages.into_iter().map(TryInto::try_into).collect()
}

impl<T: StoreConfig> From<AppendEntriesRequest<T>> for wire::AppendRequest {
    fn from(request: AppendEntriesRequest<T>) -> Self {
        Self {
            vote: Some(request.vote.into()),
            prev_log_id: request.prev_log_id.map(Into::into),
            entries: request.entries.into_iter().map(Into::into).collect(),
            leader_commit: request.leader_commit.map(Into::into),
        }
    }
}

impl<T: StoreConfig> TryFrom<wire::AppendRequest> for AppendEntriesRequest<T> {
    type Error = DecodeError;

    fn try_from(message: wire::AppendRequest) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: required("AppendRequest.vote", message.vote)?.into(),
            prev_log_id: message.prev_log_id.map(Into::into),
            entries: entries(message.entries)?,
            leader_commit: message.leader_commit.map(Into::into),
        })
    }
}

impl<T: StoreConfig> From<AppendEntriesResponse<T>> for wire::AppendReply {
    fn from(response: AppendEntriesResponse<T>) -> Self {
        use wire::append_reply::Outcome;
        let outcome = match response {
            AppendEntriesResponse::Success => Outcome::Success(wire::Blank {}),
            AppendEntriesResponse::PartialSuccess(id) => Outcome::Partial(wire::Matching {
                log_id: id.map(Into::into),
            }),
            AppendEntriesResponse::Conflict => Outcome::Conflict(wire::Blank {}),
            AppendEntriesResponse::HigherVote(vote) => Outcome::HigherVote(vote.into()),
        };
        Self {
            outcome: Some(outcome),
        }
    }
}

impl<T: StoreConfig> TryFrom<wire::AppendReply> for AppendEntriesResponse<T> {
    type Error = DecodeError;

    fn try_from(message: wire::AppendReply) -> Result<Self, DecodeError> {
        use wire::append_reply::Outcome;
        Ok(match required("AppendReply.outcome", message.outcome)? {
            Outcome::Success(_) => Self::Success,
            Outcome::Partial(matching) => Self::PartialSuccess(matching.log_id.map(Into::into)),
            Outcome::Conflict(_) => Self::Conflict,
            Outcome::HigherVote(vote) => Self::HigherVote(vote.into()),
        })
    }
}

impl<T: StoreConfig> From<StreamAppendResult<T>> for wire::StreamAppendReply {
    fn from(result: StreamAppendResult<T>) -> Self {
        use wire::stream_append_reply::Outcome;
        let outcome = match result {
            Ok(id) => Outcome::Matching(wire::Matching {
                log_id: id.map(Into::into),
            }),
            Err(StreamAppendError::Conflict(id)) => Outcome::Conflict(id.into()),
            Err(StreamAppendError::HigherVote(vote)) => Outcome::HigherVote(vote.into()),
        };
        Self {
            outcome: Some(outcome),
        }
    }
}

impl<T: StoreConfig> TryFrom<wire::StreamAppendReply> for StreamAppendResult<T> {
    type Error = DecodeError;

    fn try_from(message: wire::StreamAppendReply) -> Result<Self, DecodeError> {
        use wire::stream_append_reply::Outcome;
        Ok(
            match required("StreamAppendReply.outcome", message.outcome)? {
                Outcome::Matching(matching) => Ok(matching.log_id.map(Into::into)),
                Outcome::Conflict(id) => Err(StreamAppendError::Conflict(id.into())),
                Outcome::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
                Outcome::Progress(_) => {
                    return Err(DecodeError::Missing("StreamAppendReply.outcome"));
                }
            },
        )
    }
}

impl From<&SnapshotMeta> for wire::SnapshotMeta {
    fn from(meta: &SnapshotMeta) -> Self {
        let stored = &meta.last_membership;
        Self {
            last_log_id: meta.last_log_id.map(Into::into),
            membership_log_id: stored.log_id().map(Into::into),
            membership: Some(stored.membership().into()),
        }
    }
}

impl TryFrom<wire::SnapshotMeta> for SnapshotMeta {
    type Error = DecodeError;

    fn try_from(message: wire::SnapshotMeta) -> Result<Self, DecodeError> {
        let membership = required("SnapshotMeta.membership", message.membership)?;
        let membership = Membership::try_from(membership)?;
        let membership_log_id = message.membership_log_id.map(Into::into);
        Ok(Self {
            last_log_id: message.last_log_id.map(Into::into),
            last_membership: StoredMembership::new(membership_log_id, membership),
        })
    }
}

impl<T: StoreConfig> From<&TransferLeaderRequest<T>> for wire::TransferLeaderRequest {
    fn from(request: &TransferLeaderRequest<T>) -> Self {
        Self {
            from_leader: Some((*request.from_leader()).into()),
            to_node_id: *request.to_node_id(),
            last_log_id: request.last_log_id().copied().map(Into::into),
        }
    }
}

impl<T: StoreConfig> TryFrom<wire::TransferLeaderRequest> for TransferLeaderRequest<T> {
    type Error = DecodeError;

    fn try_from(message: wire::TransferLeaderRequest) -> Result<Self, DecodeError> {
        let vote = required("TransferLeaderRequest.from_leader", message.from_leader)?;
        let last_log_id = message.last_log_id.map(Into::into);
        Ok(Self::new(vote.into(), message.to_node_id, last_log_id))
    }
}

impl<T: StoreConfig> From<TransferLeaderResponse<T>> for wire::TransferLeaderReply {
    fn from(response: TransferLeaderResponse<T>) -> Self {
        use wire::transfer_leader_reply::Outcome;
        let outcome = match response {
            Ok(()) => Outcome::Accepted(wire::Blank {}),
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                Outcome::VoteChanged(wire::VoteChanged {
                    expected: Some(expected.into()),
                    actual: Some(actual.into()),
                })
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                Outcome::LogNotFlushed(wire::LogNotFlushed {
                    expected: expected.map(Into::into),
                    actual: actual.map(Into::into),
                })
            }
        };
        Self {
            outcome: Some(outcome),
        }
    }
}

impl<T: StoreConfig> TryFrom<wire::TransferLeaderReply> for TransferLeaderResponse<T> {
    type Error = DecodeError;

    fn try_from(message: wire::TransferLeaderReply) -> Result<Self, DecodeError> {
        use wire::transfer_leader_reply::Outcome;
        Ok(
            match required("TransferLeaderReply.outcome", message.outcome)? {
                Outcome::Accepted(_) => Ok(()),
                Outcome::VoteChanged(changed) => Err(TransferLeaderError::VoteChanged {
                    expected: required("VoteChanged.expected", changed.expected)?.into(),
                    actual: required("VoteChanged.actual", changed.actual)?.into(),
                }),
                Outcome::LogNotFlushed(behind) => Err(TransferLeaderError::LogNotFlushed {
                    expected: behind.expected.map(Into::into),
                    actual: behind.actual.map(Into::into),
                }),
            },
        )
    }
}
