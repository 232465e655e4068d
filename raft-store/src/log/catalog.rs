//! The catalog: a summary of the sealed segments and snapshots, so that a start need not read them. It is
//! derived data, in a database (sled) that can lose its file when the process is killed. After any error the
//! store deletes the catalog and writes it again.
//!
//! It is the one part of the crate that is not behind [`FileSystem`](crate::fs::FileSystem): sled opens, writes and
//! syncs its files itself, by path, and takes no files from outside. That costs:
//!
//! - The file system in memory cannot hold a catalog. Stores on it run without one, so no simulated power cut and no
//!   injected fault ever meets it; its tests cut and damage its files in a real folder.
//! - sled panics where the crate would return an error. Each call catches the panic, and the store goes on without
//!   the catalog.
//! - sled writes when it only opens. So `verify`, which changes nothing, opens a copy in the system's temporary
//!   folder.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, IoContext};
use crate::folder::Layout;
use crate::fs::{self, File, FileSystem, RealFs};
use crate::segment::{SegmentSummary, SegmentTable};
use crate::snapshot::SnapshotInfo;

const CACHE_BYTES: u64 = 1 << 20;

/// The catalog, if it can be used. Without it a start takes longer, and nothing else changes.
pub(crate) struct Catalog {
    path: PathBuf,
    db: Option<sled::Db>,
}

impl Catalog {
    pub(crate) fn open(layout: &Layout, wanted: bool) -> Self {
        let path = layout.catalog.clone();
        let db = match wanted {
            // sled panics with such a clock. The catalog's content would be out of date at the next start.
            true if SystemTime::now() < SystemTime::UNIX_EPOCH => {
                tracing::warn!(
                    "this machine's clock is before 1970: the node works without its catalog and starts more slowly; \
                     correct the clock"
                );
                if RealFs.list(&path).is_ok() {
                    remove(&path);
                }
                None
            }
            true => {
                // sled gives its files the system's default modes, so the folder's mode keeps other users
                // out. Errors of the folder are reported when it is opened.
                let _ = RealFs.create_dir_all(&path);
                open_or_recreate(&path)
            }
            false => None,
        };
        Catalog { path, db }
    }

    /// Reads a catalog without changing it. sled writes whenever it opens, so this opens a copy and removes
    /// it. Empty when there is no catalog or it cannot be opened; an error when it cannot be copied.
    pub(crate) fn peek(layout: &Layout) -> Result<BTreeMap<u64, SegmentSummary>, Error> {
        let copy_dir = tempfile::Builder::new()
            .prefix("rstmdb-verify-")
            .tempdir()
            .during("make a copy of the catalog in", &std::env::temp_dir())?;
        let path = copy_dir.path().join("catalog");
        if layout.catalog.is_dir() {
            copy(&layout.catalog, &path)?;
        }
        let db = open(&path);
        Ok(Catalog { path, db }.segments())
    }

    /// The summaries of sealed segments by number. Unreadable ones are left out.
    pub(crate) fn segments(&mut self) -> BTreeMap<u64, SegmentSummary> {
        self.attempt(read_segments).unwrap_or_default()
    }

    /// Makes the catalog agree with the files.
    pub(crate) fn reconcile<F: FileSystem>(
        &mut self,
        table: &SegmentTable<F>,
        snapshots: &[SnapshotInfo],
    ) {
        let sealed = table.held.len().saturating_sub(1);
        let right: BTreeMap<u64, SegmentSummary> = table
            .summaries()
            .take(sealed)
            .map(|s| (s.number, s.clone()))
            .collect();
        if self.segments() != right {
            self.attempt(|db| {
                let tree = db.open_tree("segments")?;
                tree.clear()?;
                right
                    .values()
                    .try_for_each(|summary| put(&tree, summary.number, summary))
            });
        }
        self.snapshots(snapshots);
    }

    /// A segment was sealed.
    pub(crate) fn sealed(&mut self, summary: &SegmentSummary) {
        self.attempt(|db| put(&db.open_tree("segments")?, summary.number, summary));
    }

    /// A segment was dropped.
    pub(crate) fn dropped(&mut self, number: u64) {
        self.attempt(|db| {
            db.open_tree("segments")?
                .remove(number.to_be_bytes())
                .map(drop)
        });
    }

    /// These are the snapshots.
    pub(crate) fn snapshots(&mut self, snapshots: &[SnapshotInfo]) {
        self.attempt(|db| {
            let tree = db.open_tree("snapshots")?;
            tree.clear()?;
            snapshots
                .iter()
                .try_for_each(|info| put(&tree, info.index.unwrap_or(0), info))
        });
    }

    /// Runs one operation. After an error or a panic in sled the store goes on without the catalog.
    fn attempt<T>(&mut self, run: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Option<T> {
        let db = self.db.as_ref()?;
        match std::panic::catch_unwind(AssertUnwindSafe(|| run(db))) {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => tracing::warn!(%error, "the catalog failed; it will be rebuilt"),
            Err(_) => tracing::warn!("the catalog panicked; it will be rebuilt"),
        }
        self.close();
        remove(&self.path);
        None
    }

    /// sled syncs its file once more, and panics when the disk refuses.
    fn close(&mut self) {
        let db = self.db.take();
        if std::panic::catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::warn!("the catalog panicked while it was closed; it will be rebuilt");
        }
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.close();
    }
}

fn put(tree: &sled::Tree, key: u64, value: &impl serde::Serialize) -> sled::Result<()> {
    let value = serde_json::to_vec(value).map_err(std::io::Error::from)?;
    tree.insert(key.to_be_bytes(), value).map(drop)
}

fn read_segments(db: &sled::Db) -> sled::Result<BTreeMap<u64, SegmentSummary>> {
    let mut found = BTreeMap::new();
    for item in &db.open_tree("segments")? {
        let (_, value) = item?;
        if let Ok(summary) = serde_json::from_slice::<SegmentSummary>(&value) {
            found.insert(summary.number, summary);
        }
    }
    Ok(found)
}

fn open_or_recreate(path: &Path) -> Option<sled::Db> {
    open(path).or_else(|| {
        remove(path);
        open(path)
    })
}

fn open(path: &Path) -> Option<sled::Db> {
    // Even making a configuration panics while the clock is before 1970.
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES);
        config.open()
    }));
    match opened {
        Ok(Ok(db)) => Some(db),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the catalog cannot be opened");
            None
        }
        Err(_) => {
            tracing::warn!("the catalog cannot be opened: it panicked");
            None
        }
    }
}

/// Copies the files of a folder. Folders in it are left out: a catalog needs none of them.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let names = RealFs.list(from).during("list", from)?;
    RealFs.create_dir_all(to).during("create", to)?;
    let mut content = Vec::new();
    for name in names {
        fs::read_into(&RealFs, &from.join(&name), &mut content)?;
        let path = to.join(&name);
        let file = RealFs.create(&path).during("create", &path)?;
        file.write_all_at(&content, 0).during("write", &path)?;
    }
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = RealFs.remove_dir_all(path) {
        tracing::warn!(%error, "cannot remove the catalog");
    }
}
