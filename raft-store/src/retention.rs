//! Letting go of history, whole segments at a time.

use std::path::Path;

use crate::error::{Error, IoContext};
use crate::fs::{self, File, FileSystem};
use crate::options::{Reclaimed, Retention};
use crate::segment::{Held, Table};
use crate::shared::Shared;
use crate::store::Store;

impl<F: FileSystem> Store<F> {
    /// Drops the oldest segments that `policy` no longer keeps: only sealed ones, only what Raft
    /// has durably purged, and never an entry at or above `floor`. Blocks.
    pub fn retain(&self, policy: &Retention, floor: u64, now_ms: u64) -> Result<Reclaimed, Error> {
        let shared = &self.shared;
        shared.check()?;
        let mut reclaimed = Reclaimed::default();
        while let Some((number, bytes)) = drop_oldest(shared, policy, floor, now_ms) {
            dispose(shared, number, policy.archive_dir.as_deref())?;
            shared.catalog.lock().dropped(number);
            reclaimed.segments_deleted += 1;
            reclaimed.bytes += bytes;
        }
        if reclaimed.segments_deleted > 0 {
            shared
                .fs
                .sync_dir(&shared.layout.wal)
                .during("sync", &shared.layout.wal)?;
        }
        Ok(reclaimed)
    }
}

/// Takes the oldest segment out of the table, if it may go: readers stop seeing it before its
/// file goes.
fn drop_oldest<F: FileSystem>(
    shared: &Shared<F>,
    policy: &Retention,
    floor: u64,
    now_ms: u64,
) -> Option<(u64, u64)> {
    let tail = shared.tail.read();
    let floor = floor.min(tail.purged_durable? + 1);
    let last = tail.state.last?.index;
    let mut table = shared.table.write();
    if table.held.len() < 2 {
        return None;
    }
    let oldest = table.held.front()?;
    // Nothing live means that later segments took back all it held.
    let below_floor = oldest.live.is_none_or(|(_, end)| end < floor);
    if !below_floor || !is_beyond(policy, &table, oldest, last, now_ms) {
        return None;
    }
    let dropped = table.held.pop_front()?;
    Some((dropped.index.summary.number, dropped.index.summary.bytes))
}

fn is_beyond<F: FileSystem>(
    policy: &Retention,
    table: &Table<F>,
    oldest: &Held<F>,
    last: u64,
    now_ms: u64,
) -> bool {
    // A segment without live entries serves nobody.
    let Some((_, end)) = oldest.live else {
        return true;
    };
    let age_ms = now_ms.saturating_sub(oldest.index.summary.last_ms);
    let total: u64 = table.summaries().map(|summary| summary.bytes).sum();
    policy
        .events
        .is_some_and(|events| last.saturating_sub(end) >= events)
        || policy
            .hours
            .is_some_and(|hours| age_ms > hours.saturating_mul(3_600_000))
        || policy
            .mb
            .is_some_and(|mb| total > mb.saturating_mul(1 << 20))
}

fn dispose<F: FileSystem>(
    shared: &Shared<F>,
    number: u64,
    archive_dir: Option<&Path>,
) -> Result<(), Error> {
    let path = shared.layout.segment(number);
    if let Some(dir) = archive_dir {
        archive(&shared.fs, &path, dir)?;
    }
    shared.fs.remove(&path).during("remove", &path)
}

/// Copies rather than renames: archives are often on another disk.
fn archive<F: FileSystem>(fs: &F, path: &Path, dir: &Path) -> Result<(), Error> {
    const CHUNK_BYTES: usize = 1 << 20;
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    fs.create_dir_all(dir).during("create", dir)?;
    let from = fs.open(path).during("open", path)?;
    let temporary = dir.join(format!("{name}{}", fs::TEMPORARY_SUFFIX));
    let to = fs.create(&temporary).during("create", &temporary)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut done = 0;
    loop {
        let len = from.read_at(&mut chunk, done).during("read", path)?;
        if len == 0 {
            break;
        }
        to.write_all_at(&chunk[..len], done)
            .during("write", &temporary)?;
        done += len as u64;
    }
    fs::publish_written(fs, &to, &temporary, dir, name)
}
