//! How fresh a read must be.

use std::time::Duration;

/// How long a leader trusts the answers of a majority for `lease` reads, counted from when it asked. Voters keep their
/// part in the lease for longer, whatever happens to the leader's connections (`cluster/succession.rs`).
pub(crate) const LEASE_READS: Duration = Duration::from_millis(80);

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
