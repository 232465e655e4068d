//! What holds of a replica's own bookkeeping between two steps, whatever clients, other nodes and disks do.

/// Debug builds go through something after each step while it has at most this many items.
pub(crate) const FEW: usize = 64;

/// A rule that the bookkeeping of a node breaks: a bug of rstmdb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenInvariant {
    /// Of the replica.
    #[error("broken invariant of the replica: {0}")]
    Replica(String),
    /// Of what was decided and is not applied yet.
    #[error(transparent)]
    Engine(#[from] rstmdb_engine::BrokenInvariant),
}

/// Fails with the text when the condition does not hold.
pub(crate) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), BrokenInvariant> {
    match holds {
        true => Ok(()),
        false => Err(BrokenInvariant::Replica(text())),
    }
}

/// Ends the task in debug builds where the check fails; others do not make the check.
pub(crate) fn assert_sound(check: impl FnOnce() -> Result<(), BrokenInvariant>) {
    if cfg!(debug_assertions) {
        assert_eq!(check(), Ok(()));
    }
}
