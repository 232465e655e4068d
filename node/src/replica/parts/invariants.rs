//! What holds of a replica's own bookkeeping between two steps, whatever clients, other nodes and disks do.

pub use rstmdb_engine::BrokenInvariant;
pub(crate) use rstmdb_engine::ensure;

/// Debug builds go through something after each step while it has at most this many items.
pub(crate) const FEW: usize = 64;

/// Ends the task in debug builds where the check fails; others do not make the check.
pub(crate) fn assert_sound(check: impl FnOnce() -> Result<(), BrokenInvariant>) {
    if cfg!(debug_assertions) {
        assert_eq!(check(), Ok(()));
    }
}
