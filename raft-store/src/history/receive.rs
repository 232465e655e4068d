//! Receives a run of history from another node.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::{Error, IoContext};
use crate::folder::layout::history_file_name;
use crate::format::codec::Codec;
use crate::format::{
    Buffer, Encoder, HardState, LogPosition, Mark, PAYLOAD_BYTES_MAX, RecordType, SegmentHeader,
};
use crate::fs::{self, File, FileSystem, TEMPORARY_SUFFIX};
use crate::log::read::earliest_of;
use crate::log::shared::SharedLog;
use crate::log::tail::payload_bytes;
use crate::segment::{HISTORY_BIT, Index, OpenedFile, SegmentSummary};
use crate::types::{Entry, LogId};

/// Offsets in a file are kept in 32 bits.
const FILE_BYTES_MAX: u64 = u32::MAX as u64;

impl<F: FileSystem> SharedLog<F> {
    /// Begins to take in the entries `first..=last` from another node. Blocks.
    ///
    /// # Errors
    /// [`Error::HistoryRefused`] unless `last` is just below the earliest entry and was purged by
    /// Raft: only that is history.
    pub(crate) fn receive_history(
        self: &Arc<Self>,
        first: u64,
        last: u64,
    ) -> Result<HistoryReceiver<F>, Error> {
        self.check()?;
        if first > last || last >= HISTORY_BIT {
            return Err(refused(first, last, "these indexes are not a valid range"));
        }
        let purged = self.check_joins(first, last)?;
        HistoryReceiver::begin(self.clone(), (first, last), purged, false)
    }
}

/// A run of entries that is being received. Dropping it discards the entries that have arrived.
pub struct HistoryReceiver<F: FileSystem> {
    shared: Arc<SharedLog<F>>,
    temporary: Temporary<F>,
    opened: OpenedFile<F::File>,
    codec: Codec,
    first: u64,
    last: u64,
    /// No entry may be from a later term than what Raft purged, which is above all of them.
    purged: LogId,
    /// The index that must come next.
    next: u64,
    /// Where in the file it goes.
    offset: u64,
    last_term: u64,
    /// Whether a file with these entries is there already, and damaged.
    replaces: bool,
    /// Set while entries are added. If it stays set, an error has interrupted the addition.
    broken: bool,
    index: Index,
    buf: Buffer,
}

impl<F: FileSystem> HistoryReceiver<F> {
    pub(super) fn begin(
        shared: Arc<SharedLog<F>>,
        range: (u64, u64),
        purged: LogId,
        replaces: bool,
    ) -> Result<Self, Error> {
        let mut receiver = Self::create(shared, range, purged, replaces)?;
        receiver.write_header()?;
        Ok(receiver)
    }

    fn create(
        shared: Arc<SharedLog<F>>,
        (first, last): (u64, u64),
        purged: LogId,
        replaces: bool,
    ) -> Result<Self, Error> {
        let path = shared.temporary_history();
        let file = shared.fs.create(&path).during("create", &path)?;
        let mut index = Index::default();
        index.summary.number = HISTORY_BIT | first;
        Ok(HistoryReceiver {
            temporary: Temporary::new(shared.fs.clone(), path),
            opened: OpenedFile { file, cipher: None },
            codec: Codec::default(),
            first,
            last,
            purged,
            next: first,
            offset: 0,
            last_term: 0,
            replaces,
            broken: false,
            index,
            buf: Buffer::default(),
            shared,
        })
    }

    fn write_header(&mut self) -> Result<(), Error> {
        let options = &self.shared.options;
        let (key, cipher) = options.keys.for_new_file()?.unzip();
        self.opened.cipher = cipher.clone();
        self.codec = options.codec(cipher)?;
        let header = SegmentHeader {
            cluster_id: options.cluster_id,
            segment: self.index.summary.number,
            created_ms: options.now_ms(),
            state: HardState::default(),
            allocated: 0,
            key,
        };
        let bytes = header.encode();
        self.index.summary.header_crc = crc32c::crc32c(&bytes);
        self.index.batch(header.created_ms);
        self.buf.bytes.clear();
        self.buf.bytes.extend_from_slice(&bytes);
        self.flush()
    }

