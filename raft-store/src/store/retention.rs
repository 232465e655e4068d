//! Drops history, whole files at a time.

use std::path::Path;

use crate::error::{Error, IoContext};
use crate::folder::{Reclaimed, Retention};
use crate::fs::{self, File, FileSystem};
use crate::log::shared::SharedLog;
use crate::segment::{HeldFile, SegmentSummary};
use crate::store::Store;

/// The size of the pieces that are copied or compared.
const CHUNK_BYTES: usize = 1 << 20;

impl<F: FileSystem> Store<F> {
    /// Drops the oldest history files and segments that `policy` no longer keeps. Only sealed segments are
    /// dropped, only entries that Raft has durably purged, and never an entry at or above `floor`. Blocks.
    pub fn retain(&self, policy: &Retention, floor: u64, now_ms: u64) -> Result<Reclaimed, Error> {
        self.retain_while(policy, floor, now_ms, &|_| true)
    }

    /// As [`Store::retain`], but ends at the first file that `may_drop` wants to keep. Blocks.
    pub fn retain_while(
        &self,
        policy: &Retention,
        floor: u64,
        now_ms: u64,
        may_drop: &dyn Fn(&Expired) -> bool,
    ) -> Result<Reclaimed, Error> {
        let shared = &self.shared;
        shared.check()?;
        let files = shared.history_files.lock();
        let mut reclaimed = Reclaimed::default();
        for dead in shared.remove_dead_history(&files)? {
            reclaimed.count(&dead);
        }
        while let Some(oldest) = expired(shared, policy, floor, now_ms, 1).pop() {
            if !may_drop(&oldest) {
                break;
            }
            // Archive the file before readers lose it. A file that cannot be archived stays.
            if let Some(dir) = &policy.archive_dir {
                archive(&shared.fs, &oldest.summary.path(&shared.layout), dir)?;
            }
            take(shared, &oldest);
            remove(shared, &oldest.summary)?;
            reclaimed.count(&oldest.summary);
        }
        if reclaimed.segments_deleted > 0 {
            for dir in [&shared.layout.wal, &shared.layout.history] {
                shared.fs.sync_dir(dir).during("sync", dir)?;
            }
        }
        shared.check_invariants();
        Ok(reclaimed)
    }

    /// The files that `policy` no longer keeps, in the order in which [`Store::retain`] drops them, at most
    /// `files_max`.
    pub fn expired(
        &self,
        policy: &Retention,
        floor: u64,
        now_ms: u64,
        files_max: usize,
    ) -> Vec<Expired> {
        expired(&self.shared, policy, floor, now_ms, files_max)
    }
}

impl Reclaimed {
    fn count(&mut self, dropped: &SegmentSummary) {
        self.segments_deleted += 1;
        self.bytes += dropped.bytes;
    }
}

/// A file that retention no longer keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    pub(crate) summary: SegmentSummary,
    in_history: bool,
    pub(crate) live: Option<(u64, u64)>,
}

impl Expired {
    /// The first and last of its entries that belong to the log; `None` when none does.
    pub fn range(&self) -> Option<(u64, u64)> {
        self.live
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.summary.bytes
    }
}

/// The oldest files, as long as they may be dropped. While the caller holds the lock of the history files, the first
/// one stays the oldest until it is removed from the table.
fn expired<F: FileSystem>(
    shared: &SharedLog<F>,
    policy: &Retention,
    floor: u64,
    now_ms: u64,
    files_max: usize,
) -> Vec<Expired> {
    let mut found = Vec::new();
    let tail = shared.tail.read();
    let (Some(purged), Some(last)) = (tail.purged_durable, tail.state.last) else {
        return found;
    };
    let floor = floor.min(purged + 1);
    let table = shared.table.read();
    let sealed = table.held.len().saturating_sub(1);
    let mut history = table.history.iter().peekable();
    let mut segments = table.held.iter().take(sealed).peekable();
    let mut total: u64 = table.files().map(|held| held.index.summary.bytes).sum();
    while found.len() < files_max {
        // Drop segments without live entries first: all history is younger than their entries were.
        let is_dead = segments.peek().is_some_and(|held| held.live.is_none());
        let in_history = !is_dead && history.peek().is_some();
        let oldest = match in_history {
            true => history.next(),
            false => segments.next(),
        };
        let Some(oldest) = oldest else { break };
        // The record that removed its entries may not be durable yet. So even a segment without live entries waits
        // for the purge.
        let range = oldest.live.or(oldest.index.summary.range);
        let below_floor = range.is_none_or(|(_, end)| end < floor);
        if !below_floor || !is_beyond(policy, total, oldest, last.index, now_ms) {
            break;
        }
        total -= oldest.index.summary.bytes;
        found.push(Expired {
            summary: oldest.index.summary.clone(),
            in_history,
            live: oldest.live,
        });
    }
    found
}

/// Removes a file from the table, so that readers stop using it before it is deleted.
fn take<F: FileSystem>(shared: &SharedLog<F>, oldest: &Expired) {
    let mut table = shared.table.write();
    match oldest.in_history {
        true => drop(table.history.pop_front()),
        false => drop(table.held.pop_front()),
    }
}

fn is_beyond<F: FileSystem>(
    policy: &Retention,
    total: u64,
    oldest: &HeldFile<F>,
    last: u64,
    now_ms: u64,
) -> bool {
    // No read needs a segment without live entries.
    let Some((_, end)) = oldest.live else {
        return true;
    };
    let age_ms = now_ms.saturating_sub(oldest.index.summary.last_ms);
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

fn remove<F: FileSystem>(shared: &SharedLog<F>, dropped: &SegmentSummary) -> Result<(), Error> {
    let path = dropped.path(&shared.layout);
    shared.fs.remove(&path).during("remove", &path)?;
    if !dropped.is_history() {
        shared.catalog.lock().dropped(dropped.number);
    }
    Ok(())
}

/// Copies instead of renaming, because archives are often on another disk. If a file of this name exists
/// already, a crash has left this file's copy before the original was removed, or the file belongs to another
/// node.
fn archive<F: FileSystem>(fs: &F, path: &Path, dir: &Path) -> Result<(), Error> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    fs::create_dir(fs, dir)?;
    let from = fs.open(path).during("open", path)?;
    if fs::exists(fs, dir, name)? {
        let archived = dir.join(name);
        let there = fs.open(&archived).during("open", &archived)?;
        return match is_same(&from, path, &there, &archived)? {
            true => Ok(()),
            false => Err(Error::ArchiveTaken { path: archived }),
        };
    }
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

/// Whether two files hold the same bytes.
fn is_same<F: File>(one: &F, path: &Path, other: &F, archived: &Path) -> Result<bool, Error> {
    let len = one.len().during("measure", path)?;
    if len != other.len().during("measure", archived)? {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut done = 0;
    while done < len {
        let part = (len - done).min(CHUNK_BYTES as u64) as usize;
        one.read_exact_at(&mut ours[..part], done)
            .during("read", path)?;
        other
            .read_exact_at(&mut theirs[..part], done)
            .during("read", archived)?;
        if ours[..part] != theirs[..part] {
            return Ok(false);
        }
        done += part as u64;
    }
    Ok(true)
}
