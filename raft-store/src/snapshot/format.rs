//! The bytes of a snapshot file; `docs/wal-format.md` says the same in prose. Little-endian.

use crc32c::{crc32c, crc32c_append};
use prost::Message;

use crate::crypto::KeyTag;
use crate::format::membership::{LogIdMessage, StoredMembershipMessage};
use crate::types::SnapshotMeta;

const MAGIC: [u8; 8] = *b"RSTMSNAP";
pub(crate) const FORMAT_VERSION: u16 = 1;
/// The fixed part of the head, before its Protobuf message.
pub(crate) const HEAD_BYTES: usize = 20;
/// The longest Protobuf message of a head: memberships are small.
pub(crate) const HEAD_MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The head of a block.
pub(crate) const BLOCK_HEAD_BYTES: usize = 20;
/// A block is closed when its records reach this size.
pub(crate) const BLOCK_RAW_BYTES: usize = 512 << 10;
/// The longest record.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 20;
const BLOCK_RAW_BYTES_MAX: usize = RECORD_BYTES_MAX + BLOCK_RAW_BYTES + 4;
pub(crate) const FOOTER_BYTES: usize = BLOCK_HEAD_BYTES + 28;

const KIND_RECORDS: u32 = 1;
const KIND_FOOTER: u32 = 2;
const KIND_ENCRYPTED: u32 = 3;

#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(message, optional, tag = "1")]
    last_log_id: Option<LogIdMessage>,
    #[prost(message, optional, tag = "2")]
    membership: Option<StoredMembershipMessage>,
    #[prost(bytes = "vec", tag = "3")]
    digest: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    cluster_id: Vec<u8>,
    #[prost(uint64, tag = "5")]
    created_ms: u64,
    #[prost(bytes = "vec", tag = "6")]
    key: Vec<u8>,
}

/// The state that a snapshot holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SnapshotHead {
    pub(crate) meta: SnapshotMeta,
    pub(crate) digest: u128,
    pub(crate) cluster_id: u128,
    pub(crate) created_ms: u64,
    /// What the records are encrypted with.
    pub(crate) key: Option<KeyTag>,
}

impl SnapshotHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = HeadMessage {
            last_log_id: self.meta.last_log_id.map(Into::into),
            membership: Some((&self.meta.last_membership).into()),
            digest: self.digest.to_le_bytes().to_vec(),
            cluster_id: self.cluster_id.to_le_bytes().to_vec(),
            created_ms: self.created_ms,
            key: self.key.map_or_else(Vec::new, |key| key.encode().to_vec()),
        }
        .encode_to_vec();
        let mut buf = Vec::with_capacity(HEAD_BYTES + message.len());
        buf.extend_from_slice(&MAGIC);
        buf.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        buf.extend_from_slice(&0u16.to_le_bytes());
        buf.extend_from_slice(&(message.len() as u32).to_le_bytes());
        let crc = crc32c_append(crc32c(&buf), &message);
        buf.extend_from_slice(&crc.to_le_bytes());
        buf.extend_from_slice(&message);
        buf
    }

    /// How long the message behind the fixed part `fixed` is.
    pub(crate) fn message_len(fixed: &[u8; HEAD_BYTES]) -> Result<usize, String> {
        if fixed[..8] != MAGIC {
            return Err("it has no magic number".into());
        }
        let version = u16::from_le_bytes([fixed[8], fixed[9]]);
        if version > FORMAT_VERSION {
            return Err(format!(
                "it has format version {version}, this build reads {FORMAT_VERSION}"
            ));
        }
        match u32_at(fixed, 12) as usize {
            len if len <= HEAD_MESSAGE_BYTES_MAX => Ok(len),
            len => Err(format!("its head claims {len} bytes")),
        }
    }

    pub(crate) fn decode(fixed: &[u8; HEAD_BYTES], message: &[u8]) -> Result<Self, String> {
        if crc32c_append(crc32c(&fixed[..16]), message) != u32_at(fixed, 16) {
            return Err("its head fails its checksum".into());
        }
        let message = HeadMessage::decode(message).map_err(|error| error.to_string())?;
        let membership = message.membership.unwrap_or_default().to_stored()?;
        Ok(SnapshotHead {
            meta: SnapshotMeta {
                last_log_id: message.last_log_id.map(Into::into),
                last_membership: membership,
            },
            digest: u128_of(&message.digest),
            cluster_id: u128_of(&message.cluster_id),
            created_ms: message.created_ms,
            key: message
                .key
                .as_slice()
                .try_into()
                .ok()
                .and_then(KeyTag::decode),
        })
    }
}

/// The footer's totals over all other blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotTotals {
    pub(crate) records: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) blocks: u64,
    /// Checksum over the head's and all blocks' checksums.
    pub(crate) checksum: u32,
}

impl SnapshotTotals {
    pub(crate) fn of_head(head: &[u8]) -> Self {
        SnapshotTotals {
            checksum: crc32c(head.get(16..20).unwrap_or_default()),
            ..SnapshotTotals::default()
        }
    }

