//! Errors that must stop a node: the log or a snapshot contradicts itself or the state.

use crate::chain::Gap;

/// An error of [`State::apply`](crate::State::apply) or of loading a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An entry was applied twice or out of order.
    #[error("entry {offset} must come after {last_applied}, the last one applied")]
    OutOfOrder {
        /// The entry's offset.
        offset: u64,
        /// The last offset applied.
        last_applied: u64,
    },
    /// An entry holds a fact this version does not know.
    #[error("entry {offset} holds a fact that this version does not know; upgrade this node")]
    UnknownFact {
        /// The entry's offset.
        offset: u64,
    },
    /// The cluster is at a feature level that this program does not understand.
    #[error(
        "{place} is of feature level {level}, and this program understands levels up to {understood}: start this node \
         with a newer version"
    )]
    LevelNotUnderstood {
        /// What is of this level.
        place: String,
        /// The level.
        level: u32,
        /// The highest level that this program understands.
        understood: u32,
    },
    /// A fact that is not stale contradicts the state.
    #[error("entry {offset} contradicts the state: {what}")]
    Contradiction {
        /// The entry's offset.
        offset: u64,
        /// What does not fit.
        what: String,
    },
    /// The chain over the log has a gap.
    #[error("entry {}: {}", .0.offset, .0)]
    Chain(#[from] Gap),
    /// A snapshot record cannot be used.
    #[error("snapshot record {record} is damaged: {what}")]
    Record {
        /// The record's position, from 0.
        record: u64,
        /// What does not fit.
        what: String,
    },
    /// The loaded state is not the one that was written.
    #[error("the snapshot is incomplete or damaged: {what}")]
    Snapshot {
        /// What differs.
        what: String,
    },
}
