//! Why a call to another node failed.

use std::time::Duration;

use openraft::errors::{RPCError, StreamingError, Unreachable};
use tonic::{Code, Status};

use crate::replica::{PeerError, Types};
use crate::server::peer::codec::DecodeError;
use crate::server::peer::reason_of;
use crate::server::peer::sane::Insane;

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection, or it broke, or the other side is not ready.
    #[error("{0}")]
    Unreachable(String),
    /// One of the two sides refuses to talk to the other.
    #[error("{0}")]
    Refused(String),
    /// The other side refuses to talk to this node, because this node is not in its committed membership.
    #[error("{reason}")]
    NotMember {
        /// The log index of that membership.
        membership: u64,
        /// For people.
        reason: String,
    },
    /// The other side answered that it failed, or gave an answer that no node gives.
    #[error("{0}")]
    Failed(String),
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let text = reason_of(&status);
        match status.code() {
            Code::FailedPrecondition => Self::Refused(status.message().to_owned()),
            Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded => {
                Self::Unreachable(text)
            }
            _ => Self::Failed(text),
        }
    }
}

impl From<DecodeError> for CallError {
    fn from(error: DecodeError) -> Self {
        Self::Failed(format!("the answer is not understood: {error}"))
    }
}

impl From<Insane> for CallError {
    fn from(insane: Insane) -> Self {
        Self::Failed(format!("the answer holds an impossible value: {insane}"))
    }
}

impl From<CallError> for PeerError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout(_) | CallError::Unreachable(_) => {
                Self::Unreachable(error.to_string())
            }
            CallError::Refused(reason) => Self::Refused(reason),
            CallError::NotMember { membership, reason } => Self::NotMember { membership, reason },
            CallError::Failed(reason) => Self::Failed(reason),
        }
    }
}

/// openraft gets all of them as *unreachable*: it then waits before it retries. This is right even for a broken
/// connection, because the next one is open within openraft's first wait.
impl<T: Types> From<CallError> for RPCError<T> {
    fn from(error: CallError) -> Self {
        Self::Unreachable(Unreachable::from_string(error))
    }
}

impl<T: Types> From<CallError> for StreamingError<T> {
    fn from(error: CallError) -> Self {
        Self::Unreachable(Unreachable::from_string(error))
    }
}
