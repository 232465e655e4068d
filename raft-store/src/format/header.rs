//! The head of a segment file.

use crc32c::crc32c;

use super::{log_id_of, u16_at, u32_at, u64_at};
use crate::crypto::KeyTag;
use crate::types::{LogId, Vote};

const MAGIC: [u8; 8] = *b"RSTMWAL\n";
/// The version this build writes, and the highest it reads.
const FORMAT_VERSION: u16 = 1;
/// Length of the segment header this build writes; a later version may write a longer one.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 192;
const SEGMENT_HEADER_BYTES_MAX: usize = 4096;

/// Raft's hard state: what must survive a restart besides the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last saved committed log id.
    pub committed: Option<LogId>,
    /// The last purged log id.
    pub purged: Option<LogId>,
    /// The last log id: of the last entry, or the purged one.
    pub last: Option<LogId>,
}

impl HardState {
    /// Cuts the log after `keep`, which must be in it.
    pub(crate) fn truncate(&mut self, keep: Option<LogId>) {
        self.last = self.last.min(keep).max(self.purged);
    }

    /// Purges up to `id`. Returns whether `id` was beyond the end of the log: then the next entry does not
    /// continue the old log.
    pub(crate) fn purge(&mut self, id: LogId) -> bool {
        self.purged = self.purged.max(Some(id));
        let gap = self.last.is_none_or(|last| last.index < id.index);
        if gap {
            self.last = Some(id);
        }
        gap
    }
}

/// The head of a segment file. It repeats the hard state, so that older segments can be dropped
/// or left unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The cluster the log belongs to; 0 when it was not yet known.
    pub cluster_id: u128,
    /// The segment's number, as in its file name.
    pub segment: u64,
    /// When it was created, Unix time in milliseconds.
    pub created_ms: u64,
    /// The hard state when it was created.
    pub state: HardState,
    /// The file's length when its header was written. Until it is sealed it is never shorter, so a shorter
    /// file has lost data.
    pub allocated: u64,
    /// What the payloads in it are encrypted with.
    pub key: Option<KeyTag>,
}

/// Why bytes are not a segment header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Damaged(&'static str),
    Unsupported(String),
}

const ALLOCATED_AT: usize = 120;
const KEY_AT: usize = 128;

const HAS_VOTE: u32 = 1;
const VOTE_COMMITTED: u32 = 2;
const HAS_COMMITTED: u32 = 4;
const HAS_PURGED: u32 = 8;
const HAS_LAST: u32 = 16;

impl SegmentHeader {
    /// The index of the first entry written to the segment, unless the log is truncated first.
    pub fn first_index(&self) -> u64 {
        self.state.last.map_or(0, |last| last.index + 1)
    }

    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let state = &self.state;
        let mut present = 0;
        for (bit, on) in [
            (HAS_VOTE, state.vote.is_some()),
            (
                VOTE_COMMITTED,
                state.vote.is_some_and(|vote| vote.committed),
            ),
            (HAS_COMMITTED, state.committed.is_some()),
            (HAS_PURGED, state.purged.is_some()),
            (HAS_LAST, state.last.is_some()),
        ] {
            present |= if on { bit } else { 0 };
        }
        let mut buf = [0; SEGMENT_HEADER_BYTES];
        buf[..8].copy_from_slice(&MAGIC);
        buf[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        buf[10..12].copy_from_slice(&(SEGMENT_HEADER_BYTES as u16).to_le_bytes());
        buf[12..16].copy_from_slice(&present.to_le_bytes());
        buf[16..32].copy_from_slice(&self.cluster_id.to_le_bytes());
        let vote = state.vote.map_or((0, 0), |vote| {
            (vote.leader_id.term, vote.leader_id.voted_for)
        });
        let pair = |id: Option<LogId>| id.map_or((0, 0), |id| (id.leader_id.term, id.index));
        let (committed, purged, last) =
            (pair(state.committed), pair(state.purged), pair(state.last));
        let words = [
            self.segment,
            self.first_index(),
            self.created_ms,
            vote.0,
            vote.1,
            committed.0,
            committed.1,
            purged.0,
            purged.1,
            last.0,
            last.1,
        ];
        for (slot, word) in buf[32..].chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        buf[ALLOCATED_AT..KEY_AT].copy_from_slice(&self.allocated.to_le_bytes());
        if let Some(key) = &self.key {
            buf[KEY_AT..KEY_AT + KeyTag::BYTES].copy_from_slice(&key.encode());
        }
        let crc = crc32c(&buf[..SEGMENT_HEADER_BYTES - 4]);
        buf[SEGMENT_HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        buf
    }

    /// The header and its length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, usize), HeaderFault> {
        if bytes.get(..8) != Some(&MAGIC) {
            return Err(HeaderFault::Damaged(
                "the segment header has no magic number",
            ));
        }
        let damaged = HeaderFault::Damaged("the segment header fails its checksum");
        let len = usize::from(u16_at(bytes, 10).ok_or(damaged.clone())?);
        if !(SEGMENT_HEADER_BYTES..=SEGMENT_HEADER_BYTES_MAX).contains(&len) || len % 8 != 0 {
            return Err(damaged);
        }
        let header = bytes.get(..len).ok_or(damaged.clone())?;
        if u32_at(header, len - 4) != Some(crc32c(&header[..len - 4])) {
            return Err(damaged);
        }
        let version = u16_at(header, 8).ok_or(damaged.clone())?;
        if version > FORMAT_VERSION {
            return Err(HeaderFault::Unsupported(format!(
                "it has format version {version}, this build reads up to {FORMAT_VERSION}"
            )));
        }
        let fields = Self::decode_fields(header).ok_or(damaged)?;
        Ok((fields, len))
    }

    fn decode_fields(header: &[u8]) -> Option<Self> {
        let present = u32_at(header, 12)?;
        let word = |n: usize| u64_at(header, 32 + 8 * n);
        let pair = |bit: u32, n: usize| -> Option<Option<LogId>> {
            match present & bit {
                0 => Some(None),
                _ => log_id_of(word(n)?, word(n + 1)?).map(Some),
            }
        };
        let vote = if present & VOTE_COMMITTED != 0 {
            Vote::new_committed(word(3)?, word(4)?)
        } else {
            Vote::new(word(3)?, word(4)?)
        };
        Some(SegmentHeader {
            cluster_id: u128::from_le_bytes(header.get(16..32)?.try_into().ok()?),
            segment: word(0)?,
            created_ms: word(2)?,
            state: HardState {
                vote: (present & HAS_VOTE != 0).then_some(vote),
                committed: pair(HAS_COMMITTED, 5)?,
                purged: pair(HAS_PURGED, 7)?,
                last: pair(HAS_LAST, 9)?,
            },
            allocated: u64_at(header, ALLOCATED_AT)?,
            key: KeyTag::decode(header.get(KEY_AT..)?.first_chunk()?),
        })
    }
}
