//! Changes from one segment to the next.

use std::path::Path;

use super::Writer;
use crate::error::{Error, IoContext};
use crate::format::{Encoder, RecordType, SEGMENT_HEADER_BYTES};
use crate::fs::{File, FileSystem};
use crate::log::shared::{SharedLog, WriterRequest};
use crate::segment::create::{begin_segment, blank_segment, trim};

impl<F: FileSystem> Writer<F> {
    fn must_roll(&self, requests: &[WriterRequest]) -> bool {
        let options = &self.shared.options;
        let header = SEGMENT_HEADER_BYTES as u64;
        let more: u64 = requests.iter().map(WriterRequest::estimate_bytes).sum();
        let is_full = self.active.offset + more > options.segment_bytes;
        let has_other_key = self.active.key_id != options.keys.current();
        (is_full && self.active.offset > header) || has_other_key
    }

    /// Reserves the next segment if these requests need it. Nothing was written for them yet.
    pub(super) fn reserve_if_due(&mut self, requests: &[WriterRequest]) -> Result<(), Error> {
        if self.blank.is_none() && self.must_roll(requests) {
            let SharedLog {
                fs,
                layout,
                options,
                ..
            } = &*self.shared;
            self.blank = Some(blank_segment(fs, layout, options)?);
        }
        Ok(())
    }

    /// Continues in the next segment exactly as it was reserved, because the seal cannot be undone. If the
    /// key has changed meanwhile, the new key is used from the next batch on.
    pub(super) fn roll_if_reserved(&mut self) -> Result<(), Error> {
        match self.blank.take() {
            Some(blank) => self.roll(blank),
            None => Ok(()),
        }
    }

    /// Seals the segment, begins the next one, and trims the sealed one. Each step is durable before the
    /// next. Recovery treats any other order as damage.
    fn roll(&mut self, blank: F::File) -> Result<(), Error> {
        let path = self.shared.layout.segment(self.active.number);
        self.seal(&path)?;
        let SharedLog {
            fs,
            layout,
            options,
            ..
        } = &*self.shared;
        let number = self.active.number + 1;
        let (active, index) = begin_segment(fs, layout, options, number, self.state, blank)?;
        trim(&self.active.file.file, &path, self.active.offset)?;
        self.active = active;
        self.zeroed_to = 0;
        self.durable = self.position();
        let sealed = {
            let mut table = self.shared.table.write();
            let sealed = table.active().map(|held| held.index.summary.clone());
            table.push(index, true, Some(self.active.file.clone()));
            sealed
        };
        if let Some(summary) = sealed {
            self.shared.catalog.lock().sealed(&summary);
        }
        Ok(())
    }

    fn seal(&mut self, path: &Path) -> Result<(), Error> {
        let (mark, base) = (self.mark(), self.position());
        self.batch.buf.bytes.clear();
        let mut encoder = Encoder::new(&mut self.batch.buf, &self.active.codec, base);
        encoder.mark(RecordType::Seal, mark);
        // Write one byte after the seal's place, durable before the seal, so that trimming always shortens the file.
        let len = encoder.offset() + 1;
        let file = &self.active.file.file;
        if file.len().during("measure", path)? < len {
            file.preallocate(len).during("preallocate", path)?;
            file.sync().during("sync", path)?;
        }
        self.flush_buffer()?;
        self.sync()
    }
}
