//! Why a check could not be made. None of these errors means that the cluster broke a promise.

/// Why the truth of a run cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A node's folder cannot be read.
    #[error("the log of node {node} cannot be read: {source}")]
    Log {
        /// The node.
        node: u64,
        /// Why.
        source: rstmdb_raft_store::Error,
    },
    /// A committed entry cannot be decoded.
    #[error("the entry at offset {offset}: {what}")]
    Entry {
        /// Its place in the log.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// No folder was given, or none holds a log.
    #[error("there is no log")]
    NoLog,
    /// No node holds an entry on which later entries build. Nodes with enough retention would hold it.
    #[error("no node holds the committed entry {0}")]
    Missing(u64),
}
