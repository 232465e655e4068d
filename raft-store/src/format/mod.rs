//! The bytes of the write-ahead log, and nothing else: `docs/wal-format.md` says the same in
//! prose. All integers are little-endian.

pub(crate) mod codec;
mod encode;
mod header;
#[cfg(feature = "testing")]
pub mod measured;
pub(crate) mod membership;

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};
use openraft::EntryPayload;

use crate::crypto::Cipher;
use crate::types::{Data, Entry, LogId, Vote, log_id};

pub(crate) use encode::{Buffer, Encoder};
pub use header::{HardState, SegmentHeader};
pub(crate) use header::{HeaderFault, SEGMENT_HEADER_BYTES};

/// Length of a record's header.
pub(crate) const RECORD_HEADER_BYTES: usize = 12;
/// Records start at multiples of this.
pub(crate) const RECORD_ALIGN_BYTES: usize = 8;
/// Longest payload of an entry.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = 256 << 20;
/// Every index is below this. Adding to an index then cannot overflow. The same bit marks the numbers of history
/// files.
pub(crate) const INDEX_END: u64 = 1 << 63;
/// What an entry record holds besides its payload.
pub(crate) const ENTRY_HEAD_BYTES: usize = 17;

const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Segment number.
    pub segment: u64,
    /// Offset in its file.
    pub offset: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordType {
    Batch = 1,
    Entry = 2,
    Vote = 3,
    Committed = 4,
    Truncate = 5,
    Purge = 6,
    Close = 7,
    Seal = 8,
}

impl RecordType {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => RecordType::Batch,
            2 => RecordType::Entry,
            3 => RecordType::Vote,
            4 => RecordType::Committed,
            5 => RecordType::Truncate,
            6 => RecordType::Purge,
            7 => RecordType::Close,
            8 => RecordType::Seal,
            _ => return None,
        })
    }
}

/// The head of a batch: what was durable when the writer wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Everything before this position was durable.
    pub durable: LogPosition,
    /// The writer's wall clock, Unix time in milliseconds.
    pub time_ms: u64,
}

/// A decoded record. Payloads still borrow from the file's bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum LogRecord<'a> {
    /// The head of a batch.
    Batch(Mark),
    /// One Raft entry.
    Entry(EntryRecord<'a>),
    /// A vote.
    Vote(Vote),
    /// The committed log id.
    Committed(LogId),
    /// Everything after this log id is cut off (`None`: all entries).
    Truncate(Option<LogId>),
    /// Raft has purged everything up to this log id. It remains as history.
    Purge(LogId),
    /// The closing mark of an idle log.
    Close(Mark),
    /// The end of a segment: nothing follows in it.
    Seal(Mark),
}

/// A Raft entry as stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EntryRecord<'a> {
    /// Its log id.
    pub log_id: LogId,
    kind: u8,
    flags: u8,
    stored: &'a [u8],
    at: LogPosition,
    cipher: Option<&'a Cipher>,
}

impl EntryRecord<'_> {
    /// The entry with its own copy of the payload, decrypted and decompressed.
    ///
    /// # Errors
    /// What is wrong with the payload.
    pub fn to_entry(&self) -> Result<Entry, String> {
        let payload = match self.kind {
            KIND_BLANK => EntryPayload::Blank,
            KIND_NORMAL => EntryPayload::Normal(Data(Bytes::from(self.payload()?))),
            KIND_MEMBERSHIP => {
                EntryPayload::Membership(membership::decode_membership(&self.payload()?)?)
            }
            other => return Err(format!("an entry of unknown kind {other}")),
        };
        Ok(Entry {
            log_id: self.log_id,
            payload,
        })
    }
}

impl EntryRecord<'_> {
    fn payload(&self) -> Result<Vec<u8>, String> {
        let place = place(self.at.offset).ok_or("its offset in the file is too high")?;
        let context = || context(self.at, self.log_id, self.kind, self.flags);
        codec::load(
            self.stored,
            self.flags,
            self.cipher,
            place,
            context,
            PAYLOAD_BYTES_MAX,
        )
    }
}

/// The part of a nonce that gives the place: records begin at multiples of [`RECORD_ALIGN_BYTES`].
fn place(offset: u64) -> Option<u32> {
    u32::try_from(offset / RECORD_ALIGN_BYTES as u64).ok()
}

/// The context that an encrypted payload is authenticated with: its place, and the unencrypted fields of its record.
fn context(at: LogPosition, id: LogId, kind: u8, flags: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(34);
    for word in [at.segment, at.offset, id.leader_id.term, id.index] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&[kind, flags]);
    bytes
}

/// Why there is no record at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// End of file, or an all-zero header: where a log ends.
    End,
    /// Bytes that are not a record of this position.
    Bad(&'static str),
    /// A valid record that this build does not understand.
    Unsupported(String),
}

