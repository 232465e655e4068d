//! The only writer: takes the queued requests, writes them with one write and one sync, and reports the
//! result to each. It works in steps, so that the product can drive it from a thread and a simulation from a
//! task.

#[cfg(feature = "testing")]
mod drive;
mod durable;
mod roll;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, IoContext};
use crate::folder::FsyncPolicy;
use crate::format::{Encoder, HardState, LogPosition, Mark, RecordType};
use crate::fs::{File, FileSystem};
use crate::log::batch::{self, TableChange, WriteBatch, WriteProgress};
use crate::log::planted;
use crate::log::shared::{SharedLog, Wake, WriterRequest};
use crate::segment::ActiveSegment;
use crate::types::LogId;

/// About how many bytes of entries one batch holds at most (one request may exceed it). Large enough to hide
/// the cost of the sync, small enough for a low latency and a small buffer.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// The pause before the writer retries to create the next segment after the disk was full.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Writes the log. There is one per [`Store`](crate::Store); it owns the right to write.
pub struct Writer<F: FileSystem> {
    shared: Arc<SharedLog<F>>,
    active: ActiveSegment<F>,
    /// The file of the next segment, once it is needed.
    blank: Option<F::File>,
    /// Whether the queued requests wait because that file cannot be created.
    waits: bool,
    batch: WriteBatch,
    /// Everything before this is on disk.
    durable: LogPosition,
    /// Whether the last mark covers everything written.
    marked: bool,
    unsynced_entries: u64,
    synced_at_ms: u64,
    committed_written: Option<LogId>,
    purged_durable: Option<u64>,
    state: HardState,
    /// The active segment holds written zeros, not just reserved space, up to here.
    zeroed_to: u64,
}

impl<F: FileSystem> Writer<F> {
    pub(crate) fn new(
        shared: Arc<SharedLog<F>>,
        active: ActiveSegment<F>,
        state: HardState,
    ) -> Self {
        let durable = LogPosition {
            segment: active.number,
            offset: active.offset,
        };
        let synced_at_ms = shared.options.now_ms();
        Writer {
            active,
            blank: None,
            waits: false,
            batch: WriteBatch::default(),
            durable,
            marked: false,
            unsynced_entries: 0,
            synced_at_ms,
            committed_written: state.committed,
            purged_durable: state.purged.map(|id| id.index),
            state,
            zeroed_to: 0,
            shared,
        }
    }

    /// Writes until the store is closed or fails; for a thread of its own.
    pub fn run(mut self) {
        loop {
            if self.step() {
                continue;
            }
            if self.waits && !self.shared.is_closed() {
                std::thread::sleep(RETRY_PAUSE);
                continue;
            }
            match self.shared.wait(self.patience()) {
                Wake::Work if self.shared.is_closed() => return self.finish(),
                Wake::Work if planted::acknowledges_early() => {
                    std::thread::sleep(planted::HELD_BACK);
                }
                Wake::Work => {}
                Wake::Timeout => self.idle(),
                Wake::Closed => return self.finish(),
            }
        }
    }

    /// Writes one batch of queued requests. Returns false when there was nothing to do, or when the requests
    /// must wait because the disk has no room for the next segment.
    pub fn step(&mut self) -> bool {
        let mut requests = std::mem::take(&mut self.batch.requests);
        self.shared.take(&mut requests, BATCH_BYTES_MAX);
        if requests.is_empty() {
            self.batch.requests = requests;
            return false;
        }
        let reserved = self
            .shared
            .check()
            .and_then(|()| self.reserve_if_due(&requests));
        let written = match reserved {
            Err(error) if error.is_shortage() => {
                self.shared.put_back(&mut requests);
                self.batch.requests = requests;
                self.shared.set_shortage(Some(&error));
                self.waits = true;
                return false;
            }
            reserved => reserved.and_then(|()| self.write(&requests)),
        };
        if std::mem::take(&mut self.waits) {
            self.shared.set_shortage(None);
        }
        match written {
            Ok(()) => {
                self.check_invariants();
                requests
                    .drain(..)
                    .filter_map(WriterRequest::into_done)
                    .for_each(|done| done(Ok(())));
            }
            Err(error) => {
                let first = self.fail(error);
                let told = requests.drain(..).filter_map(WriterRequest::into_done);
                told.for_each(|done| done(Err(first.clone())));
            }
        }
        self.batch.requests = requests;
        true
    }

