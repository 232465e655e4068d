//! History that has left the node: a file of the log in the form in which an archive keeps it, and reading it again.
//!
//! An object of an archive begins with its head, which is JSON with its length before it. Behind the head are the bytes
//! of the segment or history file, as they were on the node: encrypted, if they were encrypted there. The name has the
//! offsets and the SHA-256 of the whole object. So two different objects never have the same name, and a reader finds
//! an object that was changed or cut off.
//!
//! The head lists the stale entries: the state of a node forgets them together with the file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext, damaged};
use crate::folder::identity::are_different_clusters;
use crate::fs::{File, FileSystem};
use crate::log::read::{FileRun, Indexer};
use crate::log::shared::SharedLog;
use crate::log::tail::Limit;
use crate::segment::scan::{Scan, ScannedFile, scan_whole};
use crate::segment::{Index, OpenedFile, SegmentSummary};
use crate::types::Entry;

const MAGIC: &[u8; 8] = b"RSTMARC1";
const LENGTH_BYTES: usize = 4;
/// Far more than the head of a segment in which every entry is stale.
const HEAD_BYTES_MAX: usize = 64 << 20;
const FORMAT: u32 = 1;
/// How much of a file is read at once.
const READ_BYTES: u64 = 1 << 20;
const SUFFIX: &str = ".seg";

/// The name of an object: which entries it holds, and its checksum. Names sort by the first entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchivedName {
    /// The first entry that it is read for.
    pub first: u64,
    /// The last one, inclusive.
    pub last: u64,
    /// SHA-256 of the object, in hex.
    pub sha256: String,
}

impl ArchivedName {
    /// Whether this is the object of this name.
    pub fn is_of(&self, object: &[u8]) -> bool {
        sha256(object) == self.sha256
    }
}

impl fmt::Display for ArchivedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            last,
            sha256,
        } = self;
        write!(f, "{first:020}-{last:020}-{sha256}{SUFFIX}")
    }
}

impl FromStr for ArchivedName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.strip_suffix(SUFFIX).ok_or(())?.split('-');
        let mut part = || parts.next().ok_or(());
        let name = Self {
            first: part()?.parse().map_err(drop)?,
            last: part()?.parse().map_err(drop)?,
            sha256: part()?.to_owned(),
        };
        // In small letters: an object has one name.
        let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        let is_hash = name.sha256.len() == 64 && name.sha256.bytes().all(is_digit);
        let fits = is_hash && name.first <= name.last && name.to_string() == text;
        fits.then_some(name).ok_or(())
    }
}

/// What an object says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ArchivedHead {
    format: u32,
    cluster_id: String,
    node_id: u64,
    /// The number in the segment's header, to which the checksums of its records are bound.
    pub(super) segment: u64,
    first_offset: u64,
    last_offset: u64,
    /// The entries that changed nothing.
    stale: Vec<u64>,
}

/// An object for an archive.
#[derive(Debug)]
pub struct ArchivedObject {
    /// Its name.
    pub name: ArchivedName,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A file of the archive that can be read. Its copy on the disk is removed with this value.
pub struct ArchivedFile<F: FileSystem> {
    name: ArchivedName,
    stale: Vec<u64>,
    segment: u64,
    index: Index,
    bytes: u64,
    fs: F,
    path: PathBuf,
    opened: OpenedFile<F::File>,
}

impl<F: FileSystem> ArchivedFile<F> {
    /// The entries it holds.
    pub fn name(&self) -> &ArchivedName {
        &self.name
    }

    /// The size of its copy.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the entry changed nothing.
    pub fn is_stale(&self, offset: u64) -> bool {
        self.stale.binary_search(&offset).is_ok()
    }

