//! AUTOMATION, and what INFO and CLUSTER_STATUS say of it.

pub(super) mod clock;

use std::sync::Arc;

use rstmdb_engine::Automation;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::storage::automation::{self, AutomationResult};
use serde_json::value::RawValue;

use super::{Body, Job, OpAnswer, RequestPlan, RunningJob, read_params, state};
use crate::replica::Consistency;
use crate::server::clients::order::{Access, Claim, ClaimTouch};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::op::Op;

/// AUTOMATION: a write if it sets something.
pub(super) fn plan(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let _: automation::Automation<'_> = read_params(params)?;
    if let Some(write) = state::write(Op::Automation, params) {
        return write;
    }
    Ok(RequestPlan {
        claim: Claim {
            touch: ClaimTouch::Everything,
            access: Access::Read,
        },
        effect: PossibleEffect::None,
        job: Job::Automation,
    })
}

/// Answers the state of automation after everything that the cluster has agreed on before.
pub(super) fn start(shared: Arc<ServerShared>) -> RunningJob {
    RunningJob::boxed(async move {
        let caught_up = shared.replica.barrier(Consistency::Linearizable, None);
        let caught_up = caught_up.await;
        caught_up.map_err(|error| failure::of_replica(&error, PossibleEffect::None))?;
        let automation = shared.replica.status().automation;
        Ok(OpAnswer {
            body: Body::json(&shown(&automation)),
            wal_offset: None,
        })
    })
}

/// The result that clients get.
pub(super) fn shown(automation: &Automation) -> AutomationResult<'_> {
    let text = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned().into());
    AutomationResult {
        automation: automation.word().into(),
        since: (automation.since_ms != 0).then_some(automation.since_ms),
        reason: text(&automation.reason),
        by: text(&automation.by),
        wal_offset: None,
    }
}
