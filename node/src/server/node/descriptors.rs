//! File descriptors: each connection takes one, and so does each open file of the log. The node keeps what it needs
//! itself; clients get the rest.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the node where the limit is generous: two fifths for files (the log, snapshots, the catalog), two fifths
/// for other nodes, a tenth for admin HTTP, a tenth for clients that get `RATE_LIMITED`.
const KEPT: usize = 640;

/// How many connections each port may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Clients at a time.
    pub(crate) clients: usize,
    /// Further clients, until they have read why they are refused.
    pub(crate) refused: usize,
    /// Connections from other nodes.
    pub(crate) peers: usize,
    /// Connections to admin HTTP.
    pub(crate) admin: usize,
}

impl Descriptors {
    /// How the process's limit is shared out where `clients_wanted` clients may connect.
    pub(crate) fn shared_out(clients_wanted: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::of(limit, clients_wanted)
    }

    fn of(limit: Option<u64>, clients_wanted: usize) -> Self {
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let kept = KEPT.min(limit / 2);
        Self {
            clients: clients_wanted.min(limit - kept).max(1),
            refused: (kept / 10).max(1),
            peers: (kept / 5 * 2).max(1),
            admin: (kept / 10).max(1),
        }
    }
}

/// Raises the process's limit, as far as the system allows, to what so many clients need.
pub(crate) fn raise_limit(clients_wanted: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = clients_wanted.saturating_add(KEPT) as u64;
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit {
        current: Some(allowed),
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, wanted, "the limit of open files could not be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_needs_is_kept_aside_whatever_the_limit() {
        let plenty = Descriptors::of(Some(100_000), 1000);
        assert_eq!(plenty, Descriptors::of(None, 1000));
        assert_eq!(
            (plenty.clients, plenty.refused, plenty.peers, plenty.admin),
            (1000, 64, 256, 64)
        );
        let exact = Descriptors::of(Some(1640), 1000);
        assert_eq!(exact, plenty);
        for limit in [16, 64, 256, 1024, 1639] {
            let shares = Descriptors::of(Some(limit), 1000);
            let sockets = shares.clients + shares.refused + shares.peers + shares.admin;
            let left = usize::try_from(limit).unwrap_or(0).checked_sub(sockets);
            assert!(left.is_some_and(|left| left >= 3), "{limit}: {shares:?}");
        }
        assert_eq!(Descriptors::of(Some(1024), 1000).clients, 512);
    }
}
