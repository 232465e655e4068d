//! The outcome of a forwarded request: the result as the leader wrote it, a refusal, or the reason why there is no
//! result.

use bytes::BytesMut;
use rstmdb_rcp::PAYLOAD_BYTES_MAX;
use rstmdb_rcp::message::ErrorBody;

use super::{DecodeError, invalid, required};
use crate::replica::{
    Done, Error, ForwardResult, MarkedPart, RefusedByLeader, Relayed, ReplayedContext, Replied,
    ReplyMark, may_be_of_a_later_life,
};
use crate::server::messages::too_long::{self, RequestFate};
use crate::server::messages::{failure, json, reply};
use crate::server::peer::wire;
use crate::server::peer::wire::error::Kind;
use crate::server::peer::wire::mark::Part as Wire;

impl From<Relayed> for wire::Done {
    fn from(relayed: Relayed) -> Self {
        Self {
            result: relayed.text().clone(),
            offset: None,
            marks: relayed.marks().iter().map(Into::into).collect(),
        }
    }
}

impl From<&ReplyMark> for wire::Mark {
    fn from(mark: &ReplyMark) -> Self {
        let part = match &mark.part {
            MarkedPart::Extension { .. } => Wire::Extension(wire::Blank {}),
            MarkedPart::Context(context) => Wire::Context(wire::ReplayedContext {
                instance_id: context.instance_id.clone(),
                idempotency_key: context.idempotency_key.clone(),
                wal_offset: context.wal_offset,
            }),
        };
        Self {
            at: mark.at as u64,
            bytes: mark.bytes as u64,
            part: Some(part),
        }
    }
}

impl TryFrom<wire::Mark> for ReplyMark {
    type Error = DecodeError;

    fn try_from(message: wire::Mark) -> Result<Self, DecodeError> {
        let place = |field, value| {
            usize::try_from(value).map_err(|_| invalid(field, "it is larger than any result"))
        };
        let part = match required("Mark.part", message.part)? {
            Wire::Extension(_) => MarkedPart::Extension { shown: true },
            Wire::Context(context) => MarkedPart::Context(ReplayedContext {
                instance_id: context.instance_id,
                idempotency_key: context.idempotency_key,
                wal_offset: context.wal_offset,
                found: None,
            }),
        };
        Ok(Self {
            at: place("Mark.at", message.at)?,
            bytes: place("Mark.bytes", message.bytes)?,
            part,
        })
    }
}

impl TryFrom<wire::Done> for Done {
    type Error = DecodeError;

    fn try_from(message: wire::Done) -> Result<Self, DecodeError> {
        let marks = message.marks.into_iter().map(ReplyMark::try_from);
        let relayed = Relayed::new(message.result, marks.collect::<Result<_, _>>()?);
        let outside = || invalid("Done.marks", "they are not parts of the result");
        Ok(Self {
            reply: Replied::ByLeader(relayed.ok_or_else(outside)?),
            offset: message.offset,
        })
    }
}

impl From<RefusedByLeader> for wire::Refused {
    fn from(refused: RefusedByLeader) -> Self {
        let mut error = BytesMut::new();
        json::serialized(&mut error, &refused.error);
        Self {
            error: error.freeze(),
            may_be_of_a_later_life: refused.may_be_of_a_later_life,
        }
    }
}

impl TryFrom<wire::Refused> for RefusedByLeader {
    type Error = DecodeError;

    fn try_from(message: wire::Refused) -> Result<Self, DecodeError> {
        let error = serde_json::from_slice(&message.error);
        Ok(Self {
            error: error.map_err(|error| invalid("Refused.error", error.to_string()))?,
            may_be_of_a_later_life: message.may_be_of_a_later_life,
        })
    }
}

impl From<Error> for wire::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let outcome_unknown = error.outcome_unknown();
        let blank = wire::Blank {};
        let kind = match error {
            Error::Refused(refusal) => {
                let refused = RefusedByLeader {
                    error: failure::of_refusal(&refusal),
                    may_be_of_a_later_life: may_be_of_a_later_life(&refusal),
                };
                Kind::Refused(refused.into())
            }
            Error::RefusedByLeader(refused) => Kind::Refused((*refused).into()),
            Error::OffsetCompacted { wanted, earliest } => {
                Kind::OffsetCompacted(wire::OffsetCompacted { wanted, earliest })
            }
            // Only watches and reads of the log get these, and they are not forwarded: the other node reads the text.
            Error::OffsetAhead { .. }
            | Error::OtherCluster { .. }
            | Error::ArchiveUnavailable { .. }
            | Error::ArchiveDamaged { .. } => {
                return Self {
                    text,
                    outcome_unknown,
                    kind: None,
                };
            }
            Error::NotLeader => Kind::NotLeader(blank),
            Error::Diverged => Kind::Diverged(blank),
            // To the node that asked, a leader that was removed is none.
            Error::NoLeader | Error::Removed(_) => Kind::NoLeader(blank),
            Error::OutcomeUnknown => Kind::UnknownOutcome(blank),
            Error::LostTwice => Kind::LostTwice(blank),
            Error::DecisionFailed => Kind::DecisionFailed(blank),
            Error::NotCaughtUp { offset } => Kind::NotCaughtUp(offset),
            Error::ReadOnly { reason } => Kind::ReadOnly(reason),
            Error::ShuttingDown => Kind::ShuttingDown(blank),
            Error::Storage { reason, .. } => Kind::Storage(reason),
        };
        Self {
            text,
            outcome_unknown,
            kind: Some(kind),
        }
    }
}