    /// Adds the next entries. Blocks on the disk. After an error the run must be begun again.
    ///
    /// # Errors
    /// [`Error::HistoryRefused`] when they do not follow each other from `first` on, go beyond
    /// `last`, or cannot have come before what Raft purged here.
    pub fn push(&mut self, entries: &[Entry]) -> Result<(), Error> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(refused(
                self.first,
                self.last,
                "an earlier part of this run failed",
            ));
        }
        let number = self.index.summary.number;
        let mark = self.mark();
        let base = LogPosition {
            segment: number,
            offset: self.offset,
        };
        let mut buf = std::mem::take(&mut self.buf);
        buf.bytes.clear();
        let mut encoder = Encoder::new(&mut buf, &self.codec, base);
        encoder.mark(RecordType::Batch, mark);
        self.index.batch(mark.time_ms);
        for entry in entries {
            self.check(entry)?;
            self.index.entry(entry.log_id.index, encoder.offset());
            encoder.entry(entry)?;
            self.next += 1;
            self.last_term = entry.log_id.leader_id.term;
        }
        self.buf = buf;
        self.flush()?;
        self.broken = false;
        Ok(())
    }

    /// The file gets its name only when all of it is durable.
    fn mark(&self) -> Mark {
        Mark {
            durable: LogPosition {
                segment: self.index.summary.number,
                offset: 0,
            },
            time_ms: self.shared.options.now_ms(),
        }
    }

    fn seal(&mut self) -> Result<(), Error> {
        let base = LogPosition {
            segment: self.index.summary.number,
            offset: self.offset,
        };
        let mark = self.mark();
        self.buf.bytes.clear();
        Encoder::new(&mut self.buf, &self.codec, base).mark(RecordType::Seal, mark);
        self.flush()
    }

    /// Checks that `entry` is the next one.
    fn check(&self, entry: &Entry) -> Result<(), Error> {
        let bytes = payload_bytes(entry) as u64;
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLarge {
                bytes,
                bytes_max: PAYLOAD_BYTES_MAX,
            });
        }
        let (id, purged) = (entry.log_id, self.purged);
        let terms = self.last_term..=purged.leader_id.term;
        let follows = id.index == self.next && terms.contains(&id.leader_id.term);
        // This node itself had the entry with the purged id.
        let agrees = id.index != purged.index || id == purged;
        if follows && agrees && id.index <= self.last {
            return Ok(());
        }
        let why = format!(
            "entry {id} came where {} is expected, with a term from {} to {}",
            self.next,
            terms.start(),
            terms.end(),
        );
        Err(refused(self.first, self.last, why))
    }

    fn flush(&mut self) -> Result<(), Error> {
        let end = self.offset + self.buf.bytes.len() as u64;
        if end > FILE_BYTES_MAX {
            let why = format!("its file would exceed {FILE_BYTES_MAX} bytes; ask for shorter runs");
            return Err(refused(self.first, self.last, why));
        }
        let file = &self.opened.file;
        file.write_all_at(&self.buf.bytes, self.offset)
            .during("write", &self.temporary.path)?;
        self.shared.counters.write(self.buf.bytes.len() as u64);
        self.offset = end;
        Ok(())
    }

    /// Makes the run part of the readable history. It is durable and readable when this returns;
    /// after an error nothing has changed. Blocks.
    ///
    /// # Errors
    /// [`Error::HistoryRefused`] when entries are missing, or the run no longer joins what this
    /// node holds because that has changed since.
    pub fn finish(mut self) -> Result<(), Error> {
        let shared = self.shared.clone();
        if !self.broken && self.next == self.last + 1 {
            self.seal()?;
        }
        // Before the parts of the receiver, which discard their file while it is held.
        let files = shared.history_files.lock();
        let HistoryReceiver {
            mut temporary,
            opened,
            first,
            last,
            next,
            offset,
            replaces,
            broken,
            mut index,
            ..
        } = self;
        if broken || next != last + 1 {
            let why = format!("it is incomplete: entry {next} is missing");
            return Err(refused(first, last, why));
        }
        index.summary.bytes = offset;
        // A file that a gap has cut off may have the same name.
        shared.remove_dead_history(&files)?;
        match replaces {
            true => shared.check_held((first, last))?,
            false => drop(shared.check_joins(first, last)?),
        }
        let (name, dir) = (history_file_name(first, last), &shared.layout.history);
        let mut named = Temporary::new(shared.fs.clone(), dir.join(&name));
        if replaces {
            // Until the new file has the name, the damaged file has it.
            named.keep();
        }
        fs::publish_written(&shared.fs, &opened.file, &temporary.path, dir, &name)?;
        temporary.keep();
        match replaces {
            true => shared.replace(index, opened)?,
            false => shared.attach(index, opened)?,
        }
        named.keep();
        shared.check_invariants();
        Ok(())
    }
}

