//! The files of a backup: their names, and reading and checking them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::manifest::FILE_NAME;
use crate::stream::{LENGTH_BYTES, body_length};
use crate::writer::{BUFFER_BYTES, TEMPORARY_NAME};
use crate::{Error, FileInfo, LogEntry, LogFile, SnapshotFile};

/// The first bytes of a snapshot's file.
pub const SNAPSHOT_MAGIC: &[u8; 8] = b"RSTMBKS1";
/// The first bytes of a log's file.
pub const LOG_MAGIC: &[u8; 8] = b"RSTMBKL1";
/// Held while a backup is being written.
pub const LOCK_NAME: &str = "lock";

/// The name of a snapshot's file.
pub fn snapshot_name(offset: u64) -> String {
    format!("snapshot-{offset:020}.snap")
}

/// The name of a log's file.
pub fn log_name(first: u64, last: u64) -> String {
    format!("log-{first:020}-{last:020}.log")
}

/// Whether a file of this name belongs to a backup, finished or not.
pub fn is_ours(name: &str) -> bool {
    is_data(name) || [LOCK_NAME, TEMPORARY_NAME, FILE_NAME].contains(&name)
}

/// Whether this is the name of a snapshot's or a log's file.
pub fn is_data(name: &str) -> bool {
    name.starts_with("snapshot-") && name.ends_with(".snap")
        || name.starts_with("log-") && name.ends_with(".log")
}

/// Checks that a file exists and has its length. This is cheap, and finds a missing or shortened file.
///
/// # Errors
/// When it is not.
pub fn check_length(dir: &Path, info: &FileInfo) -> Result<(), Error> {
    let path = dir.join(&info.file);
    let len = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::damaged(&path, "it is missing"));
        }
        found => found.map_err(Error::io("read", &path))?.len(),
    };
    if len == info.bytes {
        return Ok(());
    }
    let what = format!("it has {len} bytes, but {} were written", info.bytes);
    Err(Error::damaged(&path, what))
}

/// Reads a whole file and checks it.
///
/// # Errors
/// When it is not what was written.
pub fn verify(dir: &Path, info: &FileInfo) -> Result<(), Error> {
    check_length(dir, info)?;
    let path = dir.join(&info.file);
    let mut file = File::open(&path).map_err(Error::io("open", &path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(Error::io("read", &path))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    if hex::encode(hasher.finalize()) == info.sha256 {
        return Ok(());
    }
    Err(Error::damaged(&path, "its checksum does not match"))
}

/// The records of a snapshot, in their order.
///
/// # Errors
/// When the file cannot be opened. Whether it is whole is known to [`verify`].
pub fn snapshot_records(dir: &Path, snapshot: &SnapshotFile) -> Result<Frames, Error> {
    Frames::open(dir, &snapshot.info, SNAPSHOT_MAGIC)
}

/// The entries of a log's file, in their order; each is checked to be the next one.
///
/// # Errors
/// When the file cannot be opened. Whether it is whole is known to [`verify`].
pub fn log_entries(
    dir: &Path,
    log: &LogFile,
) -> Result<impl Iterator<Item = Result<LogEntry, Error>> + use<>, Error> {
    let path = dir.join(&log.info.file);
    let frames = Frames::open(dir, &log.info, LOG_MAGIC)?;
    let mut next = log.first_offset;
    let entries = frames.map(move |body| {
        let entry = LogEntry::decode(body?).map_err(|what| Error::damaged(&path, what))?;
        if entry.offset != next {
            let what = format!("it holds entry {} where {next} must follow", entry.offset);
            return Err(Error::damaged(&path, what));
        }
        next += 1;
        Ok(entry)
    });
    Ok(entries)
}

/// The bodies of a file's frames.
pub struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes of the file that were not read yet.
    left: u64,
}

impl Frames {
    fn open(dir: &Path, info: &FileInfo, magic: &[u8; 8]) -> Result<Self, Error> {
        check_length(dir, info)?;
        let path = dir.join(&info.file);
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let mut frames = Self {
            path,
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            left: info.bytes,
        };
        if *frames.read_bytes(magic.len())? != magic[..] {
            return Err(Error::damaged(
                &frames.path,
                "its first bytes are not those of such a file",
            ));
        }
        Ok(frames)
    }

    fn read_bytes(&mut self, len: usize) -> Result<Bytes, Error> {
        if (len as u64) > self.left {
            return Err(Error::damaged(&self.path, "it ends in the middle"));
        }
        let mut bytes = vec![0; len];
        let read = self.file.read_exact(&mut bytes);
        read.map_err(Error::io("read", &self.path))?;
        self.left -= len as u64;
        Ok(bytes.into())
    }

    fn next_body(&mut self) -> Result<Bytes, Error> {
        let mut head = [0; LENGTH_BYTES];
        head.copy_from_slice(&self.read_bytes(LENGTH_BYTES)?);
        let length = body_length(head).map_err(|what| Error::damaged(&self.path, what))?;
        self.read_bytes(length)
    }
}

impl Iterator for Frames {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let body = self.next_body();
        if body.is_err() {
            self.left = 0;
        }
        Some(body)
    }
}
