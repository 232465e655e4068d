//! The names inside a data folder.

use std::path::{Path, PathBuf};

/// The file that names the node and cluster.
pub(crate) const IDENTITY_NAME: &str = "identity.json";
/// The file with the nodes that this node has met.
pub(crate) const PEERS_NAME: &str = "peers.json";

/// The folders and files inside a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) snapshots: PathBuf,
    pub(crate) history: PathBuf,
    /// Copies of files of the archive, for as long as they are read; nothing is lost with them.
    pub(crate) archived: PathBuf,
    pub(crate) catalog: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) identity: PathBuf,
    pub(crate) peers: PathBuf,
}

impl Layout {
    pub(crate) fn of(dir: &Path) -> Self {
        Layout {
            dir: dir.to_owned(),
            wal: dir.join("wal"),
            snapshots: dir.join("snapshots"),
            history: dir.join("history"),
            archived: dir.join("archived"),
            catalog: dir.join("catalog"),
            lock: dir.join("LOCK"),
            identity: dir.join(IDENTITY_NAME),
            peers: dir.join(PEERS_NAME),
        }
    }

    /// Whether a node keeps data in the file or folder at `path`.
    pub(crate) fn has_data_at(&self, path: &Path) -> bool {
        let Layout {
            wal,
            snapshots,
            history,
            catalog,
            identity,
            peers,
            ..
        } = self;
        [wal, snapshots, history, catalog, identity, peers]
            .into_iter()
            .any(|ours| ours == path)
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.wal.join(format!("{number:016}.wal"))
    }

    pub(crate) fn history_file(&self, first: u64, last: u64) -> PathBuf {
        self.history.join(history_file_name(first, last))
    }
}

/// The name of the history file with the entries `first..=last`.
pub(crate) fn history_file_name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.wal")
}
