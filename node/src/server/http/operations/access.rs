//! Where each operation is found. The match has no wildcard: an operation of RCP that is not here does not compile.

use axum::http::Method;

use super::Route;
use crate::server::messages::op::Op;

/// How a client of HTTP gets an operation.
pub(crate) enum Access {
    /// By these requests.
    Routes(Vec<Route>),
    /// Not at all, for this reason.
    Nowhere(&'static str),
}

fn get(path: &'static str) -> Route {
    Route::new(Method::GET, path)
}

fn post(path: &'static str) -> Route {
    Route::new(Method::POST, path)
}

fn put(path: &'static str) -> Route {
    Route::new(Method::PUT, path)
}

fn delete(path: &'static str) -> Route {
    Route::new(Method::DELETE, path)
}

/// Where the operation is found.
#[rustfmt::skip]
pub(crate) fn access(op: Op) -> Access {
    use Access::{Nowhere, Routes};
    match op {
        Op::Hello => Nowhere("each HTTP request names its protocol, and every client of HTTP gets all features"),
        Op::Auth => Nowhere("each request carries its token in the header Authorization"),
        Op::Ping => Nowhere("any answer shows that the node is there; /healthz of the admin port shows it without a token"),
        Op::Bye => Nowhere("closing the connection is enough"),
        Op::Unwatch => Nowhere("closing the stream ends the watch"),
        Op::Info => Routes(vec![get("/v1/info")]),
        Op::Whoami => Routes(vec![get("/v1/whoami")]),
        Op::PutMachine => Routes(vec![put("/v1/machines/{machine}/versions/{version}")]),
        Op::GetMachine => Routes(vec![get("/v1/machines/{machine}"), get("/v1/machines/{machine}/versions/{version}")]),
        Op::DeleteMachine => Routes(vec![delete("/v1/machines/{machine}"), delete("/v1/machines/{machine}/versions/{version}")]),
        Op::ListMachines => Routes(vec![get("/v1/machines")]),
        Op::CreateInstance => Routes(vec![post("/v1/instances")]),
        Op::GetInstance => Routes(vec![get("/v1/instances/{instance_id}")]),
        Op::ListInstances => Routes(vec![get("/v1/instances")]),
        // A body may hold payloads that do not fit into a query.
        Op::AllowedEvents => Routes(vec![get("/v1/instances/{instance_id}/allowed-events"), post("/v1/instances/{instance_id}/allowed-events")]),
        Op::DeleteInstance => Routes(vec![delete("/v1/instances/{instance_id}")]),
        Op::ApplyEvent => Routes(vec![post("/v1/instances/{instance_id}/events")]),
        Op::TimerSet => Routes(vec![post("/v1/instances/{instance_id}/timers")]),
        Op::TimerList => Routes(vec![get("/v1/timers")]),
        Op::LockAcquire => Routes(vec![post("/v1/locks/{name}/acquire")]),
        Op::LockRenew => Routes(vec![post("/v1/locks/{name}/renew")]),
        Op::LockRelease => Routes(vec![post("/v1/locks/{name}/release")]),
        Op::LockGet => Routes(vec![get("/v1/locks/{name}")]),
        Op::LockList => Routes(vec![get("/v1/locks")]),
        Op::Batch => Routes(vec![post("/v1/batch")]),
        Op::WatchInstance => Routes(vec![get("/v1/instances/{instance_id}/watch")]),
        Op::WatchAll => Routes(vec![get("/v1/watch")]),
        Op::SnapshotInstance => Routes(vec![post("/v1/instances/{instance_id}/snapshot")]),
        Op::WalRead => Routes(vec![get("/v1/wal")]),
        Op::Ancestors => Routes(vec![get("/v1/wal/{offset}/ancestors")]),
        Op::WalStats => Routes(vec![get("/v1/wal/stats")]),
        Op::FlushAll => Routes(vec![post("/v1/flush-all")]),
        Op::ReplicationStatus => Routes(vec![get("/v1/replication")]),
        Op::Compact => Routes(vec![post("/v1/compact")]),
        Op::Automation => Routes(vec![get("/v1/automation"), put("/v1/automation")]),
        Op::ClockAdvance => Routes(vec![post("/v1/clock/advance")]),
        Op::ClusterStatus => Routes(vec![get("/v1/cluster")]),
        Op::ClusterAdd => Routes(vec![post("/v1/cluster/members")]),
        Op::ClusterPromote => Routes(vec![post("/v1/cluster/members/{node_id}/promote")]),
        Op::ClusterRemove => Routes(vec![delete("/v1/cluster/members/{node_id}")]),
        Op::ClusterSetAddress => Routes(vec![put("/v1/cluster/members/{node_id}/addresses")]),
        Op::ClusterTransferLeader => Routes(vec![post("/v1/cluster/transfer-leader")]),
        Op::ClusterFinalizeUpgrade => Routes(vec![post("/v1/cluster/finalize-upgrade")]),
        Op::RotateKey => Routes(vec![post("/v1/keys/rotate")]),
        Op::Reload => Routes(vec![post("/v1/reload")]),
        Op::BackupDescribe => Routes(vec![get("/v1/backup")]),
        Op::BackupSnapshot => Routes(vec![get("/v1/backup/snapshot")]),
        Op::BackupLog => Routes(vec![get("/v1/backup/log")]),
        Op::AuditRead => Routes(vec![get("/v1/audit")]),
    }
}