impl TryFrom<wire::Error> for Error {
    type Error = DecodeError;

    fn try_from(message: wire::Error) -> Result<Self, DecodeError> {
        let outcome_unknown = message.outcome_unknown;
        Ok(match message.kind {
            Some(Kind::Refused(refused)) => Self::RefusedByLeader(Box::new(refused.try_into()?)),
            Some(Kind::OffsetCompacted(compacted)) => Self::OffsetCompacted {
                wanted: compacted.wanted,
                earliest: compacted.earliest,
            },
            Some(Kind::NotLeader(_)) => Self::NotLeader,
            Some(Kind::Diverged(_)) => Self::Diverged,
            Some(Kind::NoLeader(_)) => Self::NoLeader,
            Some(Kind::UnknownOutcome(_)) => Self::OutcomeUnknown,
            Some(Kind::LostTwice(_)) => Self::LostTwice,
            Some(Kind::DecisionFailed(_)) => Self::DecisionFailed,
            Some(Kind::NotCaughtUp(offset)) => Self::NotCaughtUp { offset },
            Some(Kind::ReadOnly(reason)) => Self::ReadOnly { reason },
            Some(Kind::ShuttingDown(_)) => Self::ShuttingDown,
            Some(Kind::Storage(reason)) => Self::Storage {
                reason,
                outcome_unknown,
            },
            // The error is of a newer version: it only matters whether the request may have taken effect.
            None if outcome_unknown => Self::OutcomeUnknown,
            None if message.text.is_empty() => return Err(DecodeError::Missing("Error.kind")),
            None => Self::Storage {
                reason: message.text,
                outcome_unknown,
            },
        })
    }
}

/// Encodes the outcome of one request.
pub(in super::super) fn encode_result(result: ForwardResult) -> wire::ForwardResult {
    use wire::forward_result::Outcome;
    let outcome = match result.outcome.and_then(written) {
        Ok(done) => Outcome::Done(done),
        Err(error) => Outcome::Error(error.into()),
    };
    wire::ForwardResult {
        seq: result.seq,
        outcome: Some(outcome),
    }
}

/// The result as it is sent. One that does not fit into a frame of its client becomes the error that the client would
/// get for it in any case.
fn written(done: Done) -> Result<wire::Done, Error> {
    let fate = match &done.reply {
        Replied::Here(reply) => RequestFate::of_reply(reply, done.offset),
        // The leader that wrote it has found that it fits.
        Replied::ByLeader(_) => done
            .offset
            .map_or(RequestFate::NoWrite, |at| RequestFate::Applied(Some(at))),
    };
    let relayed = match done.reply {
        Replied::Here(reply) => reply::relayed(&reply),
        Replied::ByLeader(relayed) => relayed,
    };
    let bytes = relayed.text().len();
    if bytes > PAYLOAD_BYTES_MAX {
        let why = format!("it is {bytes} bytes long; at most {PAYLOAD_BYTES_MAX} are allowed");
        return Err(refused(too_long::error(&why, fate)));
    }
    Ok(wire::Done {
        offset: done.offset,
        ..relayed.into()
    })
}

/// Decodes the outcome of one request. If a newer version sent an outcome that this one does not know, the request may
/// or may not have taken effect.
pub(in super::super) fn decode_result(message: wire::ForwardResult) -> ForwardResult {
    use wire::forward_result::Outcome;
    let decoded = match message.outcome {
        Some(Outcome::Done(done)) => Done::try_from(done).map(Ok),
        Some(Outcome::Error(error)) => Error::try_from(error).map(Err),
        None => Err(DecodeError::Missing("ForwardResult.outcome")),
    };
    let outcome = decoded.unwrap_or_else(|error| {
        tracing::debug!(seq = message.seq, %error, "an outcome is not understood");
        Err(Error::OutcomeUnknown)
    });
    ForwardResult {
        seq: message.seq,
        outcome,
    }
}

/// The outcome of a request that this version does not understand: nothing was done.
pub(in super::super) fn not_understood(seq: u64, error: ErrorBody) -> ForwardResult {
    let message = format!(
        "the leader does not understand this request; its version may be older: {}",
        error.message
    );
    ForwardResult {
        seq,
        outcome: Err(refused(ErrorBody {
            message: message.into(),
            ..error
        })),
    }
}

fn refused(error: ErrorBody) -> Error {
    Error::RefusedByLeader(Box::new(RefusedByLeader {
        error,
        may_be_of_a_later_life: false,
    }))
}
