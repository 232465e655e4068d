//! One typed method per operation.

use serde_json::value::RawValue;

use super::{Client, Error, Response};
use crate::message::asking::{
    AllowedEvents, AllowedEventsResult, ApplyEventDryRun, CreateInstanceDryRun,
    DeleteInstanceDryRun,
};
use crate::message::batch::{Batch, BatchResult};
use crate::message::cluster::{
    ClusterAdd, ClusterAddResult, ClusterFinalizeUpgradeResult, ClusterPromote,
    ClusterPromoteResult, ClusterRemove, ClusterRemoveResult, ClusterSetAddress,
    ClusterSetAddressResult, ClusterStatusResult, ClusterTransferLeader,
    ClusterTransferLeaderResult,
};
use crate::message::instance::timers::{
    TimerList, TimerListResult, TimerSet, TimerSetDryRun, TimerSetResult,
};
use crate::message::instance::{
    ApplyEvent, ApplyEventResult, CreateInstance, CreateInstanceResult, DeleteInstance,
    DeleteInstanceResult, GetInstance, GetInstanceResult, ListInstances, ListInstancesResult,
};
use crate::message::locks::{
    LockAcquire, LockGet, LockHeld, LockList, LockRelease, LockReleased, LockRenew, Locks,
};
use crate::message::machine::{
    DeleteMachine, DeleteMachineResult, GetMachine, GetMachineResult, ListMachines,
    ListMachinesResult, PutMachine, PutMachineResult,
};
use crate::message::op;
use crate::message::session::{InfoResult, NoParams, PingResult, WhoamiResult};
use crate::message::storage::ancestors::{Ancestors, AncestorsResult};
use crate::message::storage::audit::{AuditRead, AuditReadResult};
use crate::message::storage::automation::{Automation, AutomationResult};
use crate::message::storage::clock::{ClockAdvance, ClockAdvanceResult};
use crate::message::storage::keys::{RotateKey, RotateKeyResult};
use crate::message::storage::reload::ReloadResult;
use crate::message::storage::{
    Compact, CompactResult, FlushAll, FlushAllResult, ReplicationStatusResult, SnapshotInstance,
    SnapshotInstanceResult, WalRead, WalReadResult, WalStatsResult,
};

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident $op:ident ($($params:ty)?) -> $result:ty;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// When the server refuses the request, or no server answers it in time.
                pub async fn $method(
                    &self
                    $(, params: &$params)?
                ) -> Result<Response<$result>, Error> {
                    methods!(@call self, op::$op, $(params as &$params)?)
                }
            )*
        }
    };
    (@call $self:ident, $op:expr, ) => { $self.call($op, &NoParams {}).await };
    (@call $self:ident, $op:expr, $params:expr) => { $self.call($op, $params).await };
}

