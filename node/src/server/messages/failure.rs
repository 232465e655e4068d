//! The error that a client gets when a request was not done.
//!
//! ```text
//! ParamFault, RequestFault ─┐
//! engine::Refusal ──────────┼─▶ ErrorBody {code, message, retryable, details} ─▶ for_legacy
//! replica::Error ───────────┘
//! ```

use rstmdb_engine::{Refusal, TRIED};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::batch::BatchOp;
use rstmdb_rcp::message::{ErrorBody, LEADERS_LOST};
use serde_json::{Value, json};

use crate::replica;

/// What a request may have changed when no answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PossibleEffect {
    /// It changes nothing, or nothing yet: the replica has not got it.
    None,
    /// It maintains the node's own files, and may be requested again at any time.
    Upkeep,
    /// It writes; `keyed` when every part of it carries an idempotency key or may be repeated.
    Write { keyed: bool },
}

/// The one mapping from an error of the replica to the error that the client gets.
pub(crate) fn of_replica(error: &replica::Error, effect: PossibleEffect) -> ErrorBody {
    use replica::Error;
    let code = match error {
        Error::Refused(refusal) => return of_refusal(refusal),
        Error::RefusedByLeader(refused) => return refused.error.clone(),
        Error::OffsetCompacted { earliest, .. } => {
            return ErrorBody::new(Code::OffsetCompacted, error.to_string())
                .with_details(json!({ "earliest_offset": earliest }));
        }
        Error::OffsetAhead {
            head, cluster_id, ..
        }
        | Error::OtherCluster {
            head, cluster_id, ..
        } => {
            return ErrorBody::new(Code::OffsetAhead, error.to_string())
                .with_details(json!({ "head": head, "cluster_id": cluster_id }));
        }
        Error::ArchiveDamaged { object, what, .. } => {
            return ErrorBody::new(Code::WalIoError, error.to_string())
                .with_details(json!({ "object": object, "damage": what }));
        }
        // A client should not wait on a node that is shutting down: another node has the leader, or will have it.
        Error::NoLeader
        | Error::Removed(_)
        | Error::NotLeader
        | Error::NotCaughtUp { .. }
        | Error::ShuttingDown => Code::NoLeader,
        Error::OutcomeUnknown | Error::LostTwice | Error::DecisionFailed => Code::InternalError,
        Error::ReadOnly { .. } => Code::ReadOnlyMode,
        Error::Storage { .. } | Error::Diverged | Error::ArchiveUnavailable { .. } => {
            Code::WalIoError
        }
    };
    let body = ErrorBody::new(code, error.to_string());
    match error {
        Error::ReadOnly { .. } => body.with_details(json!({ "outcome": "not_applied" })),
        // The request would meet the same bug on every node.
        Error::DecisionFailed => ErrorBody {
            retryable: false,
            ..body.with_details(json!({ "outcome": "not_applied" }))
        },
        Error::LostTwice => {
            let mut body = unknown_outcome(body, effect);
            if let Some(Value::Object(details)) = &mut body.details {
                details.insert(LEADERS_LOST.to_owned(), json!(2));
            }
            body
        }
        _ if error.outcome_unknown() => unknown_outcome(body, effect),
        _ => body,
    }
}

/// The error for a refusal of the engine. The engine names a command's field; the client gets its path in the request.
pub(crate) fn of_refusal(refusal: &Refusal) -> ErrorBody {
    if let Refusal::InBatch { index, refusal } = refusal {
        return in_atomic_batch(of_refusal(refusal), *index);
    }
    let mut body = ErrorBody::new(Code::from(refusal.code()), refusal.to_string());
    body.details = match refusal.details() {
        Value::Object(details) if !details.is_empty() => Some(Value::Object(details)),
        _ => None,
    };
    if let Some(field) = field_of(&body) {
        let path = format!("params.{field}");
        rename_field(&mut body, &field, path);
    }
    body
}

