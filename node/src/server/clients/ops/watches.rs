//! WATCH_INSTANCE and WATCH_ALL. The session sends what follows the answer.

use std::sync::Arc;

use rstmdb_rcp::message::watch::{Include as Names, WatchAll, WatchInstance};
use rstmdb_rcp::message::{ErrorBody, ReadOptions};
use serde_json::value::RawValue;

use super::{
    BegunWatching, Body, Job, OpAnswer, RequestPlan, RunningJob, ShownParts, fresh, read_params,
    touch,
};
use crate::replica::{Include, WatchFilter};
use crate::server::clients::access::Access;
use crate::server::clients::order::ClaimTouch;
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};

/// Bytes of all names in the lists of one watch.
const FILTER_BYTES_MAX: usize = 64 * 1024;

/// A watch to begin.
pub(crate) struct WatchRequest {
    filter: WatchFilter,
    shown: ShownParts,
    from: Option<u64>,
    cluster_id: Option<String>,
}

impl WatchRequest {
    /// The machines that it names.
    pub(super) fn machines(&self) -> impl Iterator<Item = &str> {
        self.filter.machines.iter()
    }
}

/// WATCH_INSTANCE.
pub(super) fn instance(params: &RawValue, access: &Access) -> Result<RequestPlan, ErrorBody> {
    let params: WatchInstance<'_> = read_params(params)?;
    let touch = touch(&params.instance_id);
    let filter = WatchFilter {
        instance: Some(params.instance_id.into_owned()),
        include: include(params.include.as_deref()),
        reach: access.watching().cloned(),
        ..WatchFilter::default()
    };
    let shown = ShownParts {
        ctx: params.include_ctx.unwrap_or(true),
        kind: params.include.is_some(),
        meta: params.include_meta.unwrap_or_default(),
    };
    let request = WatchRequest {
        filter,
        shown,
        from: params.from_offset,
        cluster_id: params.cluster_id.map(Into::into),
    };
    Ok(RequestPlan::read(touch, Job::Watch(request)))
}

/// WATCH_ALL.
pub(super) fn all(params: &RawValue, access: &Access) -> Result<RequestPlan, ErrorBody> {
    let params: WatchAll<'_> = read_params(params)?;
    let filter = WatchFilter {
        instance: None,
        machines: params.machines.into_iter().collect(),
        from_states: params.from_states.into_iter().collect(),
        to_states: params.to_states.into_iter().collect(),
        events: params.events.into_iter().collect(),
        emits: params.emits.into_iter().collect(),
        include: include(params.include.as_deref()),
        reach: access.watching().cloned(),
    };
    let shown = ShownParts {
        ctx: params.include_ctx.unwrap_or(true),
        kind: params.include.is_some(),
        meta: params.include_meta.unwrap_or_default(),
    };
    let bytes: usize = filter.names().map(str::len).sum();
    if bytes > FILTER_BYTES_MAX {
        let problem = format!(
            "the names in a watch's lists may have {FILTER_BYTES_MAX} bytes in all, each name \
             counted once; these have {bytes}"
        );
        return Err(failure::bad_request("params", &problem));
    }
    let request = WatchRequest {
        filter,
        shown,
        from: params.from_offset,
        cluster_id: params.cluster_id.map(Into::into),
    };
    Ok(RequestPlan::read(
        ClaimTouch::Everything,
        Job::Watch(request),
    ))
}

fn include(names: Option<&[Names]>) -> Include {
    let names = names.unwrap_or_default();
    Include {
        created: names.contains(&Names::Created),
        deleted: names.contains(&Names::Deleted),
        timer_spent: names.contains(&Names::TimerSpent),
    }
}

/// Begins the watch.
pub(super) fn start(shared: Arc<ServerShared>, request: WatchRequest) -> RunningJob {
    RunningJob::boxed(async move {
        let WatchRequest {
            filter,
            shown,
            from,
            cluster_id,
        } = request;
        let told = |error| failure::of_replica(&error, PossibleEffect::None);
        let resume = shared.replica.check_resume(from, cluster_id.as_deref());
        resume.await.map_err(told)?;
        // A replay from a given offset needs no head, so it works while there is no leader.
        if from.is_none() || filter.instance.is_some() {
            fresh(&shared, ReadOptions::default()).await?;
        }
        if let Some(from) = from {
            shared.replica.wait_for_history(from).await;
            shared.replica.wait_for_archive(from).await.map_err(told)?;
        }
        let watching = match filter.instance.clone() {
            Some(id) => {
                let begun = shared.replica.watch_instance(&id, filter, from);
                let (watch, reply) = begun.map_err(told)?;
                BegunWatching {
                    watch,
                    shown,
                    instance: Some((id, reply)),
                }
            }
            None => BegunWatching {
                watch: shared.replica.watch(filter, from).map_err(told)?,
                shown,
                instance: None,
            },
        };
        Ok(OpAnswer {
            body: Body::Watch(Box::new(watching)),
            wal_offset: None,
        })
    })
}
