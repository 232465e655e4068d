//! Entries of the log and records of a snapshot as one stream of frames: a length and a body.
//!
//! A frame is the length of its body (4 bytes, little-endian) and the body. In the stream of a
//! snapshot the body is a record. In the stream of a log it is an entry:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | kind: 0 blank, 1 normal, 2 membership |
//! | 1 | 8 | term, little-endian, as are the next two |
//! | 9 | 8 | offset |
//! | 17 | 8 | the time of its facts, Unix ms; 0 without facts |
//! | 25 | | payload, as in the log |

use bytes::{Buf, BufMut, Bytes, BytesMut};
pub use rstmdb_engine::chain::EntryKind;
use rstmdb_engine::chain::Logged;

/// What precedes a body.
pub const LENGTH_BYTES: usize = 4;
/// The fields before the payload in the body of an entry.
const ENTRY_HEAD_BYTES: usize = 25;
/// The longest body, inclusive: the longest payload of the log and its head.
pub const BODY_BYTES_MAX: usize = (256 << 20) + ENTRY_HEAD_BYTES;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// What it holds.
    pub kind: EntryKind,
    /// Raft's term.
    pub term: u64,
    /// Its place in the log.
    pub offset: u64,
    /// The time of its facts, Unix ms; 0 without facts.
    pub time_ms: u64,
    /// As in the log.
    pub payload: Bytes,
}

impl LogEntry {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le((ENTRY_HEAD_BYTES + self.payload.len()) as u32);
        out.put_u8(self.kind.number());
        out.put_u64_le(self.term);
        out.put_u64_le(self.offset);
        out.put_u64_le(self.time_ms);
        out.put_slice(&self.payload);
    }

    /// The entry of a frame's body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(mut body: Bytes) -> Result<Self, String> {
        if body.len() < ENTRY_HEAD_BYTES {
            return Err(format!("an entry of {} bytes", body.len()));
        }
        let number = body.get_u8();
        let kind = EntryKind::of_number(number)
            .ok_or_else(|| format!("an entry of the unknown kind {number}"))?;
        Ok(Self {
            kind,
            term: body.get_u64_le(),
            offset: body.get_u64_le(),
            time_ms: body.get_u64_le(),
            payload: body,
        })
    }

    /// The entry as the chain has it.
    pub fn logged(&self) -> Logged<'_> {
        Logged {
            term: self.term,
            offset: self.offset,
            kind: self.kind,
            payload: &self.payload,
        }
    }
}

/// Appends the frame of a snapshot's record.
pub fn encode_record(record: &[u8], out: &mut Vec<u8>) {
    out.put_u32_le(record.len() as u32);
    out.put_slice(record);
}

/// The length of the body that these bytes announce.
///
/// # Errors
/// When no frame is that long.
pub fn body_length(head: [u8; LENGTH_BYTES]) -> Result<usize, String> {
    let length = u32::from_le_bytes(head) as usize;
    if length > BODY_BYTES_MAX {
        return Err(format!("a frame of {length} bytes"));
    }
    Ok(length)
}

/// Takes the body of the next frame from the bytes that have arrived; `None` while it is incomplete.
///
/// # Errors
/// When it is no frame.
pub fn take_frame(arrived: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some(head) = arrived.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = body_length(*head)?;
    if arrived.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    arrived.advance(LENGTH_BYTES);
    Ok(Some(arrived.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn entries_survive_whatever_pieces_they_come_in() {
        let entries: Vec<LogEntry> = [EntryKind::Blank, EntryKind::Normal, EntryKind::Membership]
            .into_iter()
            .zip(1..)
            .map(|(kind, n)| LogEntry {
                kind,
                term: n,
                offset: n + 10,
                time_ms: n * 1000,
                payload: Bytes::from(vec![7; n as usize * 3]),
            })
            .collect();
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        for piece in 1..bytes.len() {
            let (mut arrived, mut found) = (BytesMut::new(), Vec::new());
            for part in bytes.chunks(piece) {
                arrived.extend_from_slice(part);
                while let Some(body) = take_frame(&mut arrived).unwrap() {
                    found.push(LogEntry::decode(body).unwrap());
                }
            }
            assert_eq!(found, entries);
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        assert!(take_frame(&mut BytesMut::from(&[255; 9][..])).is_err());
        assert!(LogEntry::decode(Bytes::from_static(&[0; 24])).is_err());
        assert!(LogEntry::decode(Bytes::from_static(&[3; 25])).is_err());
    }
}