    /// Entries from `from` on, as many as both limits allow, but at least one; none when the file does not hold `from`.
    /// Blocks.
    ///
    /// # Errors
    /// When the copy cannot be read or was damaged.
    pub fn read(
        &self,
        from: u64,
        limit_entries: usize,
        limit_bytes: usize,
    ) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::new();
        let mut limit = Limit::new(limit_entries, limit_bytes);
        let mut next = from;
        while (self.name.first..=self.name.last).contains(&next) && !limit.is_reached() {
            let count = (limit.entries as u64).min(self.name.last + 1 - next);
            let offsets = self.index.positions.range(next, next + count);
            let Some(start) = offsets.first().copied() else {
                break;
            };
            let bytes_max = READ_BYTES.min((limit.bytes as u64).saturating_mul(2).max(4096));
            let bound = u64::from(start) + bytes_max;
            let within = |offset: &&u32| u64::from(**offset) < bound;
            let fit = offsets.iter().take_while(within).count().max(1);
            let behind = next + fit as u64;
            let end = self.index.positions.range(behind, behind + 1).first();
            let run = FileRun {
                number: self.segment,
                path: &self.path,
                from: next,
                offsets: &offsets[..fit],
                end: end.map_or(self.bytes, |end| u64::from(*end)),
            };
            run.read(&self.opened, &mut limit, &mut found)?;
            next = found.last().map_or(from, |entry| entry.log_id.index + 1);
        }
        Ok(found)
    }
}

impl<F: FileSystem> Drop for ArchivedFile<F> {
    fn drop(&mut self) {
        if let Err(error) = self.fs.remove(&self.path) {
            let path = self.path.display();
            tracing::debug!(%error, %path, "a copy of an archived file was not removed");
        }
    }
}

impl<F: FileSystem> SharedLog<F> {
    /// The archive's form of a file whose entries `first..=last` belong to the log. Every record of the file is checked.
    /// `stale` are the entries that changed nothing. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged: an archive must not keep damage instead of entries.
    pub(crate) fn archived_form(
        &self,
        summary: &SegmentSummary,
        (first, last): (u64, u64),
        node_id: u64,
        stale: &dyn Fn(u64) -> bool,
    ) -> Result<ArchivedObject, Error> {
        let path = summary.path(&self.layout);
        let head = ArchivedHead {
            format: FORMAT,
            cluster_id: self.cluster_text(),
            node_id,
            segment: summary.number,
            first_offset: first,
            last_offset: last,
            stale: (first..=last).filter(|offset| stale(*offset)).collect(),
        };
        let head = serde_json::to_vec(&head)
            .map_err(|error| damaged(&path, 0, format!("its head cannot be written: {error}")))?;
        let length = u32::try_from(head.len())
            .ok()
            .filter(|length| *length as usize <= HEAD_BYTES_MAX)
            .ok_or_else(|| damaged(&path, 0, "too many of its entries are stale"))?;
        let mut bytes = [&MAGIC[..], &length.to_le_bytes(), &head].concat();
        let begin = bytes.len();
        let file = self.fs.open(&path).during("open", &path)?;
        let len = file.len().during("measure", &path)?;
        bytes.resize(begin + len as usize, 0);
        file.read_exact_at(&mut bytes[begin..], 0)
            .during("read", &path)?;
        self.counters.read(len);
        let source = ScannedFile {
            number: summary.number,
            path: &path,
            keys: &self.options.keys,
        };
        index(&bytes[begin..], source, (first, last))?;
        Ok(ArchivedObject {
            name: ArchivedName {
                first,
                last,
                sha256: sha256(&bytes),
            },
            bytes,
        })
    }

    /// Makes an object of the archive readable: checks all of it, and keeps a copy in the data folder. Blocks.
    ///
    /// # Errors
    /// When it is not the object of this name, belongs to another cluster, needs a key that is not known, or when the
    /// copy cannot be written.
    pub(crate) fn open_archived(
        &self,
        name: &ArchivedName,
        object: &[u8],
    ) -> Result<ArchivedFile<F>, Error> {
        let path = self.layout.archived.join(name.to_string());
        let bad = |what: String| damaged(&path, 0, what).in_archive();
        let (head, content) = checked(&path, name, object, self.options.cluster_id)?;
        let source = ScannedFile {
            number: head.segment,
            path: &path,
            keys: &self.options.keys,
        };
        let indexed = index(content, source, (name.first, name.last));
        let (index, found) = indexed.map_err(Error::in_archive)?;
        let theirs = found.header.map_or(0, |header| header.cluster_id);
        if are_different_clusters(theirs, self.options.cluster_id) {
            return Err(bad(OTHER_CLUSTER.to_owned()));
        }
        Ok(ArchivedFile {
            opened: OpenedFile {
                file: self.keep_copy(&path, content)?,
                cipher: found.cipher,
            },
            name: name.clone(),
            stale: head.stale,
            segment: head.segment,
            index,
            bytes: content.len() as u64,
            fs: self.fs.clone(),
            path,
        })
    }

