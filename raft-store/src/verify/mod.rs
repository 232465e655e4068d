//! Reading everything in a data folder and saying what is wrong with it.

mod decoding;
mod owner;
mod report;

pub use owner::{Owner, owner_of};
pub use report::{Damage, VerifyReport};

use std::io;
use std::path::Path;

use crate::crypto::Keyring;
use crate::error::{Error, damaged};
use crate::folder::identity;
use crate::folder::roster;
use crate::folder::unfinished::refuse_unfinished;
use crate::folder::{Layout, PEERS_NAME};
use crate::format::{HardState, LogPosition};
use crate::fs::{self, FileSystem};
use crate::log::catalog::Catalog;
use crate::segment::history_file;
use crate::segment::recovery;
use crate::segment::scan::{ScannedFile, scan};
use crate::segment::survey::{SegmentAction, Segments, find_segments};
use crate::segment::{Index, SegmentTable};
use crate::snapshot;
use crate::types::next_index;
use decoding::Decoding;
use report::Before;

/// How many attempts verification makes to read the log of a running node before it reports the log as unreadable.
const LOOKS_MAX: u32 = 5;

/// A data folder being verified.
struct VerifiedFolder<'a, F> {
    fs: &'a F,
    layout: &'a Layout,
    keys: &'a Keyring,
    /// The cluster's id; 0 when it is not known.
    cluster_id: u128,
    /// A node runs on the folder, so the end of its log is changing.
    running: bool,
    /// The report of an earlier pass, if there was one. Then only the files that looked damaged are read.
    earlier: Option<&'a VerifyReport>,
}

impl<F> VerifiedFolder<'_, F> {
    /// Whether to read the file, or to go through the folder, at `path`.
    fn has_to_read(&self, path: &Path) -> bool {
        self.earlier
            .is_none_or(|earlier| earlier.suspects.contains_key(path))
    }

    /// The state of the log before a segment that looked damaged.
    fn before(&self, segment: &Path) -> Option<Before> {
        self.earlier?.suspects.get(segment).copied()
    }
}

/// Reads everything in `dir`, with the keys it is encrypted with: segments, history, snapshots,
/// catalog, identity, roster. Changes and creates nothing, so the right to read is enough.
///
/// While a node runs on the folder, its files change as they are read. So a file that looks damaged is then
/// read again. It counts as damaged only if it looks damaged at the same place both times.
pub fn verify<F: FileSystem>(fs: &F, dir: &Path, keys: &Keyring, catalog: bool) -> VerifyReport {
    let layout = Layout::of(dir);
    let lock = fs.lock_existing(&layout.lock);
    let is_held = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    let running = lock.as_ref().is_err_and(is_held);
    if running {
        let mut report = read_running(fs, &layout, keys);
        let note = "a node is running on this folder: this report may lack its latest writes";
        report.notes.insert(0, note.into());
        return report;
    }
    let (mut report, table) = read(fs, &layout, keys, false, None);
    match &lock {
        // If anything else is wrong, the catalog disagrees only because of that.
        Ok(_) if catalog && report.is_intact() => verify_catalog(&layout, &table, &mut report),
        Ok(_) => {}
        Err(error) => {
            let unknown = format!(
                "cannot tell whether a node is running on this folder: {} cannot be opened: {error}",
                layout.lock.display()
            );
            report.notes.insert(0, unknown);
        }
    }
    report
}

/// Reads everything while a node runs on the folder, and reads again what looks damaged.
fn read_running<F: FileSystem>(fs: &F, layout: &Layout, keys: &Keyring) -> VerifyReport {
    let mut looks = 1;
    loop {
        let (mut report, _) = read(fs, layout, keys, true, None);
        if report.is_intact() && report.nameless.is_none() {
            return report;
        }
        let (again, _) = read(fs, layout, keys, true, Some(&report));
        let wal_was_wrong = report.suspects.contains_key(&layout.wal);
        if !wal_was_wrong || again.suspects.contains_key(&layout.wal) {
            report.keep_confirmed(&again);
            return report;
        }
        // The first attempt has not read the log, so its report lacks the log. If no attempt succeeds, that is
        // reported.
        if looks == LOOKS_MAX {
            return report;
        }
        looks += 1;
    }
}

