//! From the files of a data folder to the log they hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, IoContext};
use crate::format::{HardState, SegmentHeader};
use crate::fs::{self, File, FileSystem};
use crate::options::{Layout, Options};
use crate::rebuild::Rebuild;
use crate::replay::{self, Scan, Tail, damaged};
use crate::segment::{Index, Summary, Table};

/// What recovery does with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take it as it is.
    Accept,
    /// Cut it behind its last good record, sync, go on.
    Cut,
    /// Remove the file: a crash came before it held anything.
    Remove,
    /// Refuse to start: something acknowledged is lost.
    Refuse,
}

/// The whole decision. Only the last segment can have been written to when the machine
/// stopped: a segment is complete and synced before its successor is created. And in the last
/// segment, only what lies above every mark can be a write that the machine did not finish.
///
/// | tail | last segment | any other |
/// |---|---|---|
/// | clean | accept | accept |
/// | torn | cut | refuse |
/// | bad below a mark | refuse | refuse |
/// | no header, nothing marked | remove | refuse |
/// | bad header below a mark | refuse | refuse |
pub(crate) fn action(tail: &Tail, last: bool) -> Action {
    match (tail, last) {
        (Tail::Clean, _) => Action::Accept,
        (Tail::Torn(_), true) => Action::Cut,
        (Tail::Headless, true) => Action::Remove,
        (Tail::Torn(_) | Tail::Headless, false) => Action::Refuse,
        (Tail::BelowMark(_) | Tail::HeaderBelowMark(_), _) => Action::Refuse,
    }
}

/// [`action`] for a scanned file of `len` bytes, with the reason of a refusal.
pub(crate) fn decide(found: &Scan, last: bool, len: u64) -> Result<Action, String> {
    // A sealed segment is cut to its last record, so anything behind it is not ours.
    let (tail, why) = match &found.tail {
        Tail::Clean if !last && found.end != len => (
            &Tail::Torn("a sealed segment ends early"),
            "a sealed segment ends early",
        ),
        Tail::Clean => (&Tail::Clean, ""),
        Tail::Headless => (&Tail::Headless, "the segment has no header"),
        tail @ (Tail::Torn(why) | Tail::BelowMark(why) | Tail::HeaderBelowMark(why)) => {
            (tail, *why)
        }
    };
    match action(tail, last) {
        Action::Refuse => Err(why.to_owned()),
        action => Ok(action),
    }
}

/// The segment that is written to.
pub(crate) struct Active<F: FileSystem> {
    pub(crate) number: u64,
    pub(crate) file: Arc<F::File>,
    /// Where the next record goes.
    pub(crate) offset: u64,
}

/// A log, read from its files.
pub(crate) struct Recovered<F: FileSystem> {
    pub(crate) state: HardState,
    pub(crate) table: Table<F>,
    pub(crate) active: Active<F>,
}

/// Reads the log, cuts a torn tail, refuses damage. `known` are the catalog's summaries: sealed
/// segments whose entries are all purged are taken from there unread.
pub(crate) fn recover<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    known: &BTreeMap<u64, Summary>,
    used_before: bool,
) -> Result<Recovered<F>, Error> {
    let (numbers, last_header) = find_segments(fs, layout)?;
    let Some(last_number) = numbers.last().copied() else {
        return begin(fs, layout, options, used_before);
    };
    let purged = last_header.and_then(|header| header.state.purged);
    let mut table = Table::new();
    let mut rebuild = Rebuild::default();
    let mut buf = Vec::new();
    let mut unread = true;
    for number in numbers {
        let path = layout.segment(number);
        let last = number == last_number;
        if unread
            && !last
            && let Some(summary) = trusted(fs, layout, known, number, purged)?
        {
            table.push(not_indexed(summary), false, None);
            continue;
        }
        unread = false;
        let file = Arc::new(fs::read_into(fs, &path, &mut buf)?);
        let found = replay::scan(&buf, number, &path, &mut rebuild)
            .map_err(|stop| stop.into_error(&path))?;
        check_cluster(options, layout, &found)?;
        let action =
            decide(&found, last, buf.len() as u64).map_err(|why| damaged(&path, found.end, why))?;
        if action == Action::Cut {
            cut(&*file, &path, &found, buf.len() as u64)?;
        }
        let index = rebuild.finish_segment(&found);
        table.push(index, true, Some(file.clone()));
        if last {
            let active = Active {
                number,
                file,
                offset: found.end,
            };
            return finish(fs, layout, options, rebuild.state, table, active);
        }
    }
    // The loop returns at the last segment, which exists.
    Err(damaged(
        &layout.segment(last_number),
        0,
        "the last segment vanished",
    ))
}

/// What is known of a segment whose file was not read.
fn not_indexed(summary: Summary) -> Index {
    Index {
        summary,
        ..Index::default()
    }
}

