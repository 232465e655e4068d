//! The names of the operations, and whether each may be repeated.

/// What kind of operation a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// Belongs to the connection: HELLO, AUTH, PING, INFO, WHOAMI, BYE.
    Session,
    /// Changes nothing.
    Read,
    /// Changes the replicated state.
    Write,
    /// Starts or ends a watch; belongs to the connection.
    Watch,
    /// Concerns one node's files or the members of the cluster. Repeating it does no harm.
    Maintenance,
}

macro_rules! ops {
    ($($name:ident $kind:ident;)*) => {
        $(
            #[doc = concat!("The operation ", stringify!($name), ".")]
            pub const $name: &str = stringify!($name);
        )*

        /// Every operation.
        pub const ALL: &[&str] = &[$($name),*];

        /// The kind of this operation; `None` if there is none of this name.
        pub fn kind(name: &str) -> Option<OpKind> {
            match name {
                $($name => Some(OpKind::$kind),)*
                _ => None,
            }
        }
    };
}

ops! {
    HELLO Session;
    AUTH Session;
    PING Session;
    INFO Session;
    WHOAMI Session;
    BYE Session;
    PUT_MACHINE Write;
    GET_MACHINE Read;
    LIST_MACHINES Read;
    DELETE_MACHINE Write;
    CREATE_INSTANCE Write;
    GET_INSTANCE Read;
    LIST_INSTANCES Read;
    ALLOWED_EVENTS Read;
    DELETE_INSTANCE Write;
    APPLY_EVENT Write;
    TIMER_SET Write;
    TIMER_LIST Read;
    LOCK_ACQUIRE Write;
    LOCK_RENEW Write;
    LOCK_RELEASE Write;
    LOCK_GET Read;
    LOCK_LIST Read;
    BATCH Write;
    WATCH_INSTANCE Watch;
    WATCH_ALL Watch;
    UNWATCH Watch;
    SNAPSHOT_INSTANCE Maintenance;
    WAL_READ Read;
    ANCESTORS Read;
    WAL_STATS Read;
    FLUSH_ALL Write;
    REPLICATION_STATUS Read;
    COMPACT Maintenance;
    AUTOMATION Write;
    CLOCK_ADVANCE Write;
    CLUSTER_STATUS Read;
    CLUSTER_ADD Maintenance;
    CLUSTER_PROMOTE Maintenance;
    CLUSTER_REMOVE Maintenance;
    CLUSTER_SET_ADDRESS Maintenance;
    CLUSTER_TRANSFER_LEADER Maintenance;
    CLUSTER_FINALIZE_UPGRADE Maintenance;
    ROTATE_KEY Maintenance;
    RELOAD Maintenance;
    BACKUP_DESCRIBE Read;
    BACKUP_SNAPSHOT Read;
    BACKUP_LOG Read;
    AUDIT_READ Read;
}

/// Whether the operation needs no authentication.
pub fn is_open(name: &str) -> bool {
    matches!(name, HELLO | AUTH | PING | BYE)
}

/// Whether the operation is served only to connections that agreed on the feature `cluster`; to
/// others it does not exist.
pub fn needs_cluster_feature(name: &str) -> bool {
    matches!(
        name,
        CLUSTER_STATUS
            | CLUSTER_ADD
            | CLUSTER_PROMOTE
            | CLUSTER_REMOVE
            | CLUSTER_SET_ADDRESS
            | CLUSTER_TRANSFER_LEADER
            | CLUSTER_FINALIZE_UPGRADE
            | ROTATE_KEY
            | RELOAD
            | BACKUP_DESCRIBE
            | BACKUP_SNAPSHOT
            | BACKUP_LOG
            | AUDIT_READ
    )
}

/// Whether the operation takes an idempotency key.
pub fn takes_idempotency_key(name: &str) -> bool {
    matches!(
        name,
        CREATE_INSTANCE | DELETE_INSTANCE | APPLY_EVENT | TIMER_SET
    )
}

/// Whether the operation is allowed inside a BATCH.
pub fn is_allowed_in_batch(name: &str) -> bool {
    matches!(
        name,
        PUT_MACHINE
            | GET_MACHINE
            | LIST_MACHINES
            | CREATE_INSTANCE
            | GET_INSTANCE
            | LIST_INSTANCES
            | DELETE_INSTANCE
            | APPLY_EVENT
            | TIMER_SET
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_have_a_kind() {
        for (at, name) in ALL.iter().enumerate() {
            assert!(kind(name).is_some());
            assert!(!ALL[..at].contains(name));
        }
        assert_eq!(kind("DROP_TABLES"), None);
        assert_eq!(kind("ping"), None);
    }

    #[test]
    fn the_extensions_are_named_as_such_and_none_is_for_batches() {
        for name in ALL {
            let named = name.starts_with("CLUSTER_") || name.starts_with("BACKUP_");
            let is_extension = named || [ROTATE_KEY, RELOAD, AUDIT_READ].contains(name);
            assert_eq!(needs_cluster_feature(name), is_extension, "{name}");
            assert!(!(needs_cluster_feature(name) && is_allowed_in_batch(name)));
        }
    }

    #[test]
    fn only_machine_and_instance_operations_stand_in_a_batch() {
        for name in ALL.iter().filter(|name| is_allowed_in_batch(name)) {
            assert!(
                matches!(kind(name), Some(OpKind::Read | OpKind::Write)),
                "{name}"
            );
        }
        for name in [BATCH, FLUSH_ALL, WATCH_ALL, HELLO, WAL_READ, LOCK_ACQUIRE] {
            assert!(!is_allowed_in_batch(name));
        }
    }
}
