//! From the files of a data folder to the log they hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, IoContext, damaged};
use crate::folder::identity::are_different_clusters;
use crate::folder::{Layout, Options};
use crate::format::HardState;
use crate::fs::{self, File, FileSystem, TEMPORARY_SUFFIX};
use crate::segment::create::{ActiveSegment, create_segment, trim};
use crate::segment::rebuild::Rebuild;
use crate::segment::scan::{Scan, ScannedFile, scan};
use crate::segment::summary::{Index, SegmentSummary};
use crate::segment::survey::{SegmentAction, find_segments, list_segments, peek};
use crate::segment::table::{OpenedFile, SegmentTable};
use crate::types::{LogId, next_index};

/// A log, read from its files.
pub(crate) struct Recovered<F: FileSystem> {
    pub(crate) state: HardState,
    pub(crate) table: SegmentTable<F>,
    pub(crate) active: ActiveSegment<F>,
}

/// Reads the log, clears a torn tail, refuses damage. `known` are the catalog's summaries: sealed
/// segments whose entries are all purged are taken from there unread.
pub(crate) fn recover<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    known: &BTreeMap<u64, SegmentSummary>,
    used_before: bool,
) -> Result<Recovered<F>, Error> {
    remove_temporaries(fs, layout)?;
    let segments = find_segments(fs, layout)?;
    let purged = segments.header.and_then(|header| header.state.purged);
    let mut table = SegmentTable::new();
    let mut rebuild = Rebuild::default();
    let mut buf = Vec::new();
    let mut unread = true;
    for number in segments.numbers() {
        let path = layout.segment(number);
        if unread
            && segments.last() != Some(number)
            && let Some(summary) = trusted(fs, layout, options, known, number, purged)?
        {
            table.push(not_indexed(summary), false, None);
            continue;
        }
        unread = false;
        let file = fs.open_to_write(&path).during("open", &path)?;
        fs::read_content(&file, &path, &mut buf)?;
        let source = ScannedFile {
            number,
            path: &path,
            keys: &options.keys,
        };
        let found = scan(&buf, source, &mut rebuild)?;
        check_cluster(options, layout, &found)?;
        let action = segments.decide(number, &found, layout)?;
        let index = rebuild.finish_segment(&found);
        let file = Arc::new(OpenedFile {
            file,
            cipher: found.cipher.clone(),
        });
        table.push(index, true, Some(file.clone()));
        match action {
            SegmentAction::Clear => clear(&file.file, &path, &buf, found.end)?,
            SegmentAction::Trim => trim(&file.file, &path, found.end)?,
            SegmentAction::Succeed => {
                return succeed(fs, layout, options, rebuild.state, table, number, found.end);
            }
            _ => {}
        }
        if segments.last() == Some(number) {
            let active = active(options, number, file, &found)?;
            return finish(fs, layout, options, rebuild.state, table, active);
        }
    }
    begin(fs, layout, options, used_before)
}

/// Checks that the log reaches back to the entry that Raft has purged. Segments are dropped from the front
/// only, and never one that Raft needs.
pub(crate) fn check_begin<F: FileSystem>(
    layout: &Layout,
    table: &SegmentTable<F>,
    state: &HardState,
) -> Result<(), Error> {
    let needed = next_index(state.purged);
    let live = table.held.iter().find_map(|held| held.live);
    let begins = live.map_or(next_index(state.last), |(first, _)| first);
    let front = table.summaries().next().map_or(1, |summary| summary.number);
    if begins <= needed || front <= 1 {
        return Ok(());
    }
    let what = format!(
        "the segment is missing: the log begins with entry {begins}, and {needed} is needed"
    );
    Err(damaged(&layout.segment(front - 1), 0, what))
}

/// What is known of a segment whose file was not read.
fn not_indexed(summary: SegmentSummary) -> Index {
    Index {
        summary,
        ..Index::default()
    }
}

/// Continues with the last segment.
fn active<F: FileSystem>(
    options: &Options,
    number: u64,
    file: Arc<OpenedFile<F::File>>,
    found: &Scan,
) -> Result<ActiveSegment<F>, Error> {
    let key = found.header.and_then(|header| header.key);
    Ok(ActiveSegment {
        number,
        codec: options.codec(file.cipher.clone())?,
        file,
        offset: found.end,
        key_id: key.map(|key| key.key_id),
    })
}

fn finish<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    mut state: HardState,
    table: SegmentTable<F>,
    active: ActiveSegment<F>,
) -> Result<Recovered<F>, Error> {
    let path = layout.segment(active.number);
    let file = &active.file.file;
    file.preallocate(options.segment_bytes)
        .during("preallocate", &path)?;
    // The content and the names came from the page cache and may never have reached the disk: a sync may have
    // failed, or the process may have been killed before it. So sync them again before they count as durable.
    file.sync().during("sync", &path)?;
    fs.sync_dir(&layout.wal).during("sync", &layout.wal)?;
    // The committed log id can be ahead of the log when its record survived a crash and unsynced entries did
    // not. openraft cannot apply missing entries.
    state.committed = state.committed.min(state.last);
    check_begin(layout, &table, &state)?;
    Ok(Recovered {
        state,
        table,
        active,
    })
}

