//! From the files of a data folder to the log they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::Codec;
use crate::error::{Error, IoContext};
use crate::format::{HardState, SegmentHeader};
use crate::fs::{self, File, FileSystem, TEMPORARY_SUFFIX};
use crate::identity::are_different_clusters;
use crate::options::{Layout, Options};
use crate::rebuild::Rebuild;
use crate::replay::{self, Scan, Source, damaged};
use crate::segment::{Index, Opened, Summary, Table};
use crate::survey::{Action, find_segments, peek};
use crate::tail::next_index;
use crate::types::LogId;

/// The segment that is written to.
pub(crate) struct Active<F: FileSystem> {
    pub(crate) number: u64,
    pub(crate) file: Arc<Opened<F::File>>,
    /// Where the next record goes.
    pub(crate) offset: u64,
    pub(crate) codec: Codec,
    /// The key its payloads are encrypted with.
    pub(crate) key_id: Option<u32>,
}

/// A log, read from its files.
pub(crate) struct Recovered<F: FileSystem> {
    pub(crate) state: HardState,
    pub(crate) table: Table<F>,
    pub(crate) active: Active<F>,
}

/// Reads the log, clears a torn tail, refuses damage. `known` are the catalog's summaries: sealed
/// segments whose entries are all purged are taken from there unread.
pub(crate) fn recover<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    known: &BTreeMap<u64, Summary>,
    used_before: bool,
) -> Result<Recovered<F>, Error> {
    remove_temporaries(fs, layout)?;
    let segments = find_segments(fs, layout)?;
    let purged = segments.header.and_then(|header| header.state.purged);
    let mut table = Table::new();
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
        let source = Source {
            number,
            path: &path,
            keys: &options.keys,
        };
        let found = replay::scan(&buf, source, &mut rebuild)?;
        check_cluster(options, layout, &found)?;
        let action = segments.decide(number, &found, layout)?;
        let index = rebuild.finish_segment(&found);
        let file = Arc::new(Opened {
            file,
            cipher: found.cipher.clone(),
        });
        table.push(index, true, Some(file.clone()));
        match action {
            Action::Clear => clear(&file.file, &path, &buf, found.end)?,
            Action::Trim => trim(&file.file, &path, found.end)?,
            Action::Succeed => {
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

/// That the log reaches back to what Raft has purged: segments are dropped from the front, and none
/// that Raft needs.
pub(crate) fn check_begin<F: FileSystem>(
    layout: &Layout,
    table: &Table<F>,
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
fn not_indexed(summary: Summary) -> Index {
    Index {
        summary,
        ..Index::default()
    }
}

/// Goes on with the last segment.
fn active<F: FileSystem>(
    options: &Options,
    number: u64,
    file: Arc<Opened<F::File>>,
    found: &Scan,
) -> Result<Active<F>, Error> {
    let key = found.header.and_then(|header| header.key);
    Ok(Active {
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
    table: Table<F>,
    active: Active<F>,
) -> Result<Recovered<F>, Error> {
    let path = layout.segment(active.number);
    let file = &active.file.file;
    file.preallocate(options.segment_bytes)
        .during("preallocate", &path)?;
    // What was read, names included, came from the page cache and may never have reached the
    // disk: a sync failed, or the process was killed before it. Nothing counts as durable until
    // it is synced again.
    file.sync().during("sync", &path)?;
    fs.sync_dir(&layout.wal).during("sync", &layout.wal)?;
    // Committed runs ahead of the log when its record survived a crash and the entries did not
    // have to: openraft cannot apply what is not there.
    state.committed = state.committed.min(state.last);
    check_begin(layout, &table, &state)?;
    Ok(Recovered {
        state,
        table,
        active,
    })
}

/// Takes up the change to the next segment where a crash interrupted it.
fn succeed<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    mut state: HardState,
    mut table: Table<F>,
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

/// Cuts a sealed segment to its seal, durably: the promise that its successor has a header.
pub(crate) fn trim(file: &impl File, path: &Path, end: u64) -> Result<(), Error> {
    file.set_len(end).during("trim", path)?;
    file.sync().during("sync", path)
}

/// The catalog's word on a segment, if the file still is what the catalog describes and nothing
/// in it is needed to start.
fn trusted<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    known: &BTreeMap<u64, Summary>,
    number: u64,
    purged: Option<LogId>,
) -> Result<Option<Summary>, Error> {
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

/// The cluster that the log names; `None` where there is no log, or one that names none.
pub(crate) fn cluster_id<F: FileSystem>(fs: &F, layout: &Layout) -> Result<Option<u128>, Error> {
    let Some(first) = replay::list_segments(fs, layout)?.first().copied() else {
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

/// Overwrites a torn tail. Valid records behind a bad one would come back to life when the log grew
/// up to where they are. The file keeps its length, by which a shortened one is known.
fn clear(file: &impl File, path: &Path, bytes: &[u8], end: u64) -> Result<(), Error> {
    static ZEROS: [u8; 128 << 10] = [0; 128 << 10];
    let used = bytes.iter().rposition(|byte| *byte != 0);
    let to = used.map_or(0, |last| last as u64 + 1);
    tracing::warn!(
        file = %path.display(),
        offset = end,
        bytes = to.saturating_sub(end),
        "clearing a batch that a crash left unfinished; nothing acknowledged is lost",
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
    let mut table = Table::new();
    table.push(index, true, Some(active.file.clone()));
    Ok(Recovered {
        state,
        table,
        active,
    })
}

/// A segment that was in the making when the process ended.
fn remove_temporaries<F: FileSystem>(fs: &F, layout: &Layout) -> Result<(), Error> {
    for name in fs.list(&layout.wal).during("list", &layout.wal)? {
        if name.ends_with(TEMPORARY_SUFFIX) {
            let path = layout.wal.join(name);
            fs.remove(&path).during("remove", &path)?;
        }
    }
    Ok(())
}

fn blank_path(layout: &Layout) -> PathBuf {
    layout.wal.join(format!("next{TEMPORARY_SUFFIX}"))
}

/// A file for a segment to come, with its space, under a temporary name. Nothing depends on it yet, so that want
/// of space, inodes or descriptors costs nothing here.
pub(crate) fn blank_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
) -> Result<F::File, Error> {
    let path = blank_path(layout);
    let file = fs.create(&path).during("create", &path)?;
    // The length before the header: from then on a shorter file has lost something.
    let reserved = file
        .preallocate(options.segment_bytes)
        .during("preallocate", &path)
        .and_then(|()| file.sync().during("sync", &path));
    match reserved {
        Ok(()) => Ok(file),
        Err(error) => {
            // What stayed behind would make a full disk fuller; the next start removes it otherwise.
            let _ = fs.remove(&path);
            Err(error)
        }
    }
}

/// Creates a segment, durable with its header before anything is written to it.
pub(crate) fn create_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    number: u64,
    state: HardState,
) -> Result<(Active<F>, Index), Error> {
    let blank = blank_segment(fs, layout, options)?;
    begin_segment(fs, layout, options, number, state, blank)
}

/// The second half of [`create_segment`].
pub(crate) fn begin_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    number: u64,
    state: HardState,
    file: F::File,
) -> Result<(Active<F>, Index), Error> {
    let path = layout.segment(number);
    let key = options.keys.for_new_file()?;
    let (key, cipher) = key.unzip();
    let header = SegmentHeader {
        cluster_id: options.cluster_id,
        segment: number,
        created_ms: options.now_ms(),
        state,
        allocated: options.segment_bytes,
        key,
    };
    let bytes = header.encode();
    fs.rename(&blank_path(layout), &path)
        .during("rename", &path)?;
    file.write_all_at(&bytes, 0).during("write", &path)?;
    file.sync().during("sync", &path)?;
    fs.sync_dir(&layout.wal).during("sync", &layout.wal)?;
    let mut index = Index::default();
    index.summary.number = number;
    index.summary.header_crc = crc32c::crc32c(&bytes);
    index.summary.bytes = bytes.len() as u64;
    index.summary.last_ms = header.created_ms;
    let active = Active {
        number,
        codec: options.codec(cipher.clone())?,
        file: Arc::new(Opened { file, cipher }),
        offset: bytes.len() as u64,
        key_id: key.map(|key| key.key_id),
    };
    Ok((active, index))
}
