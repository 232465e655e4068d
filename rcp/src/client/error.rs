use std::time::Duration;

use crate::Code;
use crate::json::DocumentError;
use crate::message::ErrorBody;

/// Why a call has no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused.
    #[error("{0}")]
    Refused(ErrorBody),
    /// No server could be reached; the call was not sent.
    #[error("no connection: {reason}")]
    Connect {
        /// By address.
        reason: String,
    },
    /// The connection was lost after the call was sent.
    #[error("the connection was lost before the answer came: {reason}")]
    Disconnected {
        /// How it was lost.
        reason: String,
        /// The call is a write that may or may not have taken effect.
        outcome_unknown: bool,
    },
    /// The deadline passed. If a node has refused an earlier try, and no try may have taken effect, that refusal is
    /// returned instead.
    #[error("no answer to {op} within {} ms{}", after.as_millis(), said_before(earlier.as_deref()))]
    Timeout {
        /// The operation.
        op: String,
        /// The deadline.
        after: Duration,
        /// Why a node refused an earlier try, where that is known.
        earlier: Option<String>,
        /// The call is a write that may or may not have taken effect.
        outcome_unknown: bool,
    },
    /// The server violates the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// TLS could not be set up, or the server's certificate is not accepted.
    #[error("TLS: {0}")]
    Tls(String),
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
    /// The parameters cannot be sent.
    #[error("the request cannot be sent: {0}")]
    Request(String),
    /// A context or payload and a type of the program do not fit each other. What the call itself did is not
    /// affected by this.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The lock is lost, or may be another owner's soon.
    #[error("lock {name:?} is lost: {reason}")]
    LockLost {
        /// Its name.
        name: String,
        /// The token that it was held with.
        token: u64,
        /// Why.
        reason: String,
    },
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl Error {
    /// Whether the call was a write that may or may not have taken effect.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Error::Refused(error) => error.outcome_unknown(),
            Error::Disconnected {
                outcome_unknown, ..
            }
            | Error::Timeout {
                outcome_unknown, ..
            } => *outcome_unknown,
            Error::Connect { .. }
            | Error::Protocol(_)
            | Error::Tls(_)
            | Error::Options(_)
            | Error::Request(_)
            | Error::Document(_)
            | Error::LockLost { .. }
            | Error::Closed => false,
        }
    }

    /// Whether the same call may succeed at another try: the server says so, or no server was reached, or none
    /// answered.
    ///
    /// The client library has retried a call until its deadline before it returns such an error. When the error also has
    /// an [unknown outcome](Self::outcome_unknown), a write may have taken effect: call again only if it has an
    /// idempotency key. After a call with which two leaders in a row were lost this is false, because the call may be what
    /// ends them.
    pub fn is_retryable(&self) -> bool {
        let ends_leaders = matches!(self, Error::Refused(refusal) if refusal.leaders_lost() > 0);
        self.may_pass() && !ends_leaders
    }

    /// Whether a new connection, perhaps to another node, may succeed.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Error::Refused(error) => error.retryable,
            Error::Connect { .. } | Error::Disconnected { .. } | Error::Timeout { .. } => true,
            Error::Protocol(_)
            | Error::Tls(_)
            | Error::Options(_)
            | Error::Request(_)
            | Error::Document(_)
            | Error::LockLost { .. }
            | Error::Closed => false,
        }
    }

    /// Whether a lock is lost: its guard says so, or the cluster has refused a write with its fence.
    pub fn is_lock_lost(&self) -> bool {
        match self {
            Error::LockLost { .. } => true,
            Error::Refused(error) => error.code == Code::LockLost,
            _ => false,
        }
    }
}

/// What follows the text of an error when a node has refused an earlier try.
fn said_before(earlier: Option<&str>) -> String {
    let said = |earlier| format!("; before that a node said {earlier}");
    earlier.map(said).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_succeed_at_another_try_is_retryable() {
        let refused = |code: Code| ErrorBody::new(code, "");
        let lost = Error::Disconnected {
            reason: String::new(),
            outcome_unknown: true,
        };
        assert!(lost.is_retryable() && lost.outcome_unknown());
        assert!(Error::Refused(refused(Code::NoLeader)).is_retryable());
        assert!(!Error::Refused(refused(Code::GuardFailed)).is_retryable());
        assert!(!Error::Closed.is_retryable());
        let ends_leaders = refused(Code::NoLeader).with_details(json!({ "leaders_lost": 2 }));
        let error = Error::Refused(ends_leaders);
        assert!(error.may_pass() && !error.is_retryable());
    }
}
