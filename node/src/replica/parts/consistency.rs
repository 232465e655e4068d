//! How fresh a read must be.

use openraft::ReadPolicy;

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Sees every write that was acknowledged before the read began, on any node.
    #[default]
    Linearizable,
    /// Sees the same writes, as long as clocks run at about the same rate: it trusts the leader's lease and saves the
    /// round trip.
    Lease,
    /// Reads what this node has applied, however old that is.
    Local,
}

/// openraft's name for how a read of `level` is confirmed.
pub(crate) fn policy(level: Consistency) -> ReadPolicy {
    match level {
        Consistency::Lease => ReadPolicy::LeaseRead,
        Consistency::Linearizable | Consistency::Local => ReadPolicy::ReadIndex,
    }
}
