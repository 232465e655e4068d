//! Small JSON files that people can read. Each holds its format version and ends with a checksum, so that a
//! changed digit is found as damage.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fs::{self, FileSystem};

/// One such file, and the texts of the error when it is damaged.
pub(crate) struct JsonFile {
    /// Its name in the data folder.
    pub(crate) name: &'static str,
    /// The latest format version that this build reads, and the one that it writes.
    pub(crate) version: u32,
    /// What is lost with it.
    pub(crate) covers: &'static str,
    /// What the operator can do.
    pub(crate) advice: &'static str,
}

#[derive(Serialize)]
struct VersionedContent<'a, T> {
    format_version: u32,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Deserialize)]
struct FileVersion {
    format_version: u32,
}

impl JsonFile {
    /// What the file in `dir` holds; `None` when it is not there.
    pub(crate) fn read<F: FileSystem, T: DeserializeOwned>(
        &self,
        fs: &F,
        dir: &Path,
    ) -> Result<Option<T>, Error> {
        if !fs::exists(fs, dir, self.name)? {
            return Ok(None);
        }
        let path = self.path(dir);
        let mut content = Vec::new();
        fs::read_into(fs, &path, &mut content)?;
        check(&content).map_err(|what| self.damaged(dir, what))?;
        let wrong = |error| self.damaged(dir, format!("its content is not valid: {error}"));
        let FileVersion { format_version } = serde_json::from_slice(&content).map_err(wrong)?;
        if format_version > self.version {
            return Err(Error::Unsupported {
                file: path,
                what: format!("it has format version {format_version}"),
            });
        }
        serde_json::from_slice(&content).map(Some).map_err(wrong)
    }

    /// Replaces the file in `dir`, durably.
    pub(crate) fn write<F: FileSystem, T: Serialize>(
        &self,
        fs: &F,
        dir: &Path,
        content: &T,
    ) -> Result<(), Error> {
        let written = VersionedContent {
            format_version: self.version,
            content,
        };
        let mut bytes = serde_json::to_vec_pretty(&written)
            .map_err(|error| Error::io("encode", &self.path(dir), error.into()))?;
        // The checksum becomes the object's last member.
        bytes.truncate(bytes.len().saturating_sub(OBJECT_END.len()));
        let end = end_of(&bytes);
        bytes.extend_from_slice(end.as_bytes());
        debug_assert_eq!(check(&bytes), Ok(()), "the file would be refused");
        fs::publish(fs, dir, self.name, &bytes)
    }

    /// The error that says what is wrong with the file in `dir`.
    pub(crate) fn damaged(&self, dir: &Path, what: String) -> Error {
        Error::Damaged {
            file: self.path(dir),
            offset: 0,
            what,
            covers: self.covers.into(),
            advice: self.advice,
        }
    }

    fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.name)
    }
}

/// How pretty JSON ends an object.
const OBJECT_END: &str = "\n}";

/// The end of a file that begins with `bytes`: the checksum of them all.
fn end_of(bytes: &[u8]) -> String {
    format!(",\n  \"crc32c\": \"{:08x}\"\n}}\n", crc32c::crc32c(bytes))
}

/// Compare byte by byte: a change that a parser would accept is damage too.
fn check(content: &[u8]) -> Result<(), String> {
    let begin = content.len().saturating_sub(end_of(&[]).len());
    let (bytes, end) = content.split_at(begin);
    let right = end_of(bytes);
    if end == right.as_bytes() {
        return Ok(());
    }
    // An operator who has checked the content can put this end into the file.
    Err(format!(
        "its checksum does not fit its content; with this content the file must end with {right:?}"
    ))
}