/// Completes the change to the next segment that a crash interrupted.
fn succeed<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    mut state: HardState,
    mut table: SegmentTable<F>,
    number: u64,
    end: u64,
) -> Result<Recovered<F>, Error> {
    state.committed = state.committed.min(state.last);
    let path = layout.segment(number);
    let sealed = fs.open_to_write(&path).during("open", &path)?;
    // The seal may have been read from the page cache only.
    sealed.sync().during("sync", &path)?;
    let (active, index) = create_segment(fs, layout, options, number + 1, state)?;
    trim(&sealed, &path, end)?;
    table.push(index, true, Some(active.file.clone()));
    Ok(Recovered {
        state,
        table,
        active,
    })
}

/// The catalog's summary of a segment, if the catalog still describes this file and a start needs nothing in
/// it.
fn trusted<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    known: &BTreeMap<u64, SegmentSummary>,
    number: u64,
    purged: Option<LogId>,
) -> Result<Option<SegmentSummary>, Error> {
    let (Some(summary), Some(purged)) = (known.get(&number), purged) else {
        return Ok(None);
    };
    if summary.number != number || summary.range.is_some_and(|(_, last)| last > purged.index) {
        return Ok(None);
    }
    let path = layout.segment(number);
    let file = fs.open(&path).during("open", &path)?;
    let len = file.len().during("measure", &path)?;
    let Some(header) = peek(fs, layout, number)? else {
        return Ok(None);
    };
    options.keys.for_file(header.key.as_ref(), &path)?;
    let same = len == summary.bytes && crc32c::crc32c(&header.encode()) == summary.header_crc;
    Ok(same.then(|| summary.clone()))
}

/// The cluster that the log names; `None` when there is no log, or it names no cluster.
pub(crate) fn cluster_id<F: FileSystem>(fs: &F, layout: &Layout) -> Result<Option<u128>, Error> {
    let Some(first) = list_segments(fs, layout)?.first().copied() else {
        return Ok(None);
    };
    let header = peek(fs, layout, first)?;
    Ok(header.map(|header| header.cluster_id).filter(|id| *id != 0))
}

fn check_cluster(options: &Options, layout: &Layout, found: &Scan) -> Result<(), Error> {
    let theirs = found.header.map_or(0, |header| header.cluster_id);
    if !are_different_clusters(theirs, options.cluster_id) {
        return Ok(());
    }
    Err(Error::WrongIdentity {
        dir: layout.dir.clone(),
        found: format!("cluster {}", uuid::Uuid::from_u128(theirs)),
        expected: format!("cluster {}", uuid::Uuid::from_u128(options.cluster_id)),
    })
}

/// Overwrites a torn tail. Otherwise valid records after the bad one would be read again once the log has
/// grown up to them. The file keeps its length, so that a shortened file can be recognised.
fn clear(file: &impl File, path: &Path, bytes: &[u8], end: u64) -> Result<(), Error> {
    static ZEROS: [u8; 128 << 10] = [0; 128 << 10];
    let used = bytes.iter().rposition(|byte| *byte != 0);
    let to = used.map_or(0, |last| last as u64 + 1);
    tracing::warn!(
        file = %path.display(),
        offset = end,
        bytes = to.saturating_sub(end),
        "clearing an unfinished batch that a crash left; no acknowledged write is lost",
    );
    let mut at = end;
    while at < to {
        let len = (to - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..len as usize], at)
            .during("clear", path)?;
        at += len;
    }
    file.sync().during("sync", path)
}

/// The very first segment.
fn begin<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    used_before: bool,
) -> Result<Recovered<F>, Error> {
    if used_before {
        return Err(damaged(
            &layout.segment(1),
            0,
            "the folder was in use, but its log is gone",
        ));
    }
    let state = HardState::default();
    let (active, index) = create_segment(fs, layout, options, 1, state)?;
    let mut table = SegmentTable::new();
    table.push(index, true, Some(active.file.clone()));
    Ok(Recovered {
        state,
        table,
        active,
    })
}

/// Removes a segment that was being created when the process ended.
fn remove_temporaries<F: FileSystem>(fs: &F, layout: &Layout) -> Result<(), Error> {
    for name in fs.list(&layout.wal).during("list", &layout.wal)? {
        if name.ends_with(TEMPORARY_SUFFIX) {
            let path = layout.wal.join(name);
            fs.remove(&path).during("remove", &path)?;
        }
    }
    Ok(())
}