/// Takes out what only clients that have offered `lifecycle` get: the values that guards have read.
pub(crate) fn hide_tried(body: &mut ErrorBody) {
    if let Some(Value::Object(details)) = &mut body.details {
        details.shift_remove(TRIED);
    }
}

/// The error of one operation of a BATCH, its field as seen from the whole request.
pub(crate) fn in_batch(mut body: ErrorBody, index: usize) -> ErrorBody {
    if let Some(field) = field_of(&body) {
        let place = BatchOp::path(index);
        let path = match field.as_str() {
            // The batch or the operation as a whole is wrong, rather than its parameters.
            "params.ops" => return body,
            "params.op" => format!("{place}.op"),
            _ => format!("{place}.{field}"),
        };
        rename_field(&mut body, &field, path);
    }
    body
}

/// The error of a whole atomic BATCH, because of one of its operations.
pub(crate) fn in_atomic_batch(body: ErrorBody, index: usize) -> ErrorBody {
    let mut body = in_batch(body, index);
    if field_of(&body).is_none() {
        body.message = format!("operation {index} of the batch: {}", body.message).into();
    }
    match &mut body.details {
        Some(Value::Object(details)) => {
            details.insert("index".to_owned(), json!(index));
        }
        details => *details = Some(json!({ "index": index })),
    }
    body
}

fn field_of(body: &ErrorBody) -> Option<String> {
    let field = body.details.as_ref()?.get("field")?;
    field.as_str().map(str::to_owned)
}

fn rename_field(body: &mut ErrorBody, field: &str, path: String) {
    if let Some(rest) = body.message.strip_prefix(field) {
        body.message = format!("{path}{rest}").into();
    }
    if let Some(Value::Object(details)) = &mut body.details {
        details.insert("field".to_owned(), path.into());
    }
}

/// The request's deadline has passed.
pub(crate) fn timeout(effect: PossibleEffect, timeout: std::time::Duration) -> ErrorBody {
    let waited = format!("no answer within {} ms", timeout.as_millis());
    match effect {
        PossibleEffect::None => {
            ErrorBody::new(Code::Timeout, format!("{waited}; nothing was changed"))
                .with_details(json!({ "outcome": "not_applied" }))
        }
        PossibleEffect::Upkeep => ErrorBody::new(
            Code::Timeout,
            format!("{waited}; the node may still finish what it has begun"),
        )
        .with_details(json!({ "outcome": "unknown" })),
        PossibleEffect::Write { .. } => unknown_outcome(
            ErrorBody::new(
                Code::Timeout,
                format!("{waited}; the write may or may not take effect"),
            ),
            effect,
        ),
    }
}

/// The connection belongs to another client, or to none, since the request was sent.
pub(crate) fn other_bearer(effect: PossibleEffect) -> ErrorBody {
    let message =
        "the authentication of this connection has changed or ended since the request was sent";
    let body = ErrorBody::new(Code::Unauthorized, message);
    match effect {
        PossibleEffect::None => body.with_details(json!({ "outcome": "not_applied" })),
        effect => unknown_outcome(body, effect),
    }
}

fn unknown_outcome(body: ErrorBody, effect: PossibleEffect) -> ErrorBody {
    match effect {
        PossibleEffect::Write { keyed: false } => body.with_unknown_outcome(),
        PossibleEffect::Upkeep | PossibleEffect::Write { keyed: true } => {
            body.with_details(json!({ "outcome": "unknown" }))
        }
        PossibleEffect::None => body,
    }
}

/// A parameter that has the right type but an impossible value.
pub(crate) fn bad_request(field: &str, problem: &str) -> ErrorBody {
    ErrorBody::new(Code::BadRequest, format!("{field}: {problem}"))
        .with_details(json!({ "field": field }))
}

