//! Whether one side of the protocol reads all that the other writes.
//!
//! The node writes many results by hand, and reads parameters into commands of the engine. [`ROWS`] has a row for each
//! operation, so that a test can go through all of them, and so that an operation without a row fails that test. The
//! tests of the node include this file.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test that includes this file uses a part of it"
)]

use rstmdb_rcp::json;
use rstmdb_rcp::message::asking::{
    AllowedEvents, AllowedEventsResult, ApplyEventDryRun, CreateInstanceDryRun,
    DeleteInstanceDryRun,
};
use rstmdb_rcp::message::batch::{Batch, BatchResult};
use rstmdb_rcp::message::cluster::{
    ClusterAdd, ClusterAddResult, ClusterFinalizeUpgradeResult, ClusterPromote,
    ClusterPromoteResult, ClusterRemove, ClusterRemoveResult, ClusterSetAddress,
    ClusterSetAddressResult, ClusterStatusResult, ClusterTransferLeader,
    ClusterTransferLeaderResult,
};
use rstmdb_rcp::message::instance::timers::{
    TimerList, TimerListResult, TimerSet, TimerSetDryRun, TimerSetResult,
};
use rstmdb_rcp::message::instance::{
    ApplyEvent, ApplyEventResult, CreateInstance, CreateInstanceResult, DeleteInstance,
    DeleteInstanceResult, GetInstance, GetInstanceResult, ListInstances, ListInstancesResult,
};
use rstmdb_rcp::message::locks::{
    LockAcquire, LockGet, LockHeld, LockList, LockRelease, LockReleased, LockRenew, Locks,
};
use rstmdb_rcp::message::machine::{
    DeleteMachine, DeleteMachineResult, GetMachine, GetMachineResult, ListMachines,
    ListMachinesResult, PutMachine, PutMachineResult,
};
use rstmdb_rcp::message::session::{
    Auth, AuthResult, ByeResult, Hello, HelloResult, InfoResult, NoParams, PingResult, WhoamiResult,
};
use rstmdb_rcp::message::storage::ancestors::{Ancestors, AncestorsResult};
use rstmdb_rcp::message::storage::audit::{AuditRead, AuditReadResult};
use rstmdb_rcp::message::storage::automation::{Automation, AutomationResult};
use rstmdb_rcp::message::storage::backup::{
    BackupDescribeResult, BackupLog, BackupLogResult, BackupSnapshot, BackupSnapshotResult,
};
use rstmdb_rcp::message::storage::clock::{ClockAdvance, ClockAdvanceResult};
use rstmdb_rcp::message::storage::keys::{RotateKey, RotateKeyResult};
use rstmdb_rcp::message::storage::reload::ReloadResult;
use rstmdb_rcp::message::storage::{
    Compact, CompactResult, FlushAll, FlushAllResult, ReplicationStatusResult, SnapshotInstance,
    SnapshotInstanceResult, WalRead, WalReadResult, WalStatsResult,
};
use rstmdb_rcp::message::watch::{
    Event, Progress, Unwatch, UnwatchResult, WatchAll, WatchAllResult, WatchEnd, WatchInstance,
    WatchInstanceResult,
};
use rstmdb_rcp::message::{Params, op};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads parameters as a server does, and writes them as a client does.
pub type ParamsAgain = fn(&RawValue) -> Result<Value, String>;
/// Reads a result as a client does, and writes it again.
pub type ResultAgain = fn(&str) -> Result<Value, String>;

/// One operation.
pub struct Row {
    /// Its name.
    pub op: &'static str,
    /// Its parameters with every field that it knows; several where one excludes another.
    pub whole: &'static [&'static str],
    /// For its parameters.
    pub params: ParamsAgain,
    /// For its result.
    pub result: ResultAgain,
    /// For its result if it was asked with `dry_run`.
    pub dry_run: ResultAgain,
}

/// The row of an operation.
pub fn row(op: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.op == op)
}

fn params_again<'a, P: Params<'a> + Serialize>(text: &'a RawValue) -> Result<Value, String> {
    let read = P::read(text).map_err(|fault| fault.to_string())?;
    json::to_value(&read).map_err(|error| error.to_string())
}

fn result_again<'a, R: Deserialize<'a> + Serialize>(text: &'a str) -> Result<Value, String> {
    let read: R = serde_json::from_str(text).map_err(|error| error.to_string())?;
    json::to_value(&read).map_err(|error| error.to_string())
}

