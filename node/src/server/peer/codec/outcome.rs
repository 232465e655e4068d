//! The outcome of a forwarded command.

use prost::Message;
use rstmdb_engine::Refusal;

use super::{DecodeError, required};
use crate::replica::{Done, Error, ForwardResult};
use crate::server::peer::wire::error::Kind;
use crate::server::peer::{MESSAGE_BYTES_MAX, wire};

/// The largest outcome that is sent; the rest is for the message around it.
const RESULT_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 1024;

impl From<Done> for wire::Done {
    fn from(done: Done) -> Self {
        Self {
            reply: Some(done.reply.into()),
            offset: done.offset,
        }
    }
}

impl TryFrom<wire::Done> for Done {
    type Error = DecodeError;

    fn try_from(message: wire::Done) -> Result<Self, DecodeError> {
        Ok(Self {
            reply: required("Done.reply", message.reply)?.try_into()?,
            offset: message.offset,
        })
    }
}

impl From<Error> for wire::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let outcome_unknown = error.outcome_unknown();
        let blank = wire::Blank {};
        let kind = match error {
            Error::Refused(refusal) => Kind::Refused(refusal.into()),
            Error::OffsetCompacted { wanted, earliest } => {
                Kind::OffsetCompacted(wire::OffsetCompacted { wanted, earliest })
            }
            // Only watches get this refusal, and they are not forwarded: the other node reads the text.
            Error::OffsetAhead { .. } | Error::OtherCluster { .. } => {
                return Self {
                    text,
                    outcome_unknown,
                    kind: None,
                };
            }
            Error::NotLeader => Kind::NotLeader(blank),
            Error::Diverged => Kind::Diverged(blank),
            Error::NoLeader => Kind::NoLeader(blank),
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
            Some(Kind::Refused(refusal)) => Self::Refused(refusal.try_into()?),
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

/// Encodes the outcome of one command.
pub(in super::super) fn encode_result(result: ForwardResult) -> wire::ForwardResult {
    use wire::forward_result::Outcome;
    let offset = result.outcome.as_ref().ok().and_then(|done| done.offset);
    let outcome = match result.outcome {
        Ok(done) => Outcome::Done(done.into()),
        Err(error) => Outcome::Error(error.into()),
    };
    let message = wire::ForwardResult {
        seq: result.seq,
        outcome: Some(outcome),
    };
    let bytes = message.encoded_len();
    if bytes <= RESULT_BYTES_MAX {
        return message;
    }
    wire::ForwardResult {
        seq: result.seq,
        outcome: Some(Outcome::Error(too_large(bytes, offset).into())),
    }
}

/// The error that replaces an answer too large to send: such an answer would end the stream, and with it all other
/// commands in flight. The client learns whether its write took effect.
fn too_large(bytes: usize, offset: Option<u64>) -> Error {
    let effect = offset.map_or_else(
        || "nothing was changed".to_owned(),
        |offset| format!("the writes of this request took effect at wal_offset {offset}"),
    );
    Error::Refused(Refusal::BadRequest {
        field: None,
        message: format!(
            "the answer would be {bytes} bytes long, and at most {RESULT_BYTES_MAX} can be passed on \
             from the leader: read less at once; {effect}"
        ),
    })
}

/// Decodes the outcome of one command. If a newer version sent an outcome that this one does not know, the command may
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

/// The outcome of a command that this version does not know: nothing was done.
pub(in super::super) fn not_understood(seq: u64, error: &DecodeError) -> ForwardResult {
    let message =
        format!("the leader does not understand this request; its version may be older: {error}");
    ForwardResult {
        seq,
        outcome: Err(Error::Refused(Refusal::BadRequest {
            field: None,
            message,
        })),
    }
}