    pub(crate) fn add(&mut self, block: &BlockHead) {
        self.records += u64::from(block.records);
        self.raw_bytes += u64::from(block.raw_len);
        self.blocks += 1;
        self.checksum = crc32c_append(self.checksum, &block.crc.to_le_bytes());
    }

    fn encode(&self) -> [u8; FOOTER_BYTES - BLOCK_HEAD_BYTES] {
        let mut buf = [0; FOOTER_BYTES - BLOCK_HEAD_BYTES];
        buf[..8].copy_from_slice(&self.records.to_le_bytes());
        buf[8..16].copy_from_slice(&self.raw_bytes.to_le_bytes());
        buf[16..24].copy_from_slice(&self.blocks.to_le_bytes());
        buf[24..].copy_from_slice(&self.checksum.to_le_bytes());
        buf
    }

    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        (data.len() == FOOTER_BYTES - BLOCK_HEAD_BYTES).then(|| SnapshotTotals {
            records: u64_at(data, 0),
            raw_bytes: u64_at(data, 8),
            blocks: u64_at(data, 16),
            checksum: u32_at(data, 24),
        })
    }
}

/// The head of a block: records, or the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    crc: u32,
    kind: u32,
    pub(crate) stored_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) records: u32,
}

impl BlockHead {
    pub(crate) fn is_footer(&self) -> bool {
        self.kind == KIND_FOOTER
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.kind == KIND_ENCRYPTED
    }

    pub(crate) fn decode(bytes: &[u8; BLOCK_HEAD_BYTES]) -> Result<Self, String> {
        let head = BlockHead {
            crc: u32_at(bytes, 0),
            kind: u32_at(bytes, 4),
            stored_len: u32_at(bytes, 8),
            raw_len: u32_at(bytes, 12),
            records: u32_at(bytes, 16),
        };
        let longest = head.stored_len.max(head.raw_len) as usize;
        if !matches!(head.kind, KIND_RECORDS | KIND_FOOTER | KIND_ENCRYPTED)
            || longest > BLOCK_RAW_BYTES_MAX
        {
            return Err("a block's head is invalid".into());
        }
        Ok(head)
    }

    pub(crate) fn check(
        &self,
        bytes: &[u8; BLOCK_HEAD_BYTES],
        data: &[u8],
        offset: u64,
    ) -> Result<(), String> {
        match block_crc(&bytes[4..], data, offset) == self.crc {
            true => Ok(()),
            false => Err("a block fails its checksum".into()),
        }
    }
}

/// A block of records, compressed (and perhaps encrypted) into `stored`, as it is written at
/// `offset`.
pub(crate) fn encode_block(
    stored: &[u8],
    is_encrypted: bool,
    raw_len: usize,
    records: u32,
    offset: u64,
) -> (BlockHead, Vec<u8>) {
    let kind = match is_encrypted {
        true => KIND_ENCRYPTED,
        false => KIND_RECORDS,
    };
    encode(kind, stored, raw_len as u32, records, offset)
}

/// The context that an encrypted block is authenticated with.
pub(crate) fn block_context(raw_len: u32, records: u32, offset: u64) -> Vec<u8> {
    let mut bytes = offset.to_le_bytes().to_vec();
    bytes.extend_from_slice(&raw_len.to_le_bytes());
    bytes.extend_from_slice(&records.to_le_bytes());
    bytes
}

pub(crate) fn encode_footer(totals: &SnapshotTotals, offset: u64) -> Vec<u8> {
    let data = totals.encode();
    debug_assert_eq!(
        SnapshotTotals::decode(&data),
        Some(*totals),
        "the footer would be read as another"
    );
    encode(KIND_FOOTER, &data, data.len() as u32, 0, offset).1
}

fn encode(kind: u32, data: &[u8], raw_len: u32, records: u32, offset: u64) -> (BlockHead, Vec<u8>) {
    let stored_len = data.len() as u32;
    let mut buf = Vec::with_capacity(BLOCK_HEAD_BYTES + data.len());
    buf.extend_from_slice(&[0; 4]);
    for word in [kind, stored_len, raw_len, records] {
        buf.extend_from_slice(&word.to_le_bytes());
    }
    let crc = block_crc(&buf[4..], data, offset);
    buf[..4].copy_from_slice(&crc.to_le_bytes());
    buf.extend_from_slice(data);
    (
        BlockHead {
            crc,
            kind,
            stored_len,
            raw_len,
            records,
        },
        buf,
    )
}

/// The checksum covers the offset, so a block in the wrong place is refused.
fn block_crc(head: &[u8], data: &[u8], offset: u64) -> u32 {
    crc32c_append(crc32c_append(crc32c(&offset.to_le_bytes()), head), data)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

fn u128_of(bytes: &[u8]) -> u128 {
    bytes.try_into().map_or(0, u128::from_le_bytes)
}
