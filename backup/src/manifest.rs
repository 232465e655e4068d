//! The manifest: what a backup holds.
//!
//! `manifest.json` is `{"sha256": HEX, "manifest": {…}}`; the checksum is that of the inner object's
//! text, byte for byte.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::writer::FileWriter;
use crate::{Error, FileInfo};

/// The file's name.
pub const FILE_NAME: &str = "manifest.json";
/// The version that is written.
pub const FORMAT_VERSION: u32 = 1;

/// Everything a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The cluster it is of.
    pub cluster_id: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// When it was begun, RFC 3339.
    pub created: String,
    /// When it was last written, RFC 3339.
    pub updated: String,
    /// The program that wrote it last.
    pub written_by: String,
    /// Ascending, with gaps between them.
    pub runs: Vec<BackupRun>,
}

/// A part of the log without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRun {
    /// The first offset of the log.
    pub first_offset: u64,
    /// The snapshot from which a restore begins, unless the run begins at offset 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotFile>,
    /// Ascending, each beginning where the one before it ends.
    pub log: Vec<LogFile>,
    /// The log time up to which, inclusive, the log was known to end here, Unix ms: as facts have it, not as wall
    /// clocks show it. 0 until the run was copied whole once.
    pub until_ms: u64,
    /// Why the server could not read its archive when this run began, if it could not: the archive may have the history
    /// before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_unavailable: Option<String>,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// The file.
    #[serde(flatten)]
    pub info: FileInfo,
    /// The last offset in it.
    pub offset: u64,
    /// The term of the entry there.
    pub term: u64,
    /// The time of the last fact in it, Unix ms.
    pub time_ms: u64,
    /// The state's digest, in hex.
    pub digest: String,
}

/// Entries of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The file.
    #[serde(flatten)]
    pub info: FileInfo,
    /// The first offset in it.
    pub first_offset: u64,
    /// The last offset in it, inclusive.
    pub last_offset: u64,
    /// The least time of a fact in it, Unix ms; absent without facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time_ms: Option<u64>,
    /// The greatest time of a fact in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time_ms: Option<u64>,
    /// The digest that the server's state had at the last offset, in hex, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The head of the chain over the log there, in hex, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_head: Option<String>,
}

impl BackupRun {
    /// The last offset of the log; one below the first when there is none.
    pub fn last_offset(&self) -> u64 {
        match self.log.last() {
            Some(file) => file.last_offset,
            None => self.first_offset.saturating_sub(1),
        }
    }

    /// The first and last offset it can be restored at; `None` while its log does not reach its
    /// snapshot.
    pub fn restorable(&self) -> Option<(u64, u64)> {
        let first = self.snapshot.as_ref().map_or(1, |snapshot| snapshot.offset);
        let last = self.last_offset();
        (first <= last).then_some((first, last))
    }

    /// The time of the state at the first offset it can be restored at, and of the last fact.
    pub fn times(&self) -> Option<(u64, u64)> {
        let (first, _) = self.restorable()?;
        let facts = self.log.iter().filter(|file| file.last_offset >= first);
        let last = facts.clone().filter_map(|file| file.last_time_ms).max();
        match &self.snapshot {
            Some(snapshot) => Some((snapshot.time_ms, last.unwrap_or(snapshot.time_ms))),
            None => Some((facts.filter_map(|file| file.first_time_ms).min()?, last?)),
        }
    }
}

impl Manifest {
    /// The runs that can be restored.
    pub fn restorable(&self) -> impl Iterator<Item = &BackupRun> {
        self.runs.iter().filter(|run| run.restorable().is_some())
    }

    /// Every file it names.
    pub fn files(&self) -> impl Iterator<Item = &FileInfo> {
        self.runs.iter().flat_map(|run| {
            let snapshot = run.snapshot.iter().map(|snapshot| &snapshot.info);
            snapshot.chain(run.log.iter().map(|file| &file.info))
        })
    }

    /// Reads and checks the manifest of the backup in `dir`; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, is damaged or of a later version.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Error::damaged(&path, "it is not text"));
            }
            read => read.map_err(Error::io("read", &path))?,
        };
        let bad = |what: String| Error::damaged(&path, what);
        let outer: CheckedManifest<'_> =
            serde_json::from_str(&text).map_err(|error| bad(format!("it is not JSON: {error}")))?;
        let inner = outer.manifest.get();
        if hex::encode(Sha256::digest(inner)) != outer.sha256 {
            return Err(bad("its checksum does not match".to_owned()));
        }
        let version: ManifestVersion =
            serde_json::from_str(inner).map_err(|error| bad(error.to_string()))?;
        if version.format_version != FORMAT_VERSION {
            return Err(Error::Unsupported {
                what: format!("it has format version {}", version.format_version),
                path,
            });
        }
        let manifest: Self = serde_json::from_str(inner).map_err(|error| bad(error.to_string()))?;
        manifest.check().map_err(bad)?;
        Ok(Some(manifest))
    }

    /// Writes it, durably and whole.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(FILE_NAME);
        let encode = || -> serde_json::Result<String> {
            let manifest = RawValue::from_string(serde_json::to_string_pretty(self)?)?;
            let sha256 = hex::encode(Sha256::digest(manifest.get()));
            serde_json::to_string(&CheckedManifest {
                sha256: &sha256,
                manifest: &manifest,
            })
        };
        let text = encode().map_err(|error| Error::Io {
            operation: "encode",
            path,
            source: error.into(),
        })?;
        let mut file = FileWriter::create(dir)?;
        file.write(text.as_bytes())?;
        file.publish(FILE_NAME)?;
        Ok(())
    }

    /// Checks that the parts fit each other, and that no name leads out of the folder. An operator may have edited
    /// the file.
    fn check(&self) -> Result<(), String> {
        for FileInfo { file, .. } in self.files() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            if !file.chars().all(plain) || file.starts_with('.') {
                return Err(format!("{file:?} is not the name of a backup file"));
            }
        }
        let mut last = 0;
        for run in &self.runs {
            if run.first_offset <= last {
                return Err(format!("offset {} is in two runs", run.first_offset));
            }
            let mut next = run.first_offset;
            for file in &run.log {
                if file.first_offset != next || file.last_offset < next {
                    return Err(format!("{} does not begin at {next}", file.info.file));
                }
                next = (file.last_offset.checked_add(1))
                    .ok_or_else(|| format!("{} ends at no offset", file.info.file))?;
            }
            match &run.snapshot {
                None if run.first_offset != 1 => {
                    return Err(format!("offset {} has no snapshot", run.first_offset));
                }
                Some(snapshot) if snapshot.offset.saturating_add(1) < run.first_offset => {
                    return Err(format!("{} ends before its log", snapshot.info.file));
                }
                _ => {}
            }
            last = run.last_offset();
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct CheckedManifest<'a> {
    sha256: &'a str,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

#[derive(Deserialize)]
struct ManifestVersion {
    format_version: u32,
}
