//! A request that was carried out, but whose answer is longer than a frame: the error says what became of its writes.

use std::fmt::Display;

use rstmdb_engine::fact::NO_OFFSET;
use rstmdb_engine::{LockReply, Reply};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::PossibleEffect;
use crate::replica::Replied;

/// What became of one request, or of one operation of a best-effort batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestFate {
    /// It only reads, or only tries.
    NoWrite,
    /// It is a write that took effect, now or when its idempotency key was first seen; with its offset, if it has one.
    Applied(Option<u64>),
}

impl RequestFate {
    /// Of a request whose effect is known; `offset` is where it took effect.
    pub(crate) fn new(
        effect: PossibleEffect,
        replied: Option<&Replied>,
        offset: Option<u64>,
    ) -> Self {
        match effect {
            PossibleEffect::None => Self::NoWrite,
            PossibleEffect::Upkeep | PossibleEffect::Write { .. } => {
                Self::Applied(offset.or_else(|| replied.and_then(offset_of)))
            }
        }
    }

    /// Of a command, by its reply; `offset` is where it took effect.
    pub(crate) fn of_reply(reply: &Reply, offset: Option<u64>) -> Self {
        let fate = match reply {
            Reply::PutMachine { .. } | Reply::Flushed { .. } | Reply::LevelSet { .. } => {
                Self::Applied(None)
            }
            Reply::Automation { wal_offset, .. } | Reply::TimersSet { wal_offset, .. } => {
                Self::Applied(*wal_offset)
            }
            Reply::Created { wal_offset, .. }
            | Reply::Applied { wal_offset, .. }
            | Reply::Replayed { wal_offset, .. }
            | Reply::Deleted { wal_offset, .. }
            | Reply::MachineDeleted { wal_offset, .. } => {
                Self::Applied(Some(*wal_offset).filter(|offset| *offset != NO_OFFSET))
            }
            Reply::Batch(replies) => {
                let fates = replies.iter().map(|reply| Self::of_reply(reply, None));
                fates.fold(Self::NoWrite, Self::later)
            }
            Reply::Lock(lock) => match lock {
                LockReply::Held { wal_offset, .. } | LockReply::Waits { wal_offset, .. } => {
                    Self::Applied(*wal_offset)
                }
                LockReply::Released { wal_offset, .. } => Self::Applied(Some(*wal_offset)),
                LockReply::Expired(_) => Self::Applied(None),
                LockReply::Found { .. } | LockReply::Listed { .. } => Self::NoWrite,
            },
            Reply::Instance(_)
            | Reply::Fired(_)
            | Reply::Timers { .. }
            | Reply::Instances { .. }
            | Reply::Machine { .. }
            | Reply::Machines { .. }
            | Reply::AllowedEvents(_)
            | Reply::DryRun(_)
            | Reply::Refused(_) => Self::NoWrite,
        };
        match (fate, offset) {
            (_, Some(offset)) => Self::Applied(Some(offset)),
            (fate, None) => fate,
        }
    }

    fn later(self, other: Self) -> Self {
        match (self, other) {
            (Self::Applied(first), Self::Applied(second)) => Self::Applied(first.max(second)),
            (Self::NoWrite, fate) | (fate, Self::NoWrite) => fate,
        }
    }
}

/// Where a reply says that it took effect.
fn offset_of(replied: &Replied) -> Option<u64> {
    #[derive(Deserialize)]
    struct ReplyOffset {
        wal_offset: Option<u64>,
    }
    match replied {
        Replied::Here(reply) => match RequestFate::of_reply(reply, None) {
            RequestFate::Applied(offset) => offset,
            RequestFate::NoWrite => None,
        },
        Replied::ByLeader(relayed) => {
            let told: ReplyOffset = serde_json::from_slice(relayed.text()).ok()?;
            told.wal_offset
        }
    }
}

/// What the client of such a request is told.
pub(crate) fn error(why: &dyn Display, fate: RequestFate) -> ErrorBody {
    match fate {
        RequestFate::NoWrite => body(why),
        RequestFate::Applied(None) => body(why).with_details(json!({ "outcome": "applied" })),
        RequestFate::Applied(Some(offset)) => {
            body(why).with_details(json!({ "outcome": "applied", "wal_offset": offset }))
        }
    }
}

