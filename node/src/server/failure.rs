//! What a client is told when a request was not done.
//!
//! ```text
//! ParamFault, RequestFault ─┐
//! engine::Refusal ──────────┼─▶ ErrorBody {code, message, retryable, details} ─▶ for_legacy
//! replica::Error ───────────┘
//! ```

use rstmdb_engine::Refusal;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use serde_json::json;

use crate::replica;

/// What a request may have changed when no answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing, or nothing yet: it was not handed over.
    None,
    /// It writes; `keyed` when every part of it carries an idempotency key or may be repeated.
    Write { keyed: bool },
}

/// The one mapping from what the replica says to what the client is told.
pub(crate) fn of_replica(error: &replica::Error, effect: Effect) -> ErrorBody {
    use replica::Error;
    let code = match error {
        Error::Refused(refusal) => return of_refusal(refusal),
        Error::OffsetCompacted { earliest, .. } => {
            return ErrorBody::new(Code::OffsetCompacted, error.to_string())
                .with_details(json!({ "earliest_offset": earliest }));
        }
        // A node that goes down is no place to wait: another one has, or will have, the leader.
        Error::NoLeader | Error::ShuttingDown => Code::NoLeader,
        Error::OutcomeUnknown => Code::InternalError,
        Error::ReadOnly { .. } => Code::ReadOnlyMode,
        Error::Storage { .. } => Code::WalIoError,
    };
    let body = ErrorBody::new(code, error.to_string());
    if error.outcome_unknown() {
        unknown_outcome(body, effect)
    } else {
        body
    }
}

/// What the engine refuses.
pub(crate) fn of_refusal(refusal: &Refusal) -> ErrorBody {
    let body = ErrorBody::new(Code::from(refusal.code()), refusal.to_string());
    match refusal.details() {
        serde_json::Value::Null => body,
        details => body.with_details(details),
    }
}

/// The request's deadline has passed.
pub(crate) fn timeout(effect: Effect, timeout: std::time::Duration) -> ErrorBody {
    let waited = format!("no answer within {} ms", timeout.as_millis());
    match effect {
        Effect::None => ErrorBody::new(Code::Timeout, format!("{waited}; nothing was changed"))
            .with_details(json!({ "outcome": "not_applied" })),
        Effect::Write { .. } => unknown_outcome(
            ErrorBody::new(
                Code::Timeout,
                format!("{waited}; the write may or may not take effect"),
            ),
            effect,
        ),
    }
}

fn unknown_outcome(body: ErrorBody, effect: Effect) -> ErrorBody {
    match effect {
        Effect::Write { keyed: false } => body.with_unknown_outcome(),
        Effect::Write { keyed: true } => body.with_details(json!({ "outcome": "unknown" })),
        Effect::None => body,
    }
}

/// A parameter that is well-typed but cannot be.
pub(crate) fn bad_request(field: &str, problem: &str) -> ErrorBody {
    ErrorBody::new(Code::BadRequest, format!("{field}: {problem}"))
        .with_details(json!({ "field": field }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_unknown_outcome_is_retryable_only_with_a_key() {
        for (effect, retryable) in [
            (Effect::Write { keyed: true }, true),
            (Effect::Write { keyed: false }, false),
        ] {
            for body in [
                of_replica(&replica::Error::OutcomeUnknown, effect),
                timeout(effect, Duration::from_secs(5)),
            ] {
                assert_eq!(body.retryable, retryable, "{body:?}");
                assert!(body.outcome_unknown());
            }
        }
        let read = timeout(Effect::None, Duration::from_secs(5));
        assert!(read.retryable && !read.outcome_unknown());
    }

    #[test]
    fn errors_of_the_replica_have_their_codes() {
        let table = [
            (
                replica::Error::OffsetCompacted {
                    wanted: 1,
                    earliest: 9,
                },
                "OFFSET_COMPACTED",
            ),
            (replica::Error::NoLeader, "NO_LEADER"),
            (replica::Error::ShuttingDown, "NO_LEADER"),
            (replica::Error::OutcomeUnknown, "INTERNAL_ERROR"),
            (
                replica::Error::ReadOnly {
                    reason: "disk full".into(),
                },
                "READ_ONLY_MODE",
            ),
            (
                replica::Error::Storage {
                    reason: "EIO".into(),
                    outcome_unknown: false,
                },
                "WAL_IO_ERROR",
            ),
        ];
        for (error, code) in table {
            assert_eq!(of_replica(&error, Effect::None).code.as_str(), code);
        }
        let compacted = replica::Error::OffsetCompacted {
            wanted: 1,
            earliest: 9,
        };
        let body = of_replica(&compacted, Effect::None);
        assert_eq!(body.details.unwrap()["earliest_offset"], 9);
    }
}
