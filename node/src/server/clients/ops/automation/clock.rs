//! CLOCK_ADVANCE.

use std::sync::Arc;

use rstmdb_engine::span;
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::storage::clock::{ClockAdvance, ClockAdvanceResult};
use serde_json::value::RawValue;

use crate::server::clients::ops::{Body, Job, OpAnswer, RequestPlan, RunningJob, read_params};
use crate::server::clients::order::{Access, Claim, ClaimTouch};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};

pub(in crate::server::clients::ops) fn plan(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let ClockAdvance { by } = read_params(params)?;
    let by_ms = match by.as_deref() {
        None => None,
        Some(text) => Some(span::parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            let problem = format!("expected {}, found {shown:?}", span::expected(text));
            failure::bad_request("params.by", &problem)
        })?),
    };
    let access = match by_ms {
        // What comes behind it finds everything decided that was due.
        Some(_) => Access::Exclusive,
        None => Access::Read,
    };
    Ok(RequestPlan {
        claim: Claim {
            touch: ClaimTouch::Everything,
            access,
        },
        effect: match by_ms {
            Some(_) => PossibleEffect::Write { keyed: false },
            None => PossibleEffect::None,
        },
        job: Job::Clock { by_ms },
    })
}

/// Advances the clock, or only says what it shows.
pub(in crate::server::clients::ops) fn start(
    shared: Arc<ServerShared>,
    by_ms: Option<u64>,
) -> RunningJob {
    RunningJob::boxed(async move {
        let shown = shared.replica.manual_now_ms().ok_or_else(|| {
            let message = "the clock of this server goes by itself: only a server that was started with `rstmdb --dev \
                           --clock manual` can advance it";
            ErrorBody::new(Code::Forbidden, message)
        })?;
        let now = match by_ms {
            None => shown,
            Some(by_ms) => shared.replica.advance_clock(by_ms).await.ok_or_else(|| {
                let problem = "the clock would go beyond the year 9999; it was not advanced";
                failure::bad_request("params.by", problem)
            })?,
        };
        Ok(OpAnswer {
            body: Body::json(&ClockAdvanceResult { now }),
            wal_offset: None,
        })
    })
}