/// Reads everything, or only the files that looked damaged `earlier`.
fn read<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    keys: &Keyring,
    running: bool,
    earlier: Option<&VerifyReport>,
) -> (VerifyReport, SegmentTable<F>) {
    let mut report = VerifyReport::default();
    let identity = identity::read(fs, layout);
    report.has_identity = !matches!(identity, Ok(None));
    let cluster_id = match identity {
        Ok(identity) => identity.map_or(0, |identity| identity.cluster_id),
        Err(error) => {
            report.damage(error, &layout.identity);
            0
        }
    };
    let folder = VerifiedFolder {
        fs,
        layout,
        keys,
        cluster_id,
        running,
        earlier,
    };
    let mut finished = true;
    if let Err(error) = refuse_unfinished(fs, layout) {
        // The identity is written last, and removed last.
        finished = false;
        report.damage(error, &layout.dir);
    }
    if let Err(error) = roster::read(fs, layout) {
        report.damage(error, &layout.peers);
    }
    let table = verify_log(&folder, &mut report);
    verify_snapshots(&folder, &mut report);
    if finished && !report.has_identity {
        verify_nameless(&folder, &mut report);
    }
    (report, table)
}

/// The content of a folder without an identity. A first start creates the log's first segment, then writes
/// the identity, then everything else.
fn verify_nameless<F: FileSystem>(folder: &VerifiedFolder<'_, F>, report: &mut VerifyReport) {
    let VerifiedFolder { fs, layout, .. } = *folder;
    // A segment that cannot be read proves nothing: an interrupted first start with another key leaves one, too.
    let log = report.log_used || !report.damages.is_empty();
    let segments = if log { report.segments } else { 0 };
    let snapshots = snapshot::list_files(fs, &layout.snapshots).map_or(0, |files| files.len());
    let counted = [
        (segments, "segment of the log", "segments of the log"),
        (snapshots as u64, "snapshot", "snapshots"),
        (report.history_files, "file of history", "files of history"),
    ];
    let counted = counted.into_iter().filter(|(count, ..)| *count > 0);
    let mut held: Vec<String> = counted
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    if fs::exists(fs, &layout.dir, PEERS_NAME).unwrap_or(false) {
        held.push(PEERS_NAME.to_owned());
    }
    if !held.is_empty() {
        report.nameless = Some(held.join(", "));
    } else if report.segments == 0 && report.is_intact() {
        let note = "the folder is empty: it holds no log and no snapshot of any node";
        report.notes.push(note.into());
    }
}

fn verify_log<F: FileSystem>(
    folder: &VerifiedFolder<'_, F>,
    report: &mut VerifyReport,
) -> SegmentTable<F> {
    let VerifiedFolder { fs, layout, .. } = *folder;
    let mut table = SegmentTable::new();
    let segments = match find_segments(fs, layout) {
        Ok(segments) => segments,
        // Its folder is gone, and so is the whole log.
        Err(Error::Io { path, source, .. })
            if path == layout.wal && source.kind() == io::ErrorKind::NotFound =>
        {
            Segments::default()
        }
        Err(error) => {
            report.damage(error, &layout.wal);
            return table;
        }
    };
    let decoding = verify_segments(folder, &segments, &mut table, report);
    if let Some((index, membership)) = decoding.membership() {
        report.learn_membership(index, &membership);
    }
    let rebuild = decoding.rebuild;
    report.log_used =
        rebuild.state != HardState::default() || segments.numbers().any(|number| number != 1);
    if segments.last().is_none() && folder.cluster_id != 0 {
        let missing = layout.segment(1);
        let what = "the folder was in use, but its log is gone";
        report.damage(damaged(&missing, 0, what), &missing);
    }
    if folder.has_to_read(&layout.wal)
        && report.is_intact()
        && let Err(error) = recovery::check_begin(layout, &table, &rebuild.state)
    {
        report.damage(error, &layout.wal);
    }
    report.purged = rebuild.state.purged.map(|id| id.index);
    report.entries = rebuild.entries;
    let last = rebuild.state.last;
    report.range = table.earliest().zip(last.map(|last| last.index));
    let log_first = table.earliest().unwrap_or(next_index(last));
    verify_history(folder, log_first, report);
    table
}

/// Reads the segments, and returns the log that they form.
fn verify_segments<F: FileSystem>(
    folder: &VerifiedFolder<'_, F>,
    segments: &Segments,
    table: &mut SegmentTable<F>,
    report: &mut VerifyReport,
) -> Decoding {
    let layout = folder.layout;
    // If it does not fit the purged log id, any segment may be the damaged one.
    let whole = folder.has_to_read(&layout.wal);
    let mut decoding = Decoding::default();
    for number in segments.numbers() {
        let path = layout.segment(number);
        if !whole {
            let Some(before) = folder.before(&path) else {
                continue;
            };
            decoding.go_on(before);
        }
        let before = decoding.before();
        match verify_segment(folder, segments, number, &mut decoding, report) {
            Ok(index) => table.push(index, true, None),
            Err(error) => {
                report.damage_behind(error, &path, before);
                // Segments after a damaged one are still read, each on its own.
                decoding.go_on(Before::default());
            }
        }
        report.segments += 1;
    }
    decoding
}