    /// Removes the copies of archived files that an earlier process has left. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub(crate) fn remove_archived_copies(&self) -> Result<(), Error> {
        let dir = &self.layout.archived;
        self.fs.remove_dir_all(dir).during("remove", dir)
    }

    fn keep_copy(&self, path: &Path, content: &[u8]) -> Result<F::File, Error> {
        let fs = &self.fs;
        let dir = &self.layout.archived;
        fs.create_dir_all(dir).during("create", dir)?;
        // It needs no sync: no later process reads it.
        let file = fs.create(path).during("create", path)?;
        let written = file.write_all_at(content, 0).during("write", path);
        if written.is_err() {
            // What is left is removed at the next start at the latest.
            let _ = fs.remove(path);
        }
        written.map(|()| file)
    }

    fn cluster_text(&self) -> String {
        cluster_text(self.options.cluster_id)
    }
}

fn cluster_text(cluster_id: u128) -> String {
    uuid::Uuid::from_u128(cluster_id).to_string()
}

pub(super) const OTHER_CLUSTER: &str = "its segment belongs to another cluster";

/// The parts of an object, if it is the one of this name and of this cluster.
pub(super) fn checked<'a>(
    path: &Path,
    name: &ArchivedName,
    object: &'a [u8],
    cluster_id: u128,
) -> Result<(ArchivedHead, &'a [u8]), Error> {
    let bad = |what: String| damaged(path, 0, what).in_archive();
    if !name.is_of(object) {
        let bytes = object.len();
        return Err(bad(format!(
            "its {bytes} bytes do not have the checksum in its name"
        )));
    }
    let (head, content) = split(object).map_err(&bad)?;
    if head.format != FORMAT {
        return Err(Error::Unsupported {
            file: path.to_owned(),
            what: format!("it has format {}", head.format),
        });
    }
    let ours = cluster_text(cluster_id);
    if head.cluster_id != ours {
        let theirs = head.cluster_id;
        return Err(bad(format!("it is of cluster {theirs}, this is {ours}")));
    }
    if (head.first_offset, head.last_offset) != (name.first, name.last) {
        return Err(bad("it holds other entries than its name says".to_owned()));
    }
    Ok((head, content))
}

/// Decodes every record, and checks that the entries `first..=last` are there.
fn index(
    content: &[u8],
    source: ScannedFile<'_>,
    (first, last): (u64, u64),
) -> Result<(Index, Scan), Error> {
    let mut indexer = Indexer::default();
    let found = scan_whole(content, source, &mut indexer)?;
    let index = indexer.0;
    if index.positions.range(first, last + 1).is_empty() {
        let what = format!("it does not hold the entries {first} to {last}");
        return Err(damaged(source.path, found.end, what));
    }
    Ok((index, found))
}

fn split(object: &[u8]) -> Result<(ArchivedHead, &[u8]), String> {
    let rest = object
        .strip_prefix(MAGIC)
        .ok_or("its first bytes are not those of an archived file")?;
    let (length, rest) = rest
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or("it ends in its head")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > HEAD_BYTES_MAX {
        return Err(format!("its head would have {length} bytes"));
    }
    let (head, content) = rest.split_at_checked(length).ok_or("it ends in its head")?;
    let head =
        serde_json::from_slice(head).map_err(|error| format!("its head is wrong: {error}"))?;
    Ok((head, content))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_name_of_an_object_is_read_as_it_is_written_and_nothing_else_is_a_name() {
        let name = ArchivedName {
            first: 1,
            last: 1_000,
            sha256: "ab".repeat(32),
        };
        let text = name.to_string();
        assert_eq!(text.parse::<ArchivedName>(), Ok(name));
        for other in [
            "",
            ".seg",
            &text[1..],
            &text[..text.len() - 1],
            &text.replace('a', "A"),
            &text.replace("ab", "zz"),
            &text.replacen("1-", "1001-", 1),
            &format!("{text}.tmp"),
            "0000000000000001.wal",
        ] {
            assert_eq!(other.parse::<ArchivedName>(), Err(()), "{other}");
        }
    }

    #[test]
    fn an_object_with_a_broken_head_is_an_error() {
        let whole = [&MAGIC[..], &2u32.to_le_bytes(), b"{}"].concat();
        for len in 0..=whole.len() {
            assert!(split(&whole[..len]).is_err(), "{len}");
        }
        assert!(split(&[&MAGIC[..], &u32::MAX.to_le_bytes()].concat()).is_err());
    }
}