/// What a watch delivers, read and written again. A field that an item does not have is absent or null.
///
/// # Errors
/// Its `type` is unknown, or it does not have the fields of its type.
pub fn delivered_again(text: &str) -> Result<Value, String> {
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
    }
    let item: Item<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match item.kind {
        "event" => result_again::<Event<'_>>(text),
        "progress" => result_again::<Progress<'_>>(text),
        "end" => result_again::<WatchEnd<'_>>(text),
        other => Err(format!("nothing is called {other:?}")),
    }
}

macro_rules! rows {
    ($($op:ident ($($params:tt)+) -> $result:ty $(, dry run $dry_run:ty)?: $($whole:literal),*;)*) => {
        /// Every operation.
        pub const ROWS: &[Row] = &[$(Row {
            op: op::$op,
            whole: &[$($whole),*],
            params: rows!(@params $($params)+),
            result: |text| result_again::<$result>(text),
            dry_run: rows!(@dry_run $result $(, $dry_run)?),
        }),*];
    };
    (@params NoParams) => { |_| json::to_value(&NoParams {}).map_err(|error| error.to_string()) };
    (@params $params:ty) => { |text| params_again::<$params>(text) };
    (@dry_run $result:ty, $dry_run:ty) => { |text| result_again::<$dry_run>(text) };
    (@dry_run $result:ty) => { |text| result_again::<$result>(text) };
}

