//! The operations of RCP as requests of HTTP: one table, from which routing, the query and the OpenAPI document follow.
//!
//! | module | subject |
//! |---|---|
//! | `access` | method and path of each operation, or the reason why it has none |
//! | `contents`, `time`, `log`, `cluster` | the fields of each operation, by subject |
//! | `field` | what a field is |

mod access;
mod cluster;
mod contents;
mod field;
mod log;
mod time;

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::http::Method;

use crate::server::messages::op::Op;

pub(crate) use access::{Access, access};
#[cfg(test)]
pub(crate) use field::maybe;
pub(crate) use field::{Field, Kind, Shape};

/// A request that stands for an operation.
#[derive(Debug)]
pub(crate) struct Route {
    /// The method. HEAD is served wherever GET is, but for watches.
    pub(crate) method: Method,
    /// The path; `{name}` is one segment of it, and a parameter.
    pub(crate) path: &'static str,
}

/// A segment of a route's path.
#[derive(Debug, PartialEq, Eq)]
enum RouteSegment {
    Text(&'static str),
    Param(&'static str),
}

/// A route, and what it stands for.
pub(crate) struct Entry {
    /// The operation.
    pub(crate) op: Op,
    /// The route.
    pub(crate) route: Route,
    segments: Vec<RouteSegment>,
}

impl Route {
    fn new(method: Method, path: &'static str) -> Self {
        Self { method, path }
    }
}

/// All routes, in the order of the operations.
pub(crate) static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let of_op = |op: Op| {
        let routes = match access(op) {
            Access::Routes(routes) => routes,
            Access::Nowhere(_) => Vec::new(),
        };
        routes.into_iter().map(move |route| Entry {
            op,
            segments: segments(route.path),
            route,
        })
    };
    Op::ALL.iter().copied().flat_map(of_op).collect()
});

fn segments(path: &'static str) -> Vec<RouteSegment> {
    let segment = |text: &'static str| {
        let name = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        name.map_or(RouteSegment::Text(text), RouteSegment::Param)
    };
    path.trim_start_matches('/')
        .split('/')
        .map(segment)
        .collect()
}

impl Entry {
    /// The names of the parameters in its path.
    pub(crate) fn path_params(&self) -> impl Iterator<Item = &'static str> {
        self.segments.iter().filter_map(|segment| match segment {
            RouteSegment::Param(name) => Some(*name),
            RouteSegment::Text(_) => None,
        })
    }

    /// Its path's parameters with their values, if it is the route of a path of these segments.
    pub(crate) fn values<'a>(
        &self,
        path: &'a [Cow<'a, str>],
    ) -> Option<Vec<(&'static str, &'a str)>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (segment, found) in self.segments.iter().zip(path) {
            match segment {
                RouteSegment::Text(text) if text != found => return None,
                RouteSegment::Text(_) => {}
                RouteSegment::Param(_) if found.is_empty() => return None,
                RouteSegment::Param(name) => values.push((*name, &**found)),
            }
        }
        Some(values)
    }

    /// Whether the answer is a stream of events.
    pub(crate) fn streams(&self) -> bool {
        matches!(self.op, Op::WatchAll | Op::WatchInstance)
    }
}

/// The field of an operation's result that holds a list, for answers of one item a line.
pub(crate) fn items(op: Op) -> Option<&'static str> {
    Some(match op {
        Op::ListMachines => "items",
        Op::ListInstances => "instances",
        Op::AllowedEvents => "events",
        Op::TimerList => "timers",
        Op::LockGet | Op::LockList => "locks",
        Op::WalRead => "records",
        Op::Ancestors => "facts",
        Op::Batch => "results",
        Op::ClusterStatus => "nodes",
        Op::AuditRead => "entries",
        _ => return None,
    })
}

/// The fields of an operation; none for those that belong to the session.
pub(crate) fn shape(op: Op) -> Option<&'static Shape> {
    Some(match op {
        Op::Hello | Op::Auth | Op::Ping | Op::Bye | Op::Unwatch => return None,
        Op::Info => &cluster::INFO,
        Op::Whoami => &cluster::WHOAMI,
        Op::PutMachine => &contents::PUT_MACHINE,
        Op::GetMachine => &contents::GET_MACHINE,
        Op::DeleteMachine => &contents::DELETE_MACHINE,
        Op::ListMachines => &contents::LIST_MACHINES,
        Op::CreateInstance => &contents::CREATE_INSTANCE,
        Op::GetInstance => &contents::GET_INSTANCE,
        Op::ListInstances => &contents::LIST_INSTANCES,
        Op::AllowedEvents => &contents::ALLOWED_EVENTS,
        Op::DeleteInstance => &contents::DELETE_INSTANCE,
        Op::ApplyEvent => &contents::APPLY_EVENT,
        Op::TimerSet => &time::TIMER_SET,
        Op::TimerList => &time::TIMER_LIST,
        Op::LockAcquire => &time::LOCK_ACQUIRE,
        Op::LockRenew => &time::LOCK_RENEW,
        Op::LockRelease => &time::LOCK_RELEASE,
        Op::LockGet => &time::LOCK_GET,
        Op::LockList => &time::LOCK_LIST,
        Op::Batch => &contents::BATCH,
        Op::WatchInstance => &contents::WATCH_INSTANCE,
        Op::WatchAll => &contents::WATCH_ALL,
        Op::SnapshotInstance => &log::SNAPSHOT_INSTANCE,
        Op::WalRead => &log::WAL_READ,
        Op::Ancestors => &log::ANCESTORS,
        Op::WalStats => &log::WAL_STATS,
        Op::FlushAll => &log::FLUSH_ALL,
        Op::ReplicationStatus => &cluster::REPLICATION_STATUS,
        Op::Compact => &log::COMPACT,
        Op::Automation => &time::AUTOMATION,
        Op::ClockAdvance => &time::CLOCK_ADVANCE,
        Op::ClusterStatus => &cluster::CLUSTER_STATUS,
        Op::ClusterAdd => &cluster::CLUSTER_ADD,
        Op::ClusterPromote => &cluster::CLUSTER_PROMOTE,
        Op::ClusterRemove => &cluster::CLUSTER_REMOVE,
        Op::ClusterSetAddress => &cluster::CLUSTER_SET_ADDRESS,
        Op::ClusterTransferLeader => &cluster::CLUSTER_TRANSFER_LEADER,
        Op::ClusterFinalizeUpgrade => &cluster::CLUSTER_FINALIZE_UPGRADE,
        Op::RotateKey => &cluster::ROTATE_KEY,
        Op::Reload => &cluster::RELOAD,
        Op::BackupDescribe => &log::BACKUP_DESCRIBE,
        Op::BackupSnapshot => &log::BACKUP_SNAPSHOT,
        Op::BackupLog => &log::BACKUP_LOG,
        Op::AuditRead => &log::AUDIT_READ,
    })
}

#[cfg(test)]
mod tests;
