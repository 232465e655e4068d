//! Reading entries: recent ones from memory, the rest from files.

use std::path::Path;
use std::sync::Arc;

use crate::crypto::Cipher;
use crate::error::{Error, IoContext, damaged};
use crate::format::{self, LogPosition, LogRecord, SegmentHeader};
use crate::fs::{self, File, FileSystem};
use crate::log::shared::SharedLog;
use crate::log::tail::{Limit, Tail};
use crate::segment::history_file::{self, IndexRange};
use crate::segment::scan::{RecordVisitor, ScannedFile, scan_whole};
use crate::segment::{FilePlace, Index, OpenedFile, SegmentSummary, SegmentTable};
use crate::types::{Entry, next_index};

/// How much of a file is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

impl<F: FileSystem> SharedLog<F> {
    /// The lowest index that can be read.
    pub(crate) fn earliest(&self) -> u64 {
        earliest_of(&self.tail.read(), &self.table.read())
    }

    /// Entries of `from..to` in order, as many as the limit allows, ending at the end of the log.
    pub(crate) fn read(&self, from: u64, to: u64, limit: Limit) -> Result<Vec<Entry>, Error> {
        let entries = self.read_run(from, to, limit)?;
        let index_at = |n: usize| entries.get(n).map(|entry: &Entry| entry.log_id.index);
        if let Some(end) = entries.len().checked_sub(1) {
            debug_assert_eq!(
                (index_at(0), index_at(end)),
                (Some(from), Some(from + end as u64)),
                "a read returns other entries than were asked for"
            );
        }
        Ok(entries)
    }

    fn read_run(&self, from: u64, to: u64, mut limit: Limit) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut next = from;
        loop {
            let (cold_to, below_gap) = {
                let tail = self.tail.read();
                let to = to.min(tail.next());
                let gap_end = tail.gap_end().filter(|end| next < *end);
                if next >= to || limit.is_reached() {
                    return Ok(entries);
                }
                if next >= tail.first() {
                    tail.copy(next, to, &mut limit, &mut entries);
                    return Ok(entries);
                }
                (to.min(gap_end.unwrap_or(tail.first())), gap_end.is_some())
            };
            let wanted = next.saturating_add(limit.entries as u64).min(cold_to);
            self.read_cold(next, wanted, below_gap, &mut limit, &mut entries)?;
            next = entries.last().map_or(from, |entry| entry.log_id.index + 1);
        }
    }

    /// Reads one run of entries from one file; at least one. Below a gap that is not written yet, the
    /// segments still show entries that are no longer part of the log, so only history files are read there.
    fn read_cold(
        &self,
        from: u64,
        to: u64,
        below_gap: bool,
        limit: &mut Limit,
        into: &mut Vec<Entry>,
    ) -> Result<(), Error> {
        let bytes_max = CHUNK_BYTES.min((limit.bytes as u64).saturating_mul(2).max(4096));
        loop {
            let table = self.table.read();
            let place = match below_gap {
                true => table.place_in_history(from, to, bytes_max),
                false => table.place(from, to, bytes_max),
            };
            drop(table);
            match place {
                FilePlace::Nowhere => {
                    return Err(Error::Compacted {
                        asked: from,
                        earliest: self.earliest(),
                    });
                }
                FilePlace::Unindexed(summary) => self
                    .index_file(&summary)
                    .map_err(|error| self.in_file_of(&summary, error))?,
                FilePlace::At {
                    summary,
                    file,
                    offsets,
                    end,
                } => {
                    let path = summary.path(&self.layout);
                    let run = FileRun {
                        number: summary.number,
                        path: &path,
                        from,
                        offsets: &offsets,
                        end,
                    };
                    let bytes = run
                        .read(&file, limit, into)
                        .map_err(|error| self.in_file_of(&summary, error))?;
                    self.counters.read(bytes);
                    return Ok(());
                }
            }
        }
    }

    /// Rebuilds the positions of a sealed segment or a history file.
    fn index_file(&self, summary: &SegmentSummary) -> Result<(), Error> {
        let number = summary.number;
        let path = summary.path(&self.layout);
        let mut buf = Vec::new();
        let file = match fs::read_into(&self.fs, &path, &mut buf) {
            Ok(file) => file,
            // Retention has dropped the file. The next lookup in the table shows that.
            Err(error) if !self.holds(summary) => {
                tracing::debug!(%error, "retention dropped a file while a reader was reading it");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.counters.read(buf.len() as u64);
        let mut indexer = Indexer::default();
        let source = ScannedFile {
            number,
            path: &path,
            keys: &self.options.keys,
        };
        let found = scan_whole(&buf, source, &mut indexer)?;
        if summary.is_history() {
            let ranges = (summary.range, indexer.0.summary.range);
            history_file::check_content(ranges, self.options.cluster_id, &path, &found)?;
        }
        let opened = OpenedFile {
            file,
            cipher: found.cipher,
        };
        self.table
            .write()
            .fill(summary, indexer.0.positions, Arc::new(opened));
        Ok(())
    }

    /// For a history file: names the loss in the error and remembers that the file is damaged.
    fn in_file_of(&self, summary: &SegmentSummary, error: Error) -> Error {
        let error = match summary.is_history() {
            true => error.in_history_file(),
            false => error,
        };
        let damage = matches!(error, Error::Damaged { .. } | Error::Io { .. });
        if let Some(range) = summary.range.filter(|_| damage && summary.is_history()) {
            self.note_damage(range, &error);
        }
        error
    }

    /// Remembers that a history file is damaged, and logs it the first time.
    pub(crate) fn note_damage(&self, range: IndexRange, error: &Error) {
        if self.damaged_history.lock().insert(range) {
            tracing::error!(%error, "a history file is damaged");
        }
    }

    fn holds(&self, summary: &SegmentSummary) -> bool {
        let table = self.table.read();
        table.files().any(|held| held.index.summary == *summary)
    }
}

/// The lowest index that can be read.
pub(crate) fn earliest_of<F: FileSystem>(tail: &Tail, table: &SegmentTable<F>) -> u64 {
    if let Some(begin) = tail.gap_end() {
        return table.history_before(begin);
    }
    // Memory may still hold entries of dropped segments, but a restart would lose them.
    table.earliest().unwrap_or_else(|| tail.first())
}

/// Consecutive entries in one file.
pub(crate) struct FileRun<'a> {
    pub(crate) number: u64,
    pub(crate) path: &'a Path,
    pub(crate) from: u64,
    pub(crate) offsets: &'a [u32],
    pub(crate) end: u64,
}