    /// Checks, after a successful step, that the log is consistent and that the writer agrees with it.
    fn check_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        self.shared.check_invariants();
        assert!(
            self.durable <= self.position() && self.durable.segment == self.active.number,
            "what counts as durable was never written"
        );
        assert!(
            self.purged_durable <= self.state.purged.map(|id| id.index),
            "more is durably purged than was purged"
        );
        let table = self.shared.table.read();
        let active = table.held.back().map(|held| &held.index.summary);
        let end = active.map(|summary| (summary.number, summary.bytes));
        assert_eq!(
            end,
            Some((self.active.number, self.active.offset)),
            "the table does not end where the writer is"
        );
    }

    /// What an idle log needs: the sync that is due, and a mark that covers its last batch.
    pub fn idle(&mut self) {
        if self.shared.check().is_err() {
            return;
        }
        let never = self.shared.options.fsync_policy == FsyncPolicy::Never;
        let result = if self.marked || never {
            Ok(())
        } else {
            self.write_close()
        };
        match result {
            Ok(()) => self.check_invariants(),
            Err(error) => drop(self.fail(error)),
        }
    }

    fn finish(mut self) {
        while self.step() {}
        // Tell the requests that still wait for disk space that they were not written.
        self.shared.abandon();
        if self.shared.check().is_ok()
            && !self.marked
            && let Err(error) = self.write_close()
        {
            self.fail(error);
        }
        // Handles may still exist, but they can no longer write.
        self.shared.release();
    }

    /// How long to wait for work before [`Writer::idle`].
    fn patience(&self) -> Duration {
        let idle = self.shared.options.idle_mark;
        match self.shared.options.fsync_policy {
            FsyncPolicy::EveryMs(ms) if self.unsynced_entries > 0 => {
                idle.min(Duration::from_millis(ms.max(1)))
            }
            _ => idle,
        }
    }

    fn fail(&mut self, error: Error) -> Arc<Error> {
        let first = match error {
            Error::Failed(first) => first,
            error => self.shared.fail(error),
        };
        self.shared.abandon();
        first
    }

    fn position(&self) -> LogPosition {
        LogPosition {
            segment: self.active.number,
            offset: self.active.offset,
        }
    }

    fn write(&mut self, requests: &[WriterRequest]) -> Result<(), Error> {
        self.roll_if_reserved()?;
        self.encode(requests)?;
        self.flush_buffer()?;
        self.marked = false;
        let progress = WriteProgress::of(requests);
        self.unsynced_entries += progress.entries;
        if self.must_sync(&progress) {
            self.sync()?;
        }
        self.publish(&progress);
        Ok(())
    }

    fn encode(&mut self, requests: &[WriterRequest]) -> Result<(), Error> {
        let time_ms = self.shared.options.now_ms();
        let base = self.position();
        self.batch.buf.bytes.clear();
        let mut encoder = Encoder::new(&mut self.batch.buf, &self.active.codec, base);
        encoder.mark(
            RecordType::Batch,
            Mark {
                durable: self.durable,
                time_ms,
            },
        );
        for request in requests {
            batch::encode(
                request,
                &mut encoder,
                &mut self.batch.changes,
                &mut self.state,
            )?;
        }
        let committed = self.shared.tail.read().state.committed;
        // It comes after the entries that it names, and is never ahead of the log.
        if committed > self.committed_written
            && committed <= self.state.last
            && let Some(id) = committed
        {
            encoder.committed(id);
            self.committed_written = committed;
            self.state.committed = committed;
        }
        if let Some(active) = self.shared.table.write().active() {
            active.index.batch(time_ms);
        }
        Ok(())
    }

    /// Writes the buffer at the end of the log and makes it readable.
    fn flush_buffer(&mut self) -> Result<(), Error> {
        let path = self.shared.layout.segment(self.active.number);
        let buf = &self.batch.buf.bytes;
        let file = &self.active.file.file;
        file.write_all_at(buf, self.active.offset)
            .during("write", &path)?;
        let written = buf.len() as u64;
        self.active.offset += written;
        self.zero_ahead(&path)?;
        self.shared.counters.write(written);
        let mut gaps = Vec::new();
        let mut table = self.shared.table.write();
        for change in self.batch.changes.drain(..) {
            match change {
                TableChange::Entry { index, offset } => table.entry(index, offset),
                TableChange::Truncate { from } => table.truncate(from),
                TableChange::Gap { to } => {
                    table.gap(to);
                    gaps.push(to);
                }
            }
        }
        if let Some(active) = table.active() {
            active.index.summary.bytes = self.active.offset;
        }
        drop(table);
        for to in gaps {
            self.shared.tail.write().gap_written(to);
        }
        Ok(())
    }

    /// Writes zeros ahead of small batches. A first write into reserved space changes the file's extents. Its
    /// sync must then wait for the file system's journal, and so for all other programs that use the disk. A
    /// write over zeros need not wait. For large batches this would only write their bytes twice.
    fn zero_ahead(&mut self, path: &Path) -> Result<(), Error> {
        static ZEROS: [u8; 128 << 10] = [0; 128 << 10];
        let small = self.batch.buf.bytes.len() < ZEROS.len() / 2;
        let from = self.active.offset;
        let to = (from + ZEROS.len() as u64).min(self.shared.options.segment_bytes);
        if from <= self.zeroed_to || !small || to <= from {
            return Ok(());
        }
        let file = &self.active.file.file;
        file.write_all_at(&ZEROS[..(to - from) as usize], from)
            .during("write", path)?;
        self.zeroed_to = to;
        Ok(())
    }
}

impl<F: FileSystem> Drop for Writer<F> {
    fn drop(&mut self) {
        // The writer writes nothing more. Tell the requests that still wait.
        self.shared.abandon();
    }
}
