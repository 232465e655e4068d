//! Syncs, the completions that they release, and the marks that record what was durable.

use super::Writer;
use crate::error::{Error, IoContext};
use crate::folder::FsyncPolicy;
use crate::format::{Encoder, Mark, RecordType};
use crate::fs::{File, FileSystem};
use crate::log::batch::WriteProgress;
use crate::types::next_index;

impl<F: FileSystem> Writer<F> {
    pub(super) fn must_sync(&self, progress: &WriteProgress) -> bool {
        if progress.sync {
            return true;
        }
        match self.shared.options.fsync_policy {
            FsyncPolicy::Never => false,
            _ if progress.vote => true,
            FsyncPolicy::EveryWrite => progress.entries > 0,
            FsyncPolicy::EveryN(n) => self.unsynced_entries >= n,
            FsyncPolicy::EveryMs(ms) => {
                let now = self.shared.options.now_ms();
                // If the clock was set back, the time since then is unknown.
                self.unsynced_entries > 0 && now.abs_diff(self.synced_at_ms) >= ms
            }
        }
    }

    pub(super) fn sync(&mut self) -> Result<(), Error> {
        let path = self.shared.layout.segment(self.active.number);
        let stopwatch = &self.shared.options.stopwatch;
        let begin = stopwatch();
        self.active.file.file.sync().during("sync", &path)?;
        self.shared
            .counters
            .fsync(stopwatch().saturating_sub(begin));
        self.durable = self.position();
        self.unsynced_entries = 0;
        self.synced_at_ms = self.shared.options.now_ms();
        self.purged_durable = self.state.purged.map(|id| id.index);
        Ok(())
    }

    pub(super) fn publish(&self, progress: &WriteProgress) {
        let mut tail = self.shared.tail.write();
        tail.purged_durable = self.purged_durable;
        if let Some(epoch) = progress.epoch {
            tail.written(next_index(self.state.last), epoch);
        }
    }

    /// Ends the log with a mark that covers all of it, so that recovery takes nothing before it for a torn write.
    pub(super) fn write_close(&mut self) -> Result<(), Error> {
        if self.durable != self.position() {
            self.sync()?;
        }
        let (mark, base) = (self.mark(), self.position());
        self.batch.buf.bytes.clear();
        let mut encoder = Encoder::new(&mut self.batch.buf, &self.active.codec, base);
        encoder.mark(RecordType::Close, mark);
        let committed = self.shared.tail.read().state.committed.min(self.state.last);
        if let Some(id) = committed.filter(|_| committed > self.committed_written) {
            encoder.committed(id);
            self.committed_written = committed;
            self.state.committed = committed;
        }
        self.flush_buffer()?;
        self.sync()?;
        self.publish(&WriteProgress::default());
        self.marked = true;
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            durable: self.durable,
            time_ms: self.shared.options.now_ms(),
        }
    }
}
