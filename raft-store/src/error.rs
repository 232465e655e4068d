//! The errors of this crate, in words that an operator can act on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything this crate can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused an operation.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The reason it gave.
        source: io::Error,
    },
    /// Another process works on the same data folder.
    #[error("the data folder is in use by another process ({} is locked)", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Bytes that were written, synced and acknowledged have changed.
    #[error("{} is damaged at offset {offset}: {what}; it covers {covers}; {advice}", file.display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// Where in the file the first bad byte range starts.
        offset: u64,
        /// What is wrong with it.
        what: String,
        /// What is lost with it.
        covers: String,
        /// What the operator can do.
        advice: &'static str,
    },
    /// The file is from another version of the program, or uses a feature that this build cannot read.
    #[error("{} cannot be read by this version: {what}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The version or feature it asks for.
        what: String,
    },
    /// The file is encrypted with a key that was not given.
    #[error(
        "{} is encrypted with key {key_id}, which is not among the given keys ({})",
        file.display(), ids(known)
    )]
    KeyMissing {
        /// The file.
        file: PathBuf,
        /// The key it needs.
        key_id: u32,
        /// The keys there are.
        known: Vec<u32>,
    },
    /// The file is encrypted with another key of the same id.
    #[error("{} was encrypted with a different key {key_id} than the given one", file.display())]
    KeyWrong {
        /// The file.
        file: PathBuf,
        /// The key it needs.
        key_id: u32,
    },
    /// The encryption keys cannot be used.
    #[error("the encryption keys cannot be used: {what}")]
    Keys {
        /// What is wrong; never a key.
        what: String,
    },
    /// The data folder belongs to another node or cluster than expected.
    #[error("the data folder {} belongs to {found}, but {expected} was expected", dir.display())]
    WrongIdentity {
        /// The data folder.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A data folder that was in use has lost the file that says which node and cluster it belongs to.
    #[error(
        "{} is missing, but the folder was in use ({held}). Restore the file from any copy of this folder. \
         If there is no copy and the node runs alone, start it with its old cluster.node_id and with no other node \
         configured: it writes the file again if the rest of the folder is whole. If that fails, restore a \
         backup. If there is no copy and the node is one of a cluster, run `rstmdb rejoin` and \
         `rstmdb-cli cluster remove ID`, then add the node under a new id",
        file.display()
    )]
    IdentityMissing {
        /// The file.
        file: PathBuf,
        /// What the folder holds.
        held: String,
    },
    /// The data folder was removed, or another one put in its place, while the node used it.
    #[error(
        "the data folder {} was removed or replaced while the node was running: all that the node wrote since \
         then is lost; put the folder back, or add the node again as a new member", dir.display()
    )]
    FolderGone {
        /// The data folder.
        dir: PathBuf,
    },
    /// A file of the archive belongs to another node.
    #[error(
        "the archive already has a different file {}: give each node its own compaction.archive_dir",
        path.display()
    )]
    ArchiveTaken {
        /// The file that is there already.
        path: PathBuf,
    },
    /// A restore into the folder was not completed.
    #[error(
        "the data folder {} was left by an interrupted restore: remove everything in it and restore again",
        dir.display()
    )]
    RestoreUnfinished {
        /// The data folder.
        dir: PathBuf,
    },
    /// The entry was dropped by retention.
    #[error("offset {asked} is no longer retained; the earliest is {earliest}")]
    Compacted {
        /// The index that was asked for.
        asked: u64,
        /// The lowest index that can be read.
        earliest: u64,
    },
    /// An append that would leave a hole or overwrite an entry.
    #[error("entry {got} does not follow: the next entry must be {expected}")]
    OutOfOrder {
        /// The index of the entry refused.
        got: u64,
        /// The only index that may come next.
        expected: u64,
    },
    /// Entries from another node that cannot be added to this node's history.
    #[error("cannot add the history from {first} to {last}: {why}")]
    HistoryRefused {
        /// The first index of the run.
        first: u64,
        /// Its last index.
        last: u64,
        /// What does not fit.
        why: String,
    },
    /// One entry is larger than a record may be.
    #[error("an entry of {bytes} bytes exceeds the limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// An earlier write or sync failed. The store writes nothing after that.
    #[error("the log has failed and accepts nothing more: {0}")]
    Failed(Arc<Error>),
    /// The store was closed, or its writer is gone.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Error::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// For a damaged history file: names the loss and what to do.
    pub(crate) fn in_history_file(self) -> Self {
        match self {
            Error::Damaged {
                file, offset, what, ..
            } => Error::Damaged {
                file,
                offset,
                what,
                covers: "the history from another node in this file".into(),
                advice: "in a cluster the node fetches it again automatically; otherwise restore the file from a \
                         backup",
            },
            other => other,
        }
    }

    /// For a damaged file of the archive: names the loss and what to do.
    pub(crate) fn in_archive(self) -> Self {
        match self {
            Error::Damaged {
                file, offset, what, ..
            } => Error::Damaged {
                file,
                offset,
                what,
                covers: "the history in this file of the archive".into(),
                advice: "restore the object in the archive from a copy, for example from an older version that the \
                         bucket keeps",
            },
            other => other,
        }
    }

    /// Whether the cause is a shortage that may end without an operator; see [`is_shortage`].
    pub fn is_shortage(&self) -> bool {
        matches!(self, Error::Io { source, .. } if is_shortage(source))
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Error::Io { source, .. } => source.kind(),
            Error::Failed(first) => first.kind(),
            Error::Damaged { .. } | Error::IdentityMissing { .. } => io::ErrorKind::InvalidData,
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
            Error::FolderGone { .. } => io::ErrorKind::NotFound,
            Error::ArchiveTaken { .. } => io::ErrorKind::AlreadyExists,
            Error::Compacted { .. } => io::ErrorKind::NotFound,
            Error::OutOfOrder { .. } | Error::TooLarge { .. } | Error::HistoryRefused { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::Locked { .. } => io::ErrorKind::WouldBlock,
            Error::KeyMissing { .. } | Error::KeyWrong { .. } | Error::Keys { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Error::WrongIdentity { .. } | Error::RestoreUnfinished { .. } | Error::Closed => {
                io::ErrorKind::Other
            }
        }
    }
}

/// What to do about a damaged file of the log.
const ADVICE: &str = "restore the file, or the whole folder, from a backup; never delete single segments; with other \
                     nodes that hold the data, empty this one with `rstmdb rejoin`";

/// The error for damaged bytes of a log file.
pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Error {
    Error::Damaged {
        file: path.to_owned(),
        offset,
        what: what.into(),
        covers: "acknowledged entries from there on".into(),
        advice: ADVICE,
    }
}

/// Whether an operation failed because disk space, inodes or file descriptors ran out. The caller can retry
/// it if it had not written anything.
pub fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const NUMBERS: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOSPC, Errno::DQUOT];
    let number = error.raw_os_error();
    NUMBERS
        .iter()
        .any(|known| Some(known.raw_os_error()) == number)
        || matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
}

fn ids(known: &[u32]) -> String {
    let ids: Vec<String> = known.iter().map(u32::to_string).collect();
    match ids.is_empty() {
        true => "none".into(),
        false => ids.join(", "),
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.kind(), error)
    }
}

/// Names the operation and the path on the way from `io::Result` to [`Error`].
pub(crate) trait IoContext<T> {
    fn during(self, operation: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn during(self, operation: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::io(operation, path, source))
    }
}