fn verify_history<F: FileSystem>(
    folder: &VerifiedFolder<'_, F>,
    log_first: u64,
    report: &mut VerifyReport,
) {
    let VerifiedFolder {
        fs, layout, keys, ..
    } = *folder;
    let ranges = match history_file::list(fs, layout) {
        Ok(ranges) => ranges,
        Err(error) => return report.damage(error, &layout.history),
    };
    for range in &ranges {
        let path = layout.history_file(range.0, range.1);
        if !folder.has_to_read(&path) {
            continue;
        }
        report.history_files += 1;
        match history_file::verify_file(fs, layout, keys, *range, folder.cluster_id) {
            Ok(entries) => report.entries += entries,
            Err(error) => report.damage(error, &path),
        }
    }
    let (joined, useless) = history_file::join(ranges, log_first);
    if let (Some((first, _)), Some((_, end))) = (joined.last(), joined.first()) {
        let last = report.range.map_or(*end, |(_, last)| last);
        report.range = Some((*first, last));
    }
    if !report.is_intact() {
        // Then the beginning of the log is not certain.
        return;
    }
    for (first, last) in useless {
        report.notes.push(format!(
            "{}: it does not join the log, which begins at {log_first}, and will be removed at \
             the next start",
            layout.history_file(first, last).display(),
        ));
    }
}

fn verify_segment<F: FileSystem>(
    folder: &VerifiedFolder<'_, F>,
    segments: &Segments,
    number: u64,
    decoding: &mut Decoding,
    report: &mut VerifyReport,
) -> Result<Index, Error> {
    let path = folder.layout.segment(number);
    let mut buf = Vec::new();
    fs::read_into(folder.fs, &path, &mut buf)?;
    let source = ScannedFile {
        number,
        path: &path,
        keys: folder.keys,
    };
    let found = scan(&buf, source, decoding)?;
    let action = segments.decide(number, &found, folder.layout)?;
    if action == SegmentAction::Clear && !folder.running {
        report.notes.push(format!(
            "{}: an unfinished batch at offset {} will be cleared at the next start",
            path.display(),
            found.end,
        ));
    }
    report.end = LogPosition {
        segment: number,
        offset: found.end,
    };
    Ok(decoding.rebuild.finish_segment(&found))
}

fn verify_snapshots<F: FileSystem>(folder: &VerifiedFolder<'_, F>, report: &mut VerifyReport) {
    let VerifiedFolder {
        fs, layout, keys, ..
    } = *folder;
    let files = match snapshot::list_files(fs, &layout.snapshots) {
        Ok(files) => files,
        Err(error) => return report.damage(error, &layout.snapshots),
    };
    for path in files {
        if !folder.has_to_read(&path) {
            continue;
        }
        match snapshot::verify_file(fs, &path, keys, folder.cluster_id) {
            Ok((info, stored)) => {
                report.snapshots.push(info);
                if let Some(id) = stored.log_id() {
                    report.learn_membership(id.index, stored.membership());
                }
            }
            Err(error) => report.damage(error, &path),
        }
    }
}

fn verify_catalog<F: FileSystem>(
    layout: &Layout,
    table: &SegmentTable<F>,
    report: &mut VerifyReport,
) {
    let known = match Catalog::peek(layout) {
        Ok(known) => known,
        Err(reason) => {
            let note = format!("the catalog was not compared with the files: {reason}");
            return report.notes.push(note);
        }
    };
    let sealed = table.held.len().saturating_sub(1);
    let agrees = known.len() == sealed
        && table
            .summaries()
            .take(sealed)
            .all(|summary| known.get(&summary.number) == Some(summary));
    if !agrees {
        let note = "the catalog disagrees with the files; it will be rebuilt at the next start";
        report.notes.push(note.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_files_are_told_from_others() {
        for name in [
            "wal",
            "snapshots",
            "history",
            "catalog",
            "identity.json",
            PEERS_NAME,
        ] {
            assert_eq!(owner_of(name), Owner::Node, "{name}");
        }
        for name in ["LOCK", "lost+found"] {
            assert_eq!(owner_of(name), Owner::System, "{name}");
        }
        for name in ["manifest.json", "WAL", "wal2", ""] {
            assert_eq!(owner_of(name), Owner::Other, "{name}");
        }
    }
}