/// The same for a best-effort batch. Each of its operations has a fate of its own, and each is told without its result:
/// so the answer is short, and the client knows which of its writes it must not send again.
pub(crate) fn error_of_items<'a>(
    why: &dyn Display,
    items: impl Iterator<Item = Result<RequestFate, &'a ErrorBody>> + Clone,
    writes: bool,
) -> ErrorBody {
    if !writes {
        return body(why);
    }
    let done = items.clone().filter_map(Result::ok);
    let unsure = items.clone().any(|item| match item {
        Ok(_) => false,
        Err(error) => error.outcome_unknown(),
    });
    let results: Vec<Value> = items.map(result).collect();
    let mut details = match done.fold(RequestFate::NoWrite, RequestFate::later) {
        RequestFate::Applied(Some(offset)) => json!({ "outcome": "applied", "wal_offset": offset }),
        RequestFate::Applied(None) => json!({ "outcome": "applied" }),
        RequestFate::NoWrite if unsure => json!({ "outcome": "unknown" }),
        RequestFate::NoWrite => json!({ "outcome": "not_applied" }),
    };
    details["results"] = Value::Array(results);
    body(why).with_details(details)
}

fn result(item: Result<RequestFate, &ErrorBody>) -> Value {
    match item {
        Ok(RequestFate::Applied(Some(offset))) => json!({ "status": "ok", "wal_offset": offset }),
        Ok(RequestFate::Applied(None) | RequestFate::NoWrite) => json!({ "status": "ok" }),
        Err(error) => {
            let mut told = json!({
                "status": "error",
                "code": error.code.as_str(),
                "retryable": error.retryable,
            });
            let details = error.details.as_ref();
            if let Some(outcome) = details.and_then(|details| details.get("outcome")) {
                told["outcome"] = outcome.clone();
            }
            told
        }
    }
}

fn body(why: &dyn Display) -> ErrorBody {
    ErrorBody::new(
        Code::BadRequest,
        format!("the request was carried out, but its answer does not fit: {why}"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn created(wal_offset: u64) -> Reply {
        Reply::Created {
            instance_id: "i".into(),
            state: "s".into(),
            wal_offset,
        }
    }

    #[test]
    fn the_fate_of_a_batch_is_that_of_its_last_write() {
        let reads = Reply::Machines { items: Vec::new() };
        let batch = |replies: &[&Reply]| Reply::Batch(replies.iter().map(|&r| r.clone()).collect());
        let fate = |reply: &Reply| RequestFate::of_reply(reply, None);
        assert_eq!(fate(&batch(&[&reads, &reads])), RequestFate::NoWrite);
        let mixed = batch(&[&created(9), &reads, &created(4)]);
        assert_eq!(fate(&mixed), RequestFate::Applied(Some(9)));
        assert_eq!(
            RequestFate::of_reply(&mixed, Some(12)),
            RequestFate::Applied(Some(12))
        );
        let flushed = Reply::Flushed {
            instances_removed: 1,
            machines_removed: 1,
        };
        assert_eq!(fate(&flushed), RequestFate::Applied(None));
    }

    #[test]
    fn a_batch_that_stands_alone_tells_the_fate_of_each_operation() {
        let refused = ErrorBody::new(Code::GuardFailed, "no");
        let lost = ErrorBody::new(Code::InternalError, "?").with_unknown_outcome();
        let told = |items: &[Result<RequestFate, &ErrorBody>]| {
            error_of_items(&"long", items.iter().copied(), true)
                .details
                .unwrap()
        };
        assert_eq!(
            told(&[
                Ok(RequestFate::NoWrite),
                Ok(RequestFate::Applied(Some(7))),
                Err(&lost)
            ]),
            json!({ "outcome": "applied", "wal_offset": 7, "results": [
                { "status": "ok" },
                { "status": "ok", "wal_offset": 7 },
                { "status": "error", "code": "INTERNAL_ERROR", "retryable": false, "outcome": "unknown" },
            ] })
        );
        assert_eq!(told(&[Err(&refused), Err(&lost)])["outcome"], "unknown");
        let nothing = told(&[Ok(RequestFate::NoWrite), Err(&refused)]);
        assert_eq!(nothing["outcome"], "not_applied");
        let reads = error_of_items(&"long", [Ok(RequestFate::NoWrite)].into_iter(), false);
        assert_eq!(reads.details, None);
    }
}
