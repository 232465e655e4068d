//! Reading everything in a data folder and saying what is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::error::Error;
use crate::format::Position;
use crate::fs::{self, FileSystem};
use crate::history;
use crate::identity;
use crate::options::Layout;
use crate::rebuild::Rebuild;
use crate::recovery::{self, Action};
use crate::replay;
use crate::roster;
use crate::segment::{Index, Table};
use crate::snapshot::{self, SnapshotInfo};
use crate::store;
use crate::tail::next_index;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// What is lost by it.
    pub lost: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(
            f,
            "{file} at offset {}: {}; lost: {}",
            self.offset, self.what, self.lost
        )
    }
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything that is wrong; empty means that the node can start and serve all it should.
    pub damages: Vec<Damage>,
    /// What is no damage, but worth saying.
    pub notes: Vec<String>,
    /// Segment files read.
    pub segments: u64,
    /// Files read with history from other nodes.
    pub history_files: u64,
    /// Entries read.
    pub entries: u64,
    /// The first and last index that can be read, history included.
    pub range: Option<(u64, u64)>,
    /// Where the log ends.
    pub end: Position,
    /// Intact snapshots.
    pub snapshots: Vec<SnapshotInfo>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.damages.is_empty()
    }

    fn damage(&mut self, error: Error, path: &Path) {
        self.damages.push(match error {
            Error::Damaged {
                file,
                offset,
                what,
                covers,
                ..
            } => Damage {
                file,
                offset,
                what,
                lost: covers,
            },
            other => Damage {
                file: path.to_owned(),
                offset: 0,
                what: other.to_string(),
                lost: "whatever the file holds".into(),
            },
        });
    }
}

/// Reads everything in `dir`: segments, history, snapshots, catalog, identity, roster. Changes nothing but a catalog that
/// cannot be opened. Run it on a stopped node; a running one makes the log's end look torn.
pub fn verify<F: FileSystem>(fs: &F, dir: &Path, catalog: bool) -> Report {
    let layout = Layout::of(dir);
    let mut report = Report::default();
    let lock = store::take_lock(fs, &layout);
    if let Err(error) = &lock {
        report.notes.push(error.to_string());
    }
    let cluster_id = match identity::read(fs, &layout) {
        Ok(identity) => identity.map_or(0, |identity| identity.cluster_id),
        Err(error) => {
            report.damage(error, &layout.identity);
            0
        }
    };
    if let Err(error) = roster::read(fs, &layout) {
        report.damage(error, &layout.peers);
    }
    let table = verify_log(fs, &layout, cluster_id, &mut report);
    verify_snapshots(fs, &layout, &mut report);
    // A running node holds the catalog open.
    if catalog && lock.is_ok() {
        verify_catalog(&layout, &table, &mut report);
    }
    report
}

fn verify_log<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    cluster_id: u128,
    report: &mut Report,
) -> Table<F> {
    let mut table = Table::new();
    let numbers = match replay::list_segments(fs, layout) {
        Ok(numbers) => numbers,
        Err(error) => {
            report.damage(error, &layout.wal);
            return table;
        }
    };
    let mut rebuild = Rebuild::default();
    for (n, number) in numbers.iter().enumerate() {
        let last = n + 1 == numbers.len();
        match verify_segment(fs, layout, *number, last, &mut rebuild, report) {
            Ok(index) => table.push(index, true, None),
            Err(error) => {
                report.damage(error, &layout.segment(*number));
                // What follows a damaged segment is still read, on its own.
                let entries = rebuild.entries;
                rebuild = Rebuild {
                    entries,
                    ..Rebuild::default()
                };
            }
        }
        report.segments += 1;
    }
    report.entries = rebuild.entries;
    let last = rebuild.state.last;
    report.range = table.earliest().zip(last.map(|last| last.index));
    let log_first = table.earliest().unwrap_or(next_index(last));
    verify_history(fs, layout, (log_first, cluster_id), report);
    table
}

fn verify_history<F: FileSystem>(
    fs: &F,
    layout: &Layout,
    (log_first, cluster_id): (u64, u128),
    report: &mut Report,
) {
    let ranges = match history::list(fs, layout) {
        Ok(ranges) => ranges,
        Err(error) => return report.damage(error, &layout.history),
    };
    for range in &ranges {
        report.history_files += 1;
        match history::verify_file(fs, layout, *range, cluster_id) {
            Ok(entries) => report.entries += entries,
            Err(error) => report.damage(error, &layout.history_file(range.0, range.1)),
        }
    }
    let (joined, useless) = history::join(ranges, log_first);
    if let (Some((first, _)), Some((_, end))) = (joined.last(), joined.first()) {
        let last = report.range.map_or(*end, |(_, last)| last);
        report.range = Some((*first, last));
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
    fs: &F,
    layout: &Layout,
    number: u64,
    last: bool,
    rebuild: &mut Rebuild,
    report: &mut Report,
) -> Result<Index, Error> {
    let path = layout.segment(number);
    let mut buf = Vec::new();
    fs::read_into(fs, &path, &mut buf)?;
    let found =
        replay::scan(&buf, number, &path, rebuild).map_err(|stop| stop.into_error(&path))?;
    let action = recovery::decide(&found, last, buf.len() as u64)
        .map_err(|why| replay::damaged(&path, found.end, why))?;
    if matches!(action, Action::Cut | Action::Remove) {
        report.notes.push(format!(
            "{}: an unfinished batch at offset {} will be cut off at the next start",
            path.display(),
            found.end,
        ));
    }
    report.end = Position {
        segment: number,
        offset: found.end,
    };
    Ok(rebuild.finish_segment(&found))
}

fn verify_snapshots<F: FileSystem>(fs: &F, layout: &Layout, report: &mut Report) {
    let files = match snapshot::list_files(fs, &layout.snapshots) {
        Ok(files) => files,
        Err(error) => return report.damage(error, &layout.snapshots),
    };
    for path in files {
        match snapshot::verify_file(fs, &path) {
            Ok(info) => report.snapshots.push(info),
            Err(error) => report.damage(error, &path),
        }
    }
}

fn verify_catalog<F: FileSystem>(layout: &Layout, table: &Table<F>, report: &mut Report) {
    let known = Catalog::open(layout, true).segments();
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