impl FileRun<'_> {
    pub(crate) fn read<T: File>(
        &self,
        opened: &OpenedFile<T>,
        limit: &mut Limit,
        into: &mut Vec<Entry>,
    ) -> Result<u64, Error> {
        let start = u64::from(self.offsets.first().copied().unwrap_or_default());
        let mut buf = vec![0; self.end.saturating_sub(start) as usize];
        opened
            .file
            .read_exact_at(&mut buf, start)
            .during("read", self.path)?;
        for (n, offset) in self.offsets.iter().enumerate() {
            let offset = u64::from(*offset);
            let entry = self.decode(
                &buf[(offset - start) as usize..],
                opened.cipher.as_deref(),
                offset,
                self.from + n as u64,
            )?;
            if !limit.take(&entry) {
                break;
            }
            into.push(entry);
        }
        Ok(buf.len() as u64)
    }

    fn decode(
        &self,
        bytes: &[u8],
        cipher: Option<&Cipher>,
        offset: u64,
        index: u64,
    ) -> Result<Entry, Error> {
        let bad = |what: String| damaged(self.path, offset, what);
        let at = LogPosition {
            segment: self.number,
            offset,
        };
        match format::decode_record(bytes, at, cipher) {
            Ok((LogRecord::Entry(entry), _)) if entry.log_id.index == index => {
                entry.to_entry().map_err(bad)
            }
            Ok(_) => Err(bad(format!("entry {index} is not where it was written"))),
            Err(_) => Err(bad(format!(
                "the record of entry {index} fails its checksum"
            ))),
        }
    }
}

/// Keeps only the positions of one file's entries.
#[derive(Default)]
pub(crate) struct Indexer(pub(crate) Index);

impl RecordVisitor for Indexer {
    fn segment(&mut self, header: &SegmentHeader, _path: &Path) -> Result<(), String> {
        self.0.summary.number = header.segment;
        Ok(())
    }

    fn record(&mut self, at: LogPosition, record: &LogRecord<'_>) -> Result<(), String> {
        match record {
            LogRecord::Entry(entry) => self.0.entry(entry.log_id.index, at.offset),
            LogRecord::Truncate(keep) => self.0.truncate(next_index(*keep)),
            // Entries behind a gap do not continue those before it, which are no longer read.
            LogRecord::Purge(id) if !self.follows(id.index) => self.0.gap(id.index),
            _ => {}
        }
        Ok(())
    }
}

impl Indexer {
    /// Whether the log, as far as this segment shows it, reaches `index`.
    fn follows(&self, index: u64) -> bool {
        self.0.summary.range.is_none_or(|(_, last)| last >= index)
    }
}
