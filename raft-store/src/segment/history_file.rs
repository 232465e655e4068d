//! History files: lists them, finds those that join the log, and checks that the content of each fits its name.

use std::cmp::Reverse;
use std::io::ErrorKind;
use std::path::Path;

use crate::crypto::Keyring;
use crate::error::{Error, IoContext, damaged};
use crate::folder::Layout;
use crate::folder::identity::are_different_clusters;
use crate::folder::layout::history_file_name;
use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::fs::{self, File, FileSystem};
use crate::segment::rebuild::Rebuild;
use crate::segment::scan::{Scan, ScannedFile, scan_whole};
use crate::segment::summary::{HISTORY_BIT, Index};

/// The first and last index of a history file (inclusive), as in its name.
pub(crate) type IndexRange = (u64, u64);

fn range_of(name: &str) -> Option<IndexRange> {
    let (first, last) = name.strip_suffix(".wal")?.split_once('-')?;
    let range = (first.parse().ok()?, last.parse().ok()?);
    let valid = range.0 <= range.1 && range.1 < HISTORY_BIT;
    (valid && history_file_name(range.0, range.1) == name).then_some(range)
}

/// The ranges of the history files in the folder; none when there is no folder.
pub(crate) fn list<F: FileSystem>(fs: &F, layout: &Layout) -> Result<Vec<IndexRange>, Error> {
    let dir = &layout.history;
    match fs.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        names => {
            let names = names.during("list", dir)?;
            Ok(names.iter().filter_map(|name| range_of(name)).collect())
        }
    }
}

/// Splits ranges into those that join each other and a log from `log_first` on, newest first,
/// and the rest.
pub(crate) fn join(
    mut ranges: Vec<IndexRange>,
    log_first: u64,
) -> (Vec<IndexRange>, Vec<IndexRange>) {
    // Of two files with the same last index (a crash can leave both), take the longer.
    ranges.sort_unstable_by_key(|(first, last)| (Reverse(*last), *first));
    let mut joined = log_first;
    ranges.into_iter().partition(|(first, last)| {
        let joins = last + 1 == joined;
        if joins {
            joined = *first;
        }
        joins
    })
}

/// The summary of a file, from its name, its length and its header.
pub(crate) fn index_of<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    keys: &Keyring,
    range: IndexRange,
) -> Result<Index, Error> {
    let path = layout.history_file(range.0, range.1);
    let file = fs.open(&path).during("open", &path)?;
    let mut index = Index::default();
    index.summary.number = HISTORY_BIT | range.0;
    index.summary.range = Some(range);
    index.summary.bytes = file.len().during("measure", &path)?;
    // Without a valid header the time is 0, the oldest. A read of the file reports the damage.
    let header = header_of(&file);
    index.batch(header.map_or(0, |header| header.created_ms));
    let key = header.and_then(|header| header.key);
    keys.for_file(key.as_ref(), &path)?;
    Ok(index)
}

fn header_of(file: &impl File) -> Option<SegmentHeader> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(SegmentHeader::decode(&bytes).ok()?.0)
}

/// Checks that a file holds the entries that its name says, from the right cluster (0: not known).
pub(crate) fn check_content(
    (named, found): (Option<IndexRange>, Option<IndexRange>),
    cluster_id: u128,
    path: &Path,
    scan: &Scan,
) -> Result<(), Error> {
    let theirs = scan.header.map_or(0, |header| header.cluster_id);
    if are_different_clusters(theirs, cluster_id) {
        let theirs = uuid::Uuid::from_u128(theirs);
        return Err(damaged(path, 0, format!("it belongs to cluster {theirs}")));
    }
    match found {
        _ if found == named => Ok(()),
        Some((first, last)) => {
            let what = format!("it holds the entries {first} to {last}, not those of its name");
            Err(damaged(path, scan.end, what))
        }
        None => Err(damaged(path, scan.end, "it holds no entries")),
    }
}

/// Reads a whole history file; the first damage is the error. Returns how many entries it holds.
pub(crate) fn verify_file<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    keys: &Keyring,
    range: IndexRange,
    cluster_id: u128,
) -> Result<u64, Error> {
    let path = layout.history_file(range.0, range.1);
    let index = index_of(fs, layout, keys, range)?;
    let mut buf = Vec::new();
    fs::read_into(fs, &path, &mut buf)?;
    let mut rebuild = Rebuild::default();
    let source = ScannedFile {
        number: index.summary.number,
        path: &path,
        keys,
    };
    scan_whole(&buf, source, &mut rebuild)
        .and_then(|found| {
            let held = rebuild.index.summary.range;
            check_content((Some(range), held), cluster_id, &path, &found)
        })
        .map_err(Error::in_history_file)?;
    Ok(rebuild.entries)
}