/// Parameters that this node refuses, in the words of the engine. [`of_refusal`] is the way back.
pub(crate) fn refusal_of(error: &ErrorBody) -> Refusal {
    let in_params = |text: &str| text.strip_prefix("params.").map(str::to_owned);
    let field = error
        .details
        .as_ref()
        .and_then(|details| details.get("field"));
    Refusal::BadRequest {
        field: field.and_then(|field| in_params(field.as_str()?)),
        message: in_params(&error.message).unwrap_or_else(|| error.message.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_unknown_outcome_is_retryable_only_with_a_key() {
        for (effect, retryable) in [
            (PossibleEffect::Write { keyed: true }, true),
            (PossibleEffect::Write { keyed: false }, false),
        ] {
            for body in [
                of_replica(&replica::Error::OutcomeUnknown, effect),
                timeout(effect, Duration::from_secs(5)),
            ] {
                assert_eq!(body.retryable, retryable, "{body:?}");
                assert!(body.outcome_unknown());
            }
        }
        let read = timeout(PossibleEffect::None, Duration::from_secs(5));
        assert!(read.retryable && !read.outcome_unknown());
        let upkeep = timeout(PossibleEffect::Upkeep, Duration::from_secs(600));
        assert!(upkeep.retryable && upkeep.outcome_unknown());
        assert!(
            upkeep.message.contains("600000 ms") && upkeep.message.contains("may still finish")
        );
    }

    #[test]
    fn a_field_is_told_by_its_path_in_the_request() {
        let refusal = |field: &str, message: &str| Refusal::BadRequest {
            field: Some(field.to_owned()),
            message: message.to_owned(),
        };
        let inside = |refusal: Refusal| Refusal::InBatch {
            index: 2,
            refusal: Box::new(refusal),
        };
        for (refusal, field, message) in [
            (
                refusal("event", "event is 0 bytes long"),
                "params.event",
                "params.event is 0 bytes long",
            ),
            (
                inside(refusal("event", "event is 0 bytes long")),
                "params.ops[2].params.event",
                "params.ops[2].params.event is 0 bytes long",
            ),
            (
                inside(refusal("op", "not in a batch")),
                "params.ops[2].op",
                "not in a batch",
            ),
            (
                inside(refusal("ops", "the batch is too long")),
                "params.ops",
                "the batch is too long",
            ),
        ] {
            let body = of_refusal(&refusal);
            assert_eq!(&*body.message, message);
            assert_eq!(body.details.unwrap()["field"], field);
        }
        let nowhere = inside(Refusal::InstanceNotFound {
            instance_id: "a".to_owned(),
        });
        let body = of_refusal(&nowhere);
        assert_eq!(
            &*body.message,
            "operation 2 of the batch: instance \"a\" does not exist"
        );
        assert_eq!(
            body.details.unwrap(),
            json!({ "instance_id": "a", "index": 2 })
        );
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
            assert_eq!(of_replica(&error, PossibleEffect::None).code.as_str(), code);
        }
        let full = replica::Error::ReadOnly {
            reason: "disk full".into(),
        };
        let body = of_replica(&full, PossibleEffect::Write { keyed: false });
        assert!(body.retryable, "nothing was changed");
        assert_eq!(body.details.unwrap()["outcome"], "not_applied");
        let failed = of_replica(
            &replica::Error::DecisionFailed,
            PossibleEffect::Write { keyed: true },
        );
        assert!(failed.code == Code::InternalError && !failed.retryable);
        assert_eq!(failed.details.unwrap(), json!({ "outcome": "not_applied" }));
        let lost = of_replica(
            &replica::Error::LostTwice,
            PossibleEffect::Write { keyed: true },
        );
        assert!(lost.retryable && lost.outcome_unknown());
        assert_eq!(lost.details.unwrap()[LEADERS_LOST], 2);
        let compacted = replica::Error::OffsetCompacted {
            wanted: 1,
            earliest: 9,
        };
        let body = of_replica(&compacted, PossibleEffect::None);
        assert_eq!(body.details.unwrap()["earliest_offset"], 9);
    }
}
