//! What is measured on its own, outside of this crate.

use super::codec::Codec;
use super::{Buffer, Encoder, LogPosition, Mark, RecordType};
use crate::error::Error;
use crate::types::Entry;

/// The records of a batch, as the writer makes them of a file that is compressed and not encrypted.
#[derive(Default)]
pub struct RecordBatch {
    buf: Buffer,
}

impl RecordBatch {
    /// Makes the records, and says how many bytes they are.
    ///
    /// # Errors
    /// When an entry is too large.
    pub fn encode(&mut self, entries: &[Entry]) -> Result<usize, Error> {
        let codec = Codec {
            compress: true,
            sealer: None,
        };
        self.buf.bytes.clear();
        let mut encoder = Encoder::new(&mut self.buf, &codec, LogPosition::default());
        let mark = Mark {
            durable: LogPosition::default(),
            time_ms: 1_700_000_000_000,
        };
        encoder.mark(RecordType::Batch, mark);
        for entry in entries {
            encoder.entry(entry)?;
        }
        Ok(self.buf.bytes.len())
    }
}
