//! Writing records.

use openraft::EntryPayload;

use super::{
    KIND_BLANK, KIND_MEMBERSHIP, KIND_NORMAL, LogPosition, Mark, RECORD_ALIGN_BYTES,
    RECORD_HEADER_BYTES, RecordType, context, place, record_crc,
};
use crate::error::Error;
use crate::format::codec::{Codec, Compressor};
use crate::format::membership;
use crate::types::{Entry, LogId, Vote};

/// The bytes of records, and what is reused to make them.
#[derive(Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    compressor: Compressor,
}

/// Writes records at consecutive positions of one segment into a buffer.
pub(crate) struct Encoder<'a> {
    buf: &'a mut Vec<u8>,
    compressor: &'a mut Compressor,
    codec: &'a Codec,
    segment: u64,
    /// The file offset of the buffer's first byte.
    base: u64,
}

impl<'a> Encoder<'a> {
    /// For records from `base` on.
    pub(crate) fn new(buf: &'a mut Buffer, codec: &'a Codec, base: LogPosition) -> Self {
        Encoder {
            buf: &mut buf.bytes,
            compressor: &mut buf.compressor,
            codec,
            segment: base.segment,
            base: base.offset,
        }
    }

    /// The file offset the next record gets.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.buf.len() as u64
    }

    pub(crate) fn mark(&mut self, kind: RecordType, mark: Mark) {
        self.record(kind, |buf| {
            for word in [mark.durable.segment, mark.durable.offset, mark.time_ms] {
                buf.extend_from_slice(&word.to_le_bytes());
            }
        });
    }

    /// # Errors
    /// When it cannot be encrypted.
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let at = LogPosition {
            segment: self.segment,
            offset: self.offset(),
        };
        let too_far = Error::TooLarge {
            bytes: at.offset,
            bytes_max: u64::from(u32::MAX),
        };
        let place = place(at.offset).ok_or(too_far)?;
        let start = self.begin();
        put_log_id(self.buf, entry.log_id);
        let kind = match &entry.payload {
            EntryPayload::Blank => KIND_BLANK,
            EntryPayload::Normal(_) => KIND_NORMAL,
            EntryPayload::Membership(_) => KIND_MEMBERSHIP,
        };
        self.buf.push(kind);
        let from = self.buf.len();
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(data) => self.buf.extend_from_slice(&data.0),
            EntryPayload::Membership(members) => membership::encode(members, self.buf),
        }
        let flags = match kind {
            KIND_BLANK => 0,
            _ => {
                let context = |flags| context(at, entry.log_id, kind, flags);
                let (buf, compressor) = (&mut *self.buf, &mut *self.compressor);
                self.codec.store(buf, from, compressor, place, context)?
            }
        };
        self.end(start, RecordType::Entry, flags);
        Ok(())
    }

    pub(crate) fn vote(&mut self, vote: &Vote) {
        self.record(RecordType::Vote, |buf| {
            buf.extend_from_slice(&vote.leader_id.term.to_le_bytes());
            buf.extend_from_slice(&vote.leader_id.voted_for.to_le_bytes());
            buf.push(u8::from(vote.committed));
        });
    }

    pub(crate) fn committed(&mut self, id: LogId) {
        self.record(RecordType::Committed, |buf| put_log_id(buf, id));
    }

    pub(crate) fn truncate(&mut self, keep: Option<LogId>) {
        self.record(RecordType::Truncate, |buf| {
            if let Some(id) = keep {
                put_log_id(buf, id);
            }
        });
    }

    pub(crate) fn purge(&mut self, id: LogId) {
        self.record(RecordType::Purge, |buf| put_log_id(buf, id));
    }

    fn record(&mut self, kind: RecordType, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.begin();
        body(self.buf);
        self.end(start, kind, 0);
    }

    /// Makes room for a record's header, and says where.
    fn begin(&mut self) -> usize {
        let start = self.buf.len();
        debug_assert_eq!(
            self.offset() % RECORD_ALIGN_BYTES as u64,
            0,
            "a record begins at a position that no search checks"
        );
        self.buf.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        start
    }

    fn end(&mut self, start: usize, kind: RecordType, flags: u8) {
        let offset = self.base + start as u64;
        let body_len = (self.buf.len() - start - RECORD_HEADER_BYTES) as u32;
        self.buf
            .resize(self.buf.len().next_multiple_of(RECORD_ALIGN_BYTES), 0);
        self.buf[start + 4..start + 8].copy_from_slice(&body_len.to_le_bytes());
        self.buf[start + 8] = kind as u8;
        self.buf[start + 9] = flags;
        let crc = record_crc(self.segment, offset, &self.buf[start + 4..]);
        self.buf[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

fn put_log_id(buf: &mut Vec<u8>, id: LogId) {
    buf.extend_from_slice(&id.leader_id.term.to_le_bytes());
    buf.extend_from_slice(&id.index.to_le_bytes());
}
