//! Shows a whole log to a visitor, record by record. Dumps and other tools read the log with this.

use std::path::Path;

use crate::crypto::Keyring;
use crate::error::Error;
use crate::folder::Layout;
use crate::fs::{self, FileSystem};
use crate::segment::history_file;
use crate::segment::scan::{ScannedFile, scan, scan_whole};
use crate::segment::summary::HISTORY_BIT;
use crate::segment::survey;

pub use crate::segment::scan::RecordVisitor;

/// Shows every readable record of the log in `dir` to `visitor`. A torn tail of the last
/// segment ends the replay; damage is an error, and so is a key that `keys` lacks.
pub fn visit<F: FileSystem>(
    fs: &F,
    dir: &Path,
    keys: &Keyring,
    visitor: &mut dyn RecordVisitor,
) -> Result<(), Error> {
    let layout = Layout::of(dir);
    let segments = survey::find_segments(fs, &layout)?;
    let mut buf = Vec::new();
    for number in segments.numbers() {
        let path = layout.segment(number);
        fs::read_into(fs, &path, &mut buf)?;
        let source = ScannedFile {
            number,
            path: &path,
            keys,
        };
        let found = scan(&buf, source, visitor)?;
        segments.decide(number, &found, &layout)?;
    }
    Ok(())
}

/// Shows every record of the history files in `dir`, which came from other nodes, to `visitor`: oldest
/// first, and before any of [`visit`]. Files may overlap, and need not join the log.
pub fn visit_history<F: FileSystem>(
    fs: &F,
    dir: &Path,
    keys: &Keyring,
    visitor: &mut dyn RecordVisitor,
) -> Result<(), Error> {
    let layout = Layout::of(dir);
    let mut ranges = history_file::list(fs, &layout)?;
    ranges.sort_unstable();
    let mut buf = Vec::new();
    for (first, last) in ranges {
        let path = layout.history_file(first, last);
        fs::read_into(fs, &path, &mut buf)?;
        let source = ScannedFile {
            number: HISTORY_BIT | first,
            path: &path,
            keys,
        };
        scan_whole(&buf, source, visitor)?;
    }
    Ok(())
}