/// Decodes the record at `at`, where `bytes` starts. Also returns its whole length.
pub(crate) fn decode_record<'a>(
    bytes: &'a [u8],
    at: LogPosition,
    cipher: Option<&'a Cipher>,
) -> Result<(LogRecord<'a>, usize), RecordFault> {
    let header = bytes.get(..RECORD_HEADER_BYTES).unwrap_or(bytes);
    if header.iter().all(|byte| *byte == 0) {
        return Err(RecordFault::End);
    }
    let cut = RecordFault::Bad("the record is cut off");
    let (Some(crc), Some(body_len)) = (u32_at(header, 0), u32_at(header, 4)) else {
        return Err(cut);
    };
    let end = RECORD_HEADER_BYTES.saturating_add(body_len as usize);
    let len = end.next_multiple_of(RECORD_ALIGN_BYTES);
    let record = bytes.get(..len).ok_or(cut)?;
    // The checksum covers position and segment. So bytes from an earlier use of the space, or from another
    // file, are refused.
    if record_crc(at.segment, at.offset, &record[4..]) != crc {
        return Err(RecordFault::Bad("the record fails its checksum"));
    }
    let flags = record[9];
    let known = match record[8] == RecordType::Entry as u8 {
        true => codec::COMPRESSED | codec::ENCRYPTED,
        false => 0,
    };
    if flags & !known != 0 {
        return Err(RecordFault::Unsupported(format!(
            "a record has the flags {flags:#04x}"
        )));
    }
    let Some(kind) = RecordType::of(record[8]) else {
        return Err(RecordFault::Unsupported(format!(
            "a record has the type {}",
            record[8]
        )));
    };
    let body = &record[RECORD_HEADER_BYTES..end];
    let decoded = match kind {
        RecordType::Entry => decode_entry(body, flags, at, cipher),
        kind => decode_body(kind, body),
    };
    let decoded = decoded.ok_or(RecordFault::Bad("the record's body does not fit its type"))?;
    Ok((decoded, len))
}

fn decode_entry<'a>(
    body: &'a [u8],
    flags: u8,
    at: LogPosition,
    cipher: Option<&'a Cipher>,
) -> Option<LogRecord<'a>> {
    Some(LogRecord::Entry(EntryRecord {
        log_id: log_id_at(body)?,
        kind: *body.get(16)?,
        flags,
        stored: body.get(ENTRY_HEAD_BYTES..)?,
        at,
        cipher,
    }))
}

fn decode_body(kind: RecordType, body: &[u8]) -> Option<LogRecord<'_>> {
    Some(match kind {
        RecordType::Batch => LogRecord::Batch(mark_at(body)?),
        RecordType::Close => LogRecord::Close(mark_at(body)?),
        RecordType::Seal => LogRecord::Seal(mark_at(body)?),
        // It carries more than its body.
        RecordType::Entry => return None,
        RecordType::Vote => {
            let (term, node) = (u64_at(body, 0)?, u64_at(body, 8)?);
            LogRecord::Vote(match body.get(16)? {
                0 => Vote::new(term, node),
                _ => Vote::new_committed(term, node),
            })
        }
        RecordType::Committed => LogRecord::Committed(log_id_at(body)?),
        RecordType::Truncate if body.is_empty() => LogRecord::Truncate(None),
        RecordType::Truncate => LogRecord::Truncate(Some(log_id_at(body)?)),
        RecordType::Purge => LogRecord::Purge(log_id_at(body)?),
    })
}

/// The durable position that the mark at `offset` gives, if there is a mark. With it, the search after a bad
/// record tells a torn write from damage.
pub(crate) fn mark_here(bytes: &[u8], at: LogPosition) -> Option<LogPosition> {
    let kind = RecordType::of(*bytes.get(8)?)?;
    if !matches!(
        kind,
        RecordType::Batch | RecordType::Close | RecordType::Seal
    ) {
        return None;
    }
    match decode_record(bytes, at, None) {
        Ok((LogRecord::Batch(mark) | LogRecord::Close(mark) | LogRecord::Seal(mark), _)) => {
            Some(mark.durable)
        }
        _ => None,
    }
}

fn record_crc(segment: u64, offset: u64, covered: &[u8]) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&segment.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c_append(crc32c(&place), covered)
}

fn mark_at(body: &[u8]) -> Option<Mark> {
    Some(Mark {
        durable: LogPosition {
            segment: u64_at(body, 0)?,
            offset: u64_at(body, 8)?,
        },
        time_ms: u64_at(body, 16)?,
    })
}

fn log_id_at(body: &[u8]) -> Option<LogId> {
    log_id_of(u64_at(body, 0)?, u64_at(body, 8)?)
}

/// `None` where no log has such an index.
fn log_id_of(term: u64, index: u64) -> Option<LogId> {
    (index < INDEX_END).then(|| log_id(term, index))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
