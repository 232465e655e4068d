//! Any bytes as what a server sends: read as the client library reads it, down to results and errors.

use rstmdb_rcp::message::asking::{AllowedEventsResult, ApplyEventDryRun};
use rstmdb_rcp::message::batch::BatchResult;
use rstmdb_rcp::message::cluster::ClusterStatusResult;
use rstmdb_rcp::message::instance::{ApplyEventResult, GetInstanceResult, ListInstancesResult};
use rstmdb_rcp::message::locks::{LockHeld, LockReleased, Locks};
use rstmdb_rcp::message::machine::GetMachineResult;
use rstmdb_rcp::message::session::{HelloResult, InfoResult};
use rstmdb_rcp::message::storage::WalReadResult;
use rstmdb_rcp::message::storage::ancestors::AncestorsResult;
use rstmdb_rcp::message::storage::audit::AuditReadResult;
use rstmdb_rcp::message::watch::{Event, Progress, WatchAllResult, WatchEnd};
use rstmdb_rcp::message::{ErrorBody, Incoming, ResponseMeta};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    super::each_payload(data, read);
}

fn read(payload: &[u8]) {
    match Incoming::parse(payload) {
        Ok(Incoming::Response { outcome, meta, .. }) => {
            match outcome {
                Ok(result) => read_result(result),
                Err(error) => read_error(error),
            }
            if let Some(meta) = meta {
                parse::<ResponseMeta>(meta);
            }
        }
        Ok(Incoming::Event) => drop(serde_json::from_slice::<Event<'_>>(payload)),
        Ok(Incoming::Progress) => drop(serde_json::from_slice::<Progress<'_>>(payload)),
        Ok(Incoming::End) => drop(serde_json::from_slice::<WatchEnd<'_>>(payload)),
        Ok(Incoming::Unknown) | Err(_) => {}
    }
}

fn read_error(error: &RawValue) {
    let Ok(error) = serde_json::from_str::<ErrorBody>(error.get()) else {
        return;
    };
    // What decides about a retry must hold for any details.
    let unknown = error.with_unknown_outcome();
    assert!(unknown.outcome_unknown() && !unknown.retryable);
    let _ = unknown.leaders_lost();
}

fn read_result(result: &RawValue) {
    parse::<HelloResult<'_>>(result);
    parse::<InfoResult<'_>>(result);
    parse::<GetMachineResult<'_>>(result);
    parse::<GetInstanceResult<'_>>(result);
    parse::<ListInstancesResult<'_>>(result);
    parse::<ApplyEventResult<'_>>(result);
    parse::<AllowedEventsResult<'_>>(result);
    parse::<ApplyEventDryRun<'_>>(result);
    parse::<BatchResult<'_>>(result);
    parse::<LockHeld<'_>>(result);
    parse::<LockReleased<'_>>(result);
    parse::<Locks<'_>>(result);
    parse::<WatchAllResult<'_>>(result);
    parse::<WalReadResult<Box<RawValue>>>(result);
    parse::<AncestorsResult<Box<RawValue>>>(result);
    parse::<AuditReadResult<'_>>(result);
    parse::<ClusterStatusResult<'_>>(result);
}

fn parse<'a, T: Deserialize<'a>>(json: &'a RawValue) {
    drop(serde_json::from_str::<T>(json.get()));
}