methods! {
    /// PING: is the server there?
    ping PING () -> PingResult;
    /// INFO: what the server is and can do.
    info INFO () -> InfoResult<'static>;
    /// WHOAMI: who the client is to the server, and what it may do.
    whoami WHOAMI () -> WhoamiResult<'static>;
    /// ALLOWED_EVENTS: what each event of an instance's state would do.
    allowed_events ALLOWED_EVENTS (AllowedEvents<'_>) -> AllowedEventsResult<'static>;
    /// PUT_MACHINE: defines a version of a machine.
    put_machine PUT_MACHINE (PutMachine<'_>) -> PutMachineResult<'static>;
    /// GET_MACHINE: a version's definition.
    get_machine GET_MACHINE (GetMachine<'_>) -> GetMachineResult<'static>;
    /// LIST_MACHINES: names and versions.
    list_machines LIST_MACHINES (ListMachines) -> ListMachinesResult<'static>;
    /// DELETE_MACHINE: removes a version that no instance has, or all versions.
    delete_machine DELETE_MACHINE (DeleteMachine<'_>) -> DeleteMachineResult<'static>;
    /// CREATE_INSTANCE: an instance of a machine.
    create_instance CREATE_INSTANCE (CreateInstance<'_>) -> CreateInstanceResult<'static>;
    /// GET_INSTANCE: its state and context.
    get_instance GET_INSTANCE (GetInstance<'_>) -> GetInstanceResult<'static>;
    /// LIST_INSTANCES: a page of them.
    list_instances LIST_INSTANCES (ListInstances<'_>) -> ListInstancesResult<'static>;
    /// DELETE_INSTANCE: removes it.
    delete_instance DELETE_INSTANCE (DeleteInstance<'_>) -> DeleteInstanceResult<'static>;
    /// APPLY_EVENT: moves an instance.
    apply_event APPLY_EVENT (ApplyEvent<'_>) -> ApplyEventResult<'static>;
    /// TIMER_SET: sets, moves, disarms or resumes timers of an instance.
    timer_set TIMER_SET (TimerSet<'_>) -> TimerSetResult<'static>;
    /// TIMER_LIST: a page of timers, in the order in which they are due.
    timer_list TIMER_LIST (TimerList<'_>) -> TimerListResult<'static>;
    /// LOCK_ACQUIRE: gets a lock, or waits for it. [`Client::lock`] also renews it.
    lock_acquire LOCK_ACQUIRE (LockAcquire<'_>) -> LockHeld<'static>;
    /// LOCK_RENEW: holds a lock for longer.
    lock_renew LOCK_RENEW (LockRenew<'_>) -> LockHeld<'static>;
    /// LOCK_RELEASE: gives a lock back.
    lock_release LOCK_RELEASE (LockRelease<'_>) -> LockReleased<'static>;
    /// LOCK_GET: who holds a lock.
    lock_get LOCK_GET (LockGet<'_>) -> Locks<'static>;
    /// LOCK_LIST: a page of the locks that are held, by name.
    lock_list LOCK_LIST (LockList<'_>) -> Locks<'static>;
    /// BATCH: several operations in one request.
    batch BATCH (Batch<'_>) -> BatchResult<'static>;
    /// WAL_READ: a page of the log.
    wal_read WAL_READ (WalRead) -> WalReadResult<Box<RawValue>>;
    /// ANCESTORS: a write, its cause, the cause of that write, and so on.
    ancestors ANCESTORS (Ancestors) -> AncestorsResult<Box<RawValue>>;
    /// WAL_STATS: how large the log is.
    wal_stats WAL_STATS () -> WalStatsResult;
    /// AUDIT_READ: hashes of entries of the log, and the entries about one instance.
    audit_read AUDIT_READ (AuditRead<'_>) -> AuditReadResult<'static>;
    /// SNAPSHOT_INSTANCE: writes one instance's snapshot.
    snapshot_instance SNAPSHOT_INSTANCE (SnapshotInstance<'_>) -> SnapshotInstanceResult<'static>;
    /// COMPACT: takes a snapshot and drops what retention no longer wants.
    compact COMPACT (Compact) -> CompactResult;
    /// FLUSH_ALL: removes everything, where the server allows it.
    flush_all FLUSH_ALL () -> FlushAllResult;
    /// AUTOMATION: pauses what the database does by itself, or lets it run; without `set` it says whether it is paused.
    automation AUTOMATION (Automation<'_>) -> AutomationResult<'static>;
    /// CLOCK_ADVANCE: lets time pass on a server with `--dev --clock manual`, or says what its clock shows.
    clock_advance CLOCK_ADVANCE (ClockAdvance<'_>) -> ClockAdvanceResult;
    /// FLUSH_ALL, saying why.
    flush_all_with FLUSH_ALL (FlushAll<'_>) -> FlushAllResult;
    /// REPLICATION_STATUS: the node's part in replication.
    replication_status REPLICATION_STATUS () -> ReplicationStatusResult<'static>;
    /// CLUSTER_STATUS: every member, and how it is.
    cluster_status CLUSTER_STATUS () -> ClusterStatusResult<'static>;
    /// CLUSTER_ADD: takes in a node as a learner.
    cluster_add CLUSTER_ADD (ClusterAdd<'_>) -> ClusterAddResult<'static>;
    /// CLUSTER_PROMOTE: lets a learner vote.
    cluster_promote CLUSTER_PROMOTE (ClusterPromote) -> ClusterPromoteResult;
    /// CLUSTER_REMOVE: takes a node out of the cluster.
    cluster_remove CLUSTER_REMOVE (ClusterRemove) -> ClusterRemoveResult;
    /// CLUSTER_SET_ADDRESS: says where a member is reached from now on.
    cluster_set_address
        CLUSTER_SET_ADDRESS (ClusterSetAddress<'_>) -> ClusterSetAddressResult<'static>;
    /// CLUSTER_TRANSFER_LEADER: lets another voter lead.
    cluster_transfer_leader
        CLUSTER_TRANSFER_LEADER (ClusterTransferLeader) -> ClusterTransferLeaderResult;
    /// CLUSTER_FINALIZE_UPGRADE: raises the feature level to what every member understands.
    cluster_finalize_upgrade CLUSTER_FINALIZE_UPGRADE () -> ClusterFinalizeUpgradeResult;
    /// ROTATE_KEY: the answering node reads its keys again, and may use the last one.
    rotate_key ROTATE_KEY (RotateKey) -> RotateKeyResult;
    /// RELOAD: the answering node reads its configuration, tokens, certificates and keys again.
    reload RELOAD () -> ReloadResult;
}

macro_rules! dry_runs {
    ($($(#[$doc:meta])* $method:ident $op:ident ($params:ident) -> $result:ty;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// When the server refuses the request, or no server answers it in time. The client sends nothing to a
                /// server that does not know dry runs, because that server would execute the write.
                pub async fn $method(
                    &self,
                    params: &$params<'_>,
                ) -> Result<Response<$result>, Error> {
                    let params = $params { dry_run: true, ..params.clone() };
                    self.call(op::$op, &params).await
                }
            )*
        }
    };
}

dry_runs! {
    /// What APPLY_EVENT would answer and do. Nothing is written, and no idempotency key is taken.
    apply_event_dry_run APPLY_EVENT (ApplyEvent) -> ApplyEventDryRun<'static>;
    /// What CREATE_INSTANCE would answer and do.
    create_instance_dry_run CREATE_INSTANCE (CreateInstance) -> CreateInstanceDryRun<'static>;
    /// What DELETE_INSTANCE would answer and do.
    delete_instance_dry_run DELETE_INSTANCE (DeleteInstance) -> DeleteInstanceDryRun<'static>;
    /// What TIMER_SET would answer and do.
    timer_set_dry_run TIMER_SET (TimerSet) -> TimerSetDryRun<'static>;
    /// What PUT_MACHINE would answer.
    put_machine_dry_run PUT_MACHINE (PutMachine) -> PutMachineResult<'static>;
    /// What DELETE_MACHINE would answer.
    delete_machine_dry_run DELETE_MACHINE (DeleteMachine) -> DeleteMachineResult<'static>;
    /// What FLUSH_ALL would answer.
    flush_all_dry_run FLUSH_ALL (FlushAll) -> FlushAllResult;
    /// What BATCH would answer: each result is that of the operation's own dry run.
    batch_dry_run BATCH (Batch) -> BatchResult<'static>;
}
