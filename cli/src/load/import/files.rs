//! Files beside an import: the rows that were refused, and how many rows are done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::input::STDIN;

/// How often the number of rows that are done is written.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Refuses files that are the same one: to write one of them would destroy the other.
pub(super) fn check_apart(
    input: &str,
    rejected: Option<&Path>,
    resume: Option<&Path>,
) -> Result<(), Error> {
    let input = match input {
        // Standard input may be a file, too.
        STDIN => Path::new("/dev/stdin"),
        path => Path::new(path),
    };
    let beside = resume.map(beside);
    let written = [
        ("--rejected", rejected),
        ("--resume", resume),
        // This one is written with the resume file.
        ("--resume", beside.as_deref()),
    ];
    let mut named = vec![("the rows", input)];
    for (option, path) in written {
        let Some(path) = path else { continue };
        if let Some((other, _)) = named.iter().find(|(_, named)| is_same(named, path)) {
            let path = path.display();
            return Err(Error::Usage(format!(
                "{option}: {path} is the file of {other}, too; name another one"
            )));
        }
        named.push((option, path));
    }
    Ok(())
}

/// Whether two paths lead to one file. Terminals and the like are not destroyed by writing.
fn is_same(one: &Path, other: &Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(first), Ok(second)) => {
            first.is_file()
                && second.is_file()
                && (is_same_node(&first, &second) || place(one) == place(other))
        }
        // Neither is there yet.
        (Err(_), Err(_)) => place(one) == place(other),
        _ => false,
    }
}

#[cfg(unix)]
fn is_same_node(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same_node(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// The path without links, also of a file that is not there yet.
fn place(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new(".")).canonicalize();
        match (folder, path.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            _ => path.to_owned(),
        }
    })
}

/// The file that takes the place of the resume file once it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The rows that were refused, in the form and in the order in which they came.
pub(super) struct RejectedRows {
    file: Option<(BufWriter<File>, PathBuf)>,
    /// Rows that wait for earlier ones, which may be refused as well.
    waiting: BTreeMap<u64, Vec<u8>>,
}

impl RejectedRows {
    /// Makes the file, with the header of the source. What an earlier part of the import wrote is kept if `goes_on`.
    pub(super) fn open(
        path: Option<&Path>,
        header: Option<&str>,
        goes_on: bool,
    ) -> Result<Self, Error> {
        let waiting = BTreeMap::new();
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                waiting,
            });
        };
        let opened = match goes_on {
            true => open_behind(path),
            false => File::create(path).map(|file| (file, true)),
        };
        let (file, is_empty) = opened.map_err(|error| cannot_write(path, &error))?;
        let mut rows = Self {
            file: Some((BufWriter::new(file), path.to_owned())),
            waiting,
        };
        if let Some(header) = header.filter(|_| is_empty) {
            rows.write(header.as_bytes())?;
        }
        Ok(rows)
    }

    /// Takes a row. It is written once all rows before it are done.
    pub(super) fn add(&mut self, number: u64, raw: &[u8]) {
        if self.file.is_some() {
            self.waiting.insert(number, raw.to_owned());
        }
    }

    /// Writes the rows up to this one to the disk.
    pub(super) fn flush(&mut self, done: u64) -> Result<(), Error> {
        let later = self.waiting.split_off(&done.saturating_add(1));
        for raw in std::mem::replace(&mut self.waiting, later).into_values() {
            self.write(&raw)?;
        }
        match &mut self.file {
            None => Ok(()),
            Some((file, path)) => file.flush().map_err(|error| cannot_write(path, &error)),
        }
    }

    fn write(&mut self, raw: &[u8]) -> Result<(), Error> {
        let Some((file, path)) = &mut self.file else {
            return Ok(());
        };
        let written = file.write_all(raw).and_then(|()| file.write_all(b"\n"));
        written.map_err(|error| cannot_write(path, &error))
    }
}

/// Opens a file to write behind what it has; also says whether it has nothing.
fn open_behind(path: &Path) -> std::io::Result<(File, bool)> {
    let mut options = File::options();
    let mut file = options.read(true).append(true).create(true).open(path)?;
    if !file.metadata()?.is_file() || file.seek(SeekFrom::End(0))? == 0 {
        return Ok((file, true));
    }
    // A program that was killed may have left half of a row.
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok((file, false))
}

/// What a resume file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedRows {
    rows: u64,
    #[serde(flatten)]
    of: ImportMark,
}

/// Which import a resume file is of: the number of another one would skip rows that were never imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ImportMark {
    pub(super) machine: String,
    pub(super) version: u32,
    /// SHA-256 of the header and the first row.
    pub(super) begin: String,
}

/// How many rows from the first one on are done. Rows end in another order than they came.
pub(super) struct DoneRows {
    path: Option<PathBuf>,
    rows: u64,
    /// The import that the file is of; that of an earlier run until `check`.
    of: Option<ImportMark>,
    /// Rows that are done behind one that is not.
    ahead: BTreeSet<u64>,
    saved: u64,
    saved_at: Instant,
}

impl DoneRows {
    /// Reads how many are done, if the file is there.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let saved: Option<SavedRows> = match path {
            Some(path) if path.exists() => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::Usage(format!("cannot read {}: {error}", path.display()))
                })?;
                let saved = serde_json::from_str(&text).map_err(|_| {
                    let problem = "is no file that --resume of this version wrote. Name one that is not there: \
                                   rows that were imported before change nothing";
                    Error::Usage(format!("{} {problem}", path.display()))
                })?;
                Some(saved)
            }
            _ => None,
        };
        let rows = saved.as_ref().map_or(0, |saved| saved.rows);
        Ok(Self {
            path: path.map(Path::to_owned),
            rows,
            of: saved.map(|saved| saved.of),
            ahead: BTreeSet::new(),
            saved: rows,
            saved_at: Instant::now(),
        })
    }

    /// Refuses to go on with another import than that of the file.
    pub(super) fn check(&mut self, mark: ImportMark) -> Result<(), Error> {
        let of = self.of.replace(mark.clone());
        let (Some(path), Some(of)) = (&self.path, of) else {
            return Ok(());
        };
        let problem = if of.begin != mark.begin {
            "another file of rows: the header or the first row differs".to_owned()
        } else if of.machine != mark.machine {
            format!("machine {:?}", of.machine)
        } else if of.version != mark.version {
            format!("version {} of the machine (-V {0})", of.version)
        } else {
            return Ok(());
        };
        let path = path.display();
        Err(Error::Usage(format!(
            "--resume: {path} is of an import of {problem}. Name another file, or remove this one to begin with \
             the first row"
        )))
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Notes a row; says whether it is time to save.
    pub(super) fn add(&mut self, number: u64) -> bool {
        self.ahead.insert(number);
        while self.ahead.remove(&(self.rows + 1)) {
            self.rows += 1;
        }
        // The clock is looked at now and then only.
        self.rows.is_multiple_of(64) && self.saved_at.elapsed() >= SAVE_EVERY
    }

    /// Writes the number, whole: a crash leaves the old file or the new one.
    pub(super) fn save(&mut self) -> Result<(), Error> {
        self.saved_at = Instant::now();
        let path = self.path.as_deref().filter(|_| self.rows != self.saved);
        let (Some(path), Some(of)) = (path, &self.of) else {
            return Ok(());
        };
        let saved = SavedRows {
            rows: self.rows,
            of: of.clone(),
        };
        let mut text = serde_json::to_string(&saved).map_err(Error::unexpected)?;
        text.push('\n');
        let beside = beside(path);
        std::fs::write(&beside, text)
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
#[path = "files_tests.rs"]
mod tests;
