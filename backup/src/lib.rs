//! A backup: a folder of plain files that the command line writes and the server restores from.
//!
//! What this crate promises:
//!
//! - **A backup is whole at every moment.** A file gets its name once it is durable. The manifest is written
//!   last. A file that the manifest names never changes. So an interrupted backup leaves the older one as it
//!   was.
//! - **Damage is found before anything is restored.** Every file has its length and its SHA-256 in the manifest, and
//!   the manifest has a checksum of its own.
//! - **A manifest cannot lead out of its folder**, whatever it contains.
//! - **It does not depend on servers or protocols.** Entries and records are bytes here; only the engine
//!   interprets them, when a run is replayed.
//!
//! The folder:
//!
//! ```text
//! manifest.json                  what there is, with lengths and checksums; written last
//! snapshot-<offset>.snap         the whole state at one offset
//! log-<first>-<last>.log         the entries of the log, both offsets inclusive
//! lock                           held while a backup is being written
//! *.tmp                          unfinished; removed by the next backup
//! ```
//!
//! A backup is one or more [`BackupRun`]s of the log without a gap. A run that begins at offset 1 needs no
//! snapshot. Any other has one, and can be restored from the snapshot's offset on.
//!
//! | module | subject |
//! |---|---|
//! | [`stream`] | entries and records as bytes, in the files and on the wire |
//! | [`writer`] | one file on its way into the folder |
//! | [`manifest`] | what there is |
//! | [`folder`] | the names of the files; reading and checking them |
//! | [`replay`] | the beginning of a replay, for a restore and for the check of a backup |

pub mod folder;
pub mod manifest;
pub mod replay;
pub mod stream;
pub mod writer;

use std::path::{Path, PathBuf};

pub use manifest::{BackupRun, LogFile, Manifest, SnapshotFile};
pub use stream::LogEntry;
pub use writer::FileInfo;

/// Why a backup cannot be read or written.
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
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file is from a later version.
    #[error("{} cannot be read by this version: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        what: String,
    },
}

impl Error {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Error::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// The file at `path` is not what was written.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Error::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}
