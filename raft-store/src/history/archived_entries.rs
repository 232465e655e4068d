//! All entries of an archived file at once.

use std::path::PathBuf;

use super::archived::{ArchivedName, OTHER_CLUSTER, checked};
use crate::crypto::Keyring;
use crate::error::{Error, damaged};
use crate::folder::identity::are_different_clusters;
use crate::format::{LogPosition, LogRecord};
use crate::segment::scan::{RecordVisitor, ScannedFile, scan_whole};
use crate::types::{Entry, next_index};

/// Reads all entries of an object of the archive of the cluster `cluster_id`, for a program that has no log of that
/// cluster.
///
/// # Errors
/// When it is not the object of this name, is damaged, belongs to another cluster, or needs a key that is not known.
pub fn archived_entries(
    name: &ArchivedName,
    object: &[u8],
    cluster_id: u128,
    keys: &Keyring,
) -> Result<Vec<Entry>, Error> {
    let path = PathBuf::from(name.to_string());
    let bad = |what: String| damaged(&path, 0, what).in_archive();
    let (head, content) = checked(&path, name, object, cluster_id)?;
    let source = ScannedFile {
        number: head.segment,
        path: &path,
        keys,
    };
    let mut entries = FileEntries::default();
    let found = scan_whole(content, source, &mut entries).map_err(Error::in_archive)?;
    let theirs = found.header.map_or(0, |header| header.cluster_id);
    if are_different_clusters(theirs, cluster_id) {
        return Err(bad(OTHER_CLUSTER.to_owned()));
    }
    let mut entries = entries.0;
    entries.retain(|entry| (name.first..=name.last).contains(&entry.log_id.index));
    if entries.len() as u64 != name.last - name.first + 1 {
        let (first, last) = (name.first, name.last);
        return Err(bad(format!(
            "it does not hold the entries {first} to {last}"
        )));
    }
    Ok(entries)
}

/// The entries of a file as they are at its end, without a gap.
#[derive(Default)]
struct FileEntries(Vec<Entry>);

impl RecordVisitor for FileEntries {
    fn record(&mut self, _: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        match record {
            LogRecord::Entry(record) => {
                let entry = record.to_entry()?;
                let index = entry.log_id.index;
                self.0.retain(|kept| kept.log_id.index < index);
                if self
                    .0
                    .last()
                    .is_some_and(|last| last.log_id.index + 1 != index)
                {
                    self.0.clear();
                }
                self.0.push(entry);
            }
            LogRecord::Truncate(keep) => {
                let end = next_index(*keep);
                self.0.retain(|kept| kept.log_id.index < end);
            }
            _ => {}
        }
        Ok(())
    }
}