/// A temporary file. Dropping this removes the file unless it was kept.
struct Temporary<F: FileSystem> {
    fs: F,
    path: PathBuf,
    kept: bool,
}

impl<F: FileSystem> Temporary<F> {
    fn new(fs: F, path: PathBuf) -> Self {
        Temporary {
            fs,
            path,
            kept: false,
        }
    }

    fn keep(&mut self) {
        self.kept = true;
    }
}

impl<F: FileSystem> Drop for Temporary<F> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Best effort: the next start removes a file that is left here.
        if let Err(error) = self.fs.remove(&self.path) {
            tracing::debug!(%error, file = %self.path.display(), "cannot remove a temporary file");
        }
    }
}

impl<F: FileSystem> SharedLog<F> {
    fn temporary_history(&self) -> PathBuf {
        let mut count = self.history_files.lock();
        *count += 1;
        let name = format!("incoming-{count}{TEMPORARY_SUFFIX}", count = *count);
        self.layout.history.join(name)
    }

    /// Checks that a run may become the oldest history now. Returns the last entry that Raft has purged.
    fn check_joins(&self, first: u64, last: u64) -> Result<LogId, Error> {
        let earliest = self.earliest();
        let purged = self.tail.read().state.purged;
        match purged.filter(|id| id.index >= last) {
            Some(purged) if last + 1 == earliest => Ok(purged),
            Some(_) => Err(does_not_join(first, last, earliest)),
            None => Err(refused(
                first,
                last,
                "Raft has not purged the log up to there yet",
            )),
        }
    }

    /// Makes a published file readable, if it still joins what is there.
    fn attach(&self, index: Index, opened: OpenedFile<F::File>) -> Result<(), Error> {
        let tail = self.tail.read();
        let mut table = self.table.write();
        let earliest = earliest_of(&tail, &table);
        match index.summary.range {
            Some((_, last)) if last + 1 == earliest => {
                table.push_history(index, true, Some(Arc::new(opened)));
                Ok(())
            }
            range => {
                let (first, last) = range.unwrap_or_default();
                Err(does_not_join(first, last, earliest))
            }
        }
    }

    /// Removes the files that a gap in the log has cut off, and returns what they were. The
    /// caller holds the lock of their names.
    pub(crate) fn remove_dead_history(
        &self,
        _files: &MutexGuard<'_, u64>,
    ) -> Result<Vec<SegmentSummary>, Error> {
        let dead = self.table.write().take_dead_history();
        for summary in &dead {
            let path = summary.path(&self.layout);
            self.fs.remove(&path).during("remove", &path)?;
        }
        if !dead.is_empty() {
            let dir = &self.layout.history;
            self.fs.sync_dir(dir).during("sync", dir)?;
        }
        Ok(dead)
    }
}

pub(super) fn refused(first: u64, last: u64, why: impl Into<String>) -> Error {
    Error::HistoryRefused {
        first,
        last,
        why: why.into(),
    }
}

fn does_not_join(first: u64, last: u64, earliest: u64) -> Error {
    let why = format!("this node's entries begin at {earliest}; history must end just below");
    refused(first, last, why)
}