/// The segments' numbers, ascending, and the header of the last one. A last file that has no header
/// was being created when the power went, and is removed.
fn find_segments<F: FileSystem>(
    fs: &F,
    layout: &Layout,
) -> Result<(Vec<u64>, Option<SegmentHeader>), Error> {
    let mut numbers = replay::list_segments(fs, layout)?;
    let Some(last) = numbers.last().copied() else {
        return Ok((numbers, None));
    };
    if let Some(header) = peek(fs, layout, last)? {
        return Ok((numbers, Some(header)));
    }
    remove_headless(fs, layout, last, numbers.len() > 1 || last == 1)?;
    numbers.pop();
    let header = match numbers.last() {
        Some(last) => peek(fs, layout, *last)?,
        None => None,
    };
    Ok((numbers, header))
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
    active
        .file
        .preallocate(options.segment_bytes)
        .during("preallocate", &path)?;
    // What was read, names included, came from the page cache and may never have reached the
    // disk: a sync failed, or the process was killed before it. Nothing counts as durable until
    // it is synced again.
    active.file.sync().during("sync", &path)?;
    fs.sync_dir(&layout.wal).during("sync", &layout.wal)?;
    // Committed runs ahead of the log when its record survived a crash and the entries did not
    // have to: openraft cannot apply what is not there.
    state.committed = state.committed.min(state.last);
    Ok(Recovered {
        state,
        table,
        active,
    })
}

fn peek<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    number: u64,
) -> Result<Option<SegmentHeader>, Error> {
    let path = layout.segment(number);
    let file = fs.open(&path).during("open", &path)?;
    let mut bytes = vec![0; 4096];
    let mut len = 0;
    while len < bytes.len() {
        match file
            .read_at(&mut bytes[len..], len as u64)
            .during("read", &path)?
        {
            0 => break,
            n => len += n,
        }
    }
    match SegmentHeader::decode(&bytes[..len]) {
        Ok((header, _)) => Ok(Some(header)),
        Err(crate::format::HeaderFault::Damaged(_)) => Ok(None),
        Err(crate::format::HeaderFault::Unsupported(what)) => {
            Err(Error::Unsupported { file: path, what })
        }
    }
}

/// The last file has no valid header: either its creation was cut short, or it is damaged.
fn remove_headless<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    number: u64,
    has_predecessor: bool,
) -> Result<(), Error> {
    let path = layout.segment(number);
    let mut buf = Vec::new();
    fs::read_into(fs, &path, &mut buf)?;
    let found = replay::scan(&buf, number, &path, &mut Rebuild::default())
        .map_err(|stop| stop.into_error(&path))?;
    decide(&found, true, buf.len() as u64).map_err(|why| damaged(&path, 0, why))?;
    if !has_predecessor {
        return Err(damaged(&path, 0, "the only segment has no header"));
    }
    tracing::warn!(file = %path.display(), "removing a log segment whose creation was cut short");
    fs.remove(&path).during("remove", &path)?;
    fs.sync_dir(&layout.wal).during("sync", &layout.wal)
}

/// The catalog's word on a segment, if the file still is what the catalog describes and nothing
/// in it is needed to start.
fn trusted<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    known: &BTreeMap<u64, Summary>,
    number: u64,
    purged: Option<crate::types::LogId>,
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
    if theirs == 0 || options.cluster_id == 0 || theirs == options.cluster_id {
        return Ok(());
    }
    Err(Error::WrongIdentity {
        dir: layout.dir.clone(),
        found: format!("cluster {}", uuid::Uuid::from_u128(theirs)),
        expected: format!("cluster {}", uuid::Uuid::from_u128(options.cluster_id)),
    })
}

fn cut(file: &impl File, path: &Path, found: &Scan, len: u64) -> Result<(), Error> {
    tracing::warn!(
        file = %path.display(),
        offset = found.end,
        bytes = len.saturating_sub(found.end),
        "cutting off a batch that a crash left unfinished; nothing acknowledged is lost",
    );
    // Cut, not overwritten: valid records behind the bad one would come back to life when the
    // log grew up to where they are.
    file.set_len(found.end).during("cut", path)?;
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

/// Creates a segment, durable with its header before anything is written to it.
pub(crate) fn create_segment<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    options: &Options,
    number: u64,
    state: HardState,
) -> Result<(Active<F>, Index), Error> {
    let path = layout.segment(number);
    let header = SegmentHeader {
        cluster_id: options.cluster_id,
        segment: number,
        created_ms: options.now_ms(),
        state,
    };
    let bytes = header.encode();
    let file = fs.create(&path).during("create", &path)?;
    file.preallocate(options.segment_bytes)
        .during("preallocate", &path)?;
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
        file: Arc::new(file),
        offset: bytes.len() as u64,
    };
    Ok((active, index))
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
