//! When a read may be answered.

use rstmdb_rcp::message::{Consistency, ErrorBody, ReadOptions};

use crate::replica::{self, Stage, Traced};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};

/// Whether the applied state is as fresh as `options` asks for already.
pub(in crate::server::clients::ops) fn is_immediate(
    shared: &ServerShared,
    options: &ReadOptions,
) -> bool {
    options.min_wal_offset.is_none() && shared.replica.reads_at_once(level(options))
}

fn level(options: &ReadOptions) -> replica::Consistency {
    match options.consistency.unwrap_or_default() {
        Consistency::Linearizable => replica::Consistency::Linearizable,
        Consistency::Lease => replica::Consistency::Lease,
        Consistency::Local => replica::Consistency::Local,
    }
}

/// Waits until the applied state is as fresh as `options` asks for.
pub(in crate::server::clients::ops) async fn fresh(
    shared: &ServerShared,
    options: ReadOptions,
) -> Result<(), ErrorBody> {
    let barrier = shared
        .replica
        .barrier(level(&options), options.min_wal_offset)
        .await;
    barrier.map_err(|error| failure::of_replica(&error, PossibleEffect::None))
}

/// Waits until the applied state is as fresh as `options` asks for, and records how long that took.
pub(in crate::server::clients::ops) async fn fresh_recorded(
    shared: &ServerShared,
    options: ReadOptions,
    trace: Option<Traced>,
) -> Result<(), ErrorBody> {
    let Some(trace) = trace else {
        return fresh(shared, options).await;
    };
    trace.reached(Stage::Waiting);
    let waited = fresh(shared, options).await;
    trace.reached(Stage::Fresh);
    waited
}
