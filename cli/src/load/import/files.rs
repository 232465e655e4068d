//! Files beside an import: the rows that were refused, and how many rows are done.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Error;

/// How often the number of rows that are done is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The rows that were refused, in the form in which they came.
pub(super) struct RejectedRows {
    file: Option<(BufWriter<File>, PathBuf)>,
}

impl RejectedRows {
    /// Makes the file, with the header of the source.
    pub(super) fn open(path: Option<&Path>, header: Option<&str>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self { file: None });
        };
        let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
        let mut rows = Self {
            file: Some((BufWriter::new(file), path.to_owned())),
        };
        if let Some(header) = header {
            rows.add(header)?;
        }
        Ok(rows)
    }

    pub(super) fn add(&mut self, raw: &str) -> Result<(), Error> {
        let Some((file, path)) = &mut self.file else {
            return Ok(());
        };
        writeln!(file, "{raw}").map_err(|error| cannot_write(path, &error))
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        let Some((mut file, path)) = self.file else {
            return Ok(());
        };
        file.flush().map_err(|error| cannot_write(&path, &error))
    }
}

/// How many rows from the first one on are done. Rows end in another order than they came.
pub(super) struct DoneRows {
    path: Option<PathBuf>,
    rows: u64,
    /// Rows that are done behind one that is not.
    ahead: BTreeSet<u64>,
    saved: u64,
    saved_at: Instant,
}

impl DoneRows {
    /// Reads how many are done, if the file is there.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let rows = match path {
            Some(path) if path.exists() => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::Usage(format!("cannot read {}: {error}", path.display()))
                })?;
                text.trim().parse().map_err(|_| {
                    let problem = "it must hold the number of rows that are done";
                    Error::Usage(format!("{}: {problem}", path.display()))
                })?
            }
            _ => 0,
        };
        Ok(Self {
            path: path.map(Path::to_owned),
            rows,
            ahead: BTreeSet::new(),
            saved: rows,
            saved_at: Instant::now(),
        })
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn add(&mut self, number: u64) -> Result<(), Error> {
        self.ahead.insert(number);
        while self.ahead.remove(&(self.rows + 1)) {
            self.rows += 1;
        }
        // The clock is looked at now and then only.
        let is_due = self.rows.is_multiple_of(64) && self.saved_at.elapsed() >= SAVE_EVERY;
        if is_due { self.save() } else { Ok(()) }
    }

    /// Writes the number, whole: a crash leaves the old file or the new one.
    pub(super) fn save(&mut self) -> Result<(), Error> {
        self.saved_at = Instant::now();
        let Some(path) = self.path.as_deref().filter(|_| self.rows != self.saved) else {
            return Ok(());
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let written = std::fs::write(&beside, format!("{}\n", self.rows));
        written
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|error| cannot_write(path, &error))?;
        self.saved = self.rows;
        Ok(())
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_rows_without_a_gap_before_them_count_as_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("done");
        let mut done = DoneRows::open(Some(&path)).unwrap();
        for number in [1, 3, 4, 2, 6] {
            done.add(number).unwrap();
        }
        done.save().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "4\n");
        assert_eq!(DoneRows::open(Some(&path)).unwrap().rows(), 4);
        std::fs::write(&path, "none").unwrap();
        assert!(DoneRows::open(Some(&path)).is_err());
    }

    #[test]
    fn refused_rows_are_a_file_that_can_be_imported() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rejected.csv");
        let mut rows = RejectedRows::open(Some(&path), Some("id,state")).unwrap();
        rows.add("a,\"b\nc\"").unwrap();
        rows.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "id,state\na,\"b\nc\"\n");
    }
}
