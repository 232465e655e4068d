//! The operations as an enum.

use rstmdb_rcp::message::op;

macro_rules! ops {
    ($($variant:ident = $name:ident,)*) => {
        /// An operation of RCP.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Op {
            $(#[doc = concat!("The operation ", stringify!($name), ".")] $variant,)*
        }

        impl Op {
            /// Every operation, in the order of its number.
            pub(crate) const ALL: &'static [Op] = &[$(Op::$variant),*];

            /// The operation of this name.
            pub(crate) fn from_name(name: &str) -> Option<Op> {
                match name {
                    $(op::$name => Some(Op::$variant),)*
                    _ => None,
                }
            }

            /// Whether only connections that agreed on the feature `cluster` may ask for it.
            pub(crate) fn is_extension(self) -> bool {
                op::needs_cluster_feature(self.name())
            }

            /// Its name.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Op::$variant => op::$name,)*
                }
            }

            /// The name that nodes use between them for a dry run of it. A node that does not know
            /// dry runs refuses this name. Under the operation's own name that node would do it.
            pub(crate) fn dry_run_name(self) -> &'static str {
                match self {
                    $(Op::$variant => concat!(stringify!($name), " as a dry run"),)*
                }
            }

            /// The same for an import: a node that does not know imports would ignore the state, and create the
            /// instance in the first one.
            pub(crate) fn import_name(self) -> &'static str {
                match self {
                    $(Op::$variant => concat!(stringify!($name), " with an import"),)*
                }
            }

            /// The operation of a name that nodes use between them, and whether it is a dry run.
            pub(crate) fn from_forwarded_name(name: &str) -> Option<(Op, bool)> {
                let name = name.strip_suffix(" with an import").unwrap_or(name);
                match name.strip_suffix(" as a dry run") {
                    Some(name) => Some((Op::from_name(name)?, true)),
                    None => Some((Op::from_name(name)?, false)),
                }
            }
        }
    };
}

ops! {
    Hello = HELLO,
    Auth = AUTH,
    Ping = PING,
    Info = INFO,
    Whoami = WHOAMI,
    Bye = BYE,
    PutMachine = PUT_MACHINE,
    GetMachine = GET_MACHINE,
    ListMachines = LIST_MACHINES,
    DeleteMachine = DELETE_MACHINE,
    CreateInstance = CREATE_INSTANCE,
    GetInstance = GET_INSTANCE,
    ListInstances = LIST_INSTANCES,
    AllowedEvents = ALLOWED_EVENTS,
    DeleteInstance = DELETE_INSTANCE,
    ApplyEvent = APPLY_EVENT,
    TimerSet = TIMER_SET,
    TimerList = TIMER_LIST,
    LockAcquire = LOCK_ACQUIRE,
    LockRenew = LOCK_RENEW,
    LockRelease = LOCK_RELEASE,
    LockGet = LOCK_GET,
    LockList = LOCK_LIST,
    Batch = BATCH,
    WatchInstance = WATCH_INSTANCE,
    WatchAll = WATCH_ALL,
    Unwatch = UNWATCH,
    SnapshotInstance = SNAPSHOT_INSTANCE,
    WalRead = WAL_READ,
    Ancestors = ANCESTORS,
    WalStats = WAL_STATS,
    FlushAll = FLUSH_ALL,
    ReplicationStatus = REPLICATION_STATUS,
    Compact = COMPACT,
    Automation = AUTOMATION,
    ClockAdvance = CLOCK_ADVANCE,
    ClusterStatus = CLUSTER_STATUS,
    ClusterAdd = CLUSTER_ADD,
    ClusterPromote = CLUSTER_PROMOTE,
    ClusterRemove = CLUSTER_REMOVE,
    ClusterSetAddress = CLUSTER_SET_ADDRESS,
    ClusterTransferLeader = CLUSTER_TRANSFER_LEADER,
    ClusterFinalizeUpgrade = CLUSTER_FINALIZE_UPGRADE,
    RotateKey = ROTATE_KEY,
    Reload = RELOAD,
    BackupDescribe = BACKUP_DESCRIBE,
    BackupSnapshot = BACKUP_SNAPSHOT,
    BackupLog = BACKUP_LOG,
    AuditRead = AUDIT_READ,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_protocol_is_served() {
        for name in op::ALL {
            assert_eq!(Op::from_name(name).map(Op::name), Some(*name));
        }
        assert_eq!(Op::ALL.len(), op::ALL.len());
        for (number, op) in Op::ALL.iter().enumerate() {
            assert_eq!(*op as usize, number);
        }
    }
}