rows! {
    HELLO (Hello<'_>) -> HelloResult<'_>:
        r#"{"protocol_version":1,"client_name":"c","wire_modes":["jsonl"],"features":["batch"]}"#;
    AUTH (Auth<'_>) -> AuthResult: r#"{"method":"bearer","token":"t"}"#;
    PING (NoParams) -> PingResult: "{}";
    INFO (NoParams) -> InfoResult<'_>: "{}";
    WHOAMI (NoParams) -> WhoamiResult<'_>: "{}";
    BYE (NoParams) -> ByeResult: "{}";
    PUT_MACHINE (PutMachine<'_>) -> PutMachineResult<'_>:
        r#"{"machine":"m","version":1,"definition":{"states":["a"],"initial":"a","transitions":[]},"checksum":"ab",
            "headers":{"a":"b"},"reason":"r","correlation_id":"w","causation_id":"x","fence":{"lock":"l","token":7},"dry_run":true}"#,
        r#"{"machine":"m","version":1,"definition":{},"checksum":"ab"}"#;
    GET_MACHINE (GetMachine<'_>) -> GetMachineResult<'_>:
        r#"{"machine":"m","version":2,"include":["layout"],"consistency":"local","min_wal_offset":7}"#;
    LIST_MACHINES (ListMachines) -> ListMachinesResult<'_>:
        r#"{"limit":5,"offset":6,"consistency":"lease","min_wal_offset":7}"#;
    DELETE_MACHINE (DeleteMachine<'_>) -> DeleteMachineResult<'_>:
        r#"{"machine":"m","version":1,"headers":{"a":"b"},"reason":"r","correlation_id":"w","causation_id":"x",
            "fence":{"lock":"l","token":7},"dry_run":true}"#,
        r#"{"machine":"m","all_versions":true}"#;
    CREATE_INSTANCE (CreateInstance<'_>) -> CreateInstanceResult<'_>, dry run CreateInstanceDryRun<'_>:
        r#"{"instance_id":"i","machine":"m","version":1,"initial_ctx":{"a":1.50},"idempotency_key":"k",
            "initial_state":"s","created_at":1,"updated_at":2,"headers":{"a":"b","c":""},"reason":"r","correlation_id":"w","causation_id":"17","fence":{"lock":"l","token":7},"dry_run":true}"#,
        r#"{"machine":"m","version":1,"idempotency_key":"k"}"#;
    GET_INSTANCE (GetInstance<'_>) -> GetInstanceResult<'_>:
        r#"{"instance_id":"i","include":["meta"],"consistency":"linearizable","min_wal_offset":7}"#;
    LIST_INSTANCES (ListInstances<'_>) -> ListInstancesResult<'_>:
        r#"{"machine":"m","state":"s","limit":5,"offset":6,"after":"x","consistency":"local","min_wal_offset":7}"#;
    ALLOWED_EVENTS (AllowedEvents<'_>) -> AllowedEventsResult<'_>:
        r#"{"instance_id":"i","payloads":{"PAY":{"n":1}},"headers":{"a":"b"},"consistency":"local","min_wal_offset":7}"#;
    DELETE_INSTANCE (DeleteInstance<'_>) -> DeleteInstanceResult<'_>, dry run DeleteInstanceDryRun<'_>:
        r#"{"instance_id":"i","expected_wal_offset":9,"idempotency_key":"k","headers":{"a":"b"},"reason":"r",
            "correlation_id":"w","causation_id":"x","fence":{"lock":"l","token":7},"dry_run":true}"#,
        r#"{"instance_id":"i"}"#;
    APPLY_EVENT (ApplyEvent<'_>) -> ApplyEventResult<'_>, dry run ApplyEventDryRun<'_>:
        r#"{"instance_id":"i","event":"E","payload":{"n":null},"expected_state":"s","expected_wal_offset":9,
            "event_id":"e","timers":{"t":{"after":"1h"}},"idempotency_key":"k","headers":{"a":"b"},"reason":"r",
            "correlation_id":"w","causation_id":"x","fence":{"lock":"l","token":7},"dry_run":true}"#,
        r#"{"instance_id":"i","event":"E"}"#;
    TIMER_SET (TimerSet<'_>) -> TimerSetResult<'_>, dry run TimerSetDryRun<'_>:
        r#"{"instance_id":"i","timers":{"t":null},"resume":true,"expected_state":"s","expected_wal_offset":9,
            "idempotency_key":"k","headers":{"a":"b"},"reason":"r","correlation_id":"w","causation_id":"x","fence":{"lock":"l","token":7},"dry_run":true}"#,
        r#"{"instance_id":"i","timers":{"t":{"at":5}}}"#;
    TIMER_LIST (TimerList<'_>) -> TimerListResult<'_>:
        r#"{"machine":"m","due_before":9,"suspended":true,"limit":5,
            "after":{"due_at":3,"instance_id":"i","name":"t"},"consistency":"local","min_wal_offset":7}"#;
    LOCK_ACQUIRE (LockAcquire<'_>) -> LockHeld<'_>:
        r#"{"name":"n","owner":"o","ttl_ms":5000,"wait_ms":100,"headers":{"a":"b"},"reason":"r","correlation_id":"w",
            "causation_id":"x","fence":{"lock":"l","token":7}}"#,
        r#"{"name":"n","owner":"o","ttl_ms":5000}"#;
    LOCK_RENEW (LockRenew<'_>) -> LockHeld<'_>:
        r#"{"name":"n","token":3,"ttl_ms":5000,"headers":{"a":"b"},"reason":"r","correlation_id":"w",
            "causation_id":"x","fence":{"lock":"l","token":7}}"#,
        r#"{"name":"n","token":3}"#;
    LOCK_RELEASE (LockRelease<'_>) -> LockReleased<'_>:
        r#"{"name":"n","token":3,"headers":{"a":"b"},"reason":"r","correlation_id":"w","causation_id":"x",
            "fence":{"lock":"l","token":7}}"#,
        r#"{"name":"n","token":3}"#;
    LOCK_GET (LockGet<'_>) -> Locks<'_>: r#"{"name":"n","consistency":"local","min_wal_offset":7}"#;
    LOCK_LIST (LockList<'_>) -> Locks<'_>:
        r#"{"prefix":"n","limit":5,"after":"n1","consistency":"local","min_wal_offset":7}"#;
    BATCH (Batch<'_>) -> BatchResult<'_>:
        r#"{"mode":"atomic","ops":[{"op":"DELETE_INSTANCE","params":{"instance_id":"i","idempotency_key":"k"}},
            {"op":"GET_INSTANCE","params":{"instance_id":"i"}}],"headers":{"a":"b"},"reason":"r","correlation_id":"w",
            "causation_id":"x","fence":{"lock":"l","token":7}}"#,
        r#"{"mode":"atomic","ops":[{"op":"GET_MACHINE","params":{"machine":"m"}}],"dry_run":true}"#;
    WATCH_INSTANCE (WatchInstance<'_>) -> WatchInstanceResult<'_>:
        r#"{"instance_id":"i","include_ctx":false,"from_offset":0,"cluster_id":"c","include":[],"include_meta":true}"#;
    WATCH_ALL (WatchAll<'_>) -> WatchAllResult<'_>:
        r#"{"machines":["m"],"from_states":["a"],"to_states":["b"],"events":["E"],"emits":["x"],"include_ctx":true,
            "from_offset":9,"cluster_id":"c","include":["deleted","created","timer_spent"],"include_meta":false}"#;
    UNWATCH (Unwatch<'_>) -> UnwatchResult<'_>: r#"{"subscription_id":"s"}"#;
    SNAPSHOT_INSTANCE (SnapshotInstance<'_>) -> SnapshotInstanceResult<'_>: r#"{"instance_id":"i"}"#;
    WAL_READ (WalRead) -> WalReadResult<Box<RawValue>>: r#"{"from_offset":1,"limit":2,"include_meta":true}"#;
    ANCESTORS (Ancestors) -> AncestorsResult<Box<RawValue>>: r#"{"offset":7,"limit":2}"#;
    WAL_STATS (NoParams) -> WalStatsResult: "{}";
    FLUSH_ALL (FlushAll<'_>) -> FlushAllResult:
        r#"{"headers":{"a":"b"},"reason":"r","correlation_id":"w","causation_id":"x","fence":{"lock":"l","token":7},"dry_run":true}"#,
        "{}";
    REPLICATION_STATUS (NoParams) -> ReplicationStatusResult<'_>: "{}";
    COMPACT (Compact) -> CompactResult: r#"{"force_snapshot":true}"#;
    AUTOMATION (Automation<'_>) -> AutomationResult<'_>:
        r#"{"set":"running","skip_overdue":true,"shift_timers":true,"headers":{"a":"b"},"reason":"r",
            "correlation_id":"w","causation_id":"x","fence":{"lock":"l","token":7}}"#,
        r#"{"set":"paused","reason":"r"}"#,
        "{}";
    CLOCK_ADVANCE (ClockAdvance<'_>) -> ClockAdvanceResult: r#"{"by":"30m"}"#, "{}";
    CLUSTER_STATUS (NoParams) -> ClusterStatusResult<'_>: "{}";
    CLUSTER_ADD (ClusterAdd<'_>) -> ClusterAddResult<'_>: r#"{"peer_addr":"db4:7402","node_id":4}"#;
    CLUSTER_PROMOTE (ClusterPromote) -> ClusterPromoteResult: r#"{"node_id":3}"#;
    CLUSTER_REMOVE (ClusterRemove) -> ClusterRemoveResult: r#"{"node_id":3}"#;
    CLUSTER_SET_ADDRESS (ClusterSetAddress<'_>) -> ClusterSetAddressResult<'_>:
        r#"{"node_id":2,"peer_addr":"db2:7402","rcp_addr":"db2:7401"}"#;
    CLUSTER_TRANSFER_LEADER (ClusterTransferLeader) -> ClusterTransferLeaderResult: r#"{"node_id":2}"#;
    CLUSTER_FINALIZE_UPGRADE (NoParams) -> ClusterFinalizeUpgradeResult: "{}";
    ROTATE_KEY (RotateKey) -> RotateKeyResult: r#"{"switch":true}"#;
    RELOAD (NoParams) -> ReloadResult: "{}";
    BACKUP_DESCRIBE (NoParams) -> BackupDescribeResult<'_>: "{}";
    BACKUP_SNAPSHOT (BackupSnapshot<'_>) -> BackupSnapshotResult: r#"{"snapshot_id":"s","from_byte":7}"#;
    BACKUP_LOG (BackupLog) -> BackupLogResult: r#"{"from_offset":1,"from_byte":2,"to_offset":9}"#;
    AUDIT_READ (AuditRead<'_>) -> AuditReadResult<'_>: r#"{"from_offset":7,"instance_id":"i","limit":20}"#;
}

#[test]
fn every_operation_has_a_row_and_a_server_reads_all_that_a_client_writes() {
    for name in op::ALL {
        let row = row(name).unwrap_or_else(|| panic!("{name} has no row"));
        for whole in row.whole {
            let text: &RawValue = serde_json::from_str(whole).unwrap();
            let expected = json::value(whole).unwrap();
            assert_eq!((row.params)(text), Ok(expected), "{name}");
        }
    }
    assert_eq!(ROWS.len(), op::ALL.len());
}
