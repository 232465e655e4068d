//! Writing a snapshot file in blocks.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::format::{self, BLOCK_RAW_BYTES, RECORD_BYTES_MAX, SnapshotHead, SnapshotTotals};
use crate::crypto::{Cipher, NonceSession};
use crate::error::{Error, IoContext};
use crate::fs::File;

/// Fast enough to stay below the disk, and a third of the size.
const ZSTD_LEVEL: i32 = 1;

/// Writes head, records and footer to an empty file. Not synced.
pub(super) fn write_all(
    file: &impl File,
    path: &Path,
    head: &SnapshotHead,
    cipher: Option<Arc<Cipher>>,
    records: impl Iterator<Item = Bytes>,
) -> Result<(SnapshotTotals, u64), Error> {
    let head = head.encode();
    let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).during("compress", path)?;
    file.write_all_at(&head, 0).during("write", path)?;
    let mut blocks = Blocks {
        file,
        path,
        offset: head.len() as u64,
        raw: Vec::with_capacity(BLOCK_RAW_BYTES),
        records: 0,
        totals: SnapshotTotals::of_head(&head),
        compressor,
        cipher,
    };
    for record in records {
        blocks.push(&record)?;
    }
    blocks.finish()
}

/// The block's number is enough for the nonce: each snapshot has its own key and is written once.
pub(super) fn nonce_of(block: u64) -> Result<(NonceSession, u32), Error> {
    let place = u32::try_from(block).map_err(|_| Error::TooLarge {
        bytes: block.saturating_mul(BLOCK_RAW_BYTES as u64),
        bytes_max: u64::from(u32::MAX) * BLOCK_RAW_BYTES as u64,
    })?;
    Ok((NonceSession::default(), place))
}

struct Blocks<'a, F> {
    file: &'a F,
    path: &'a Path,
    offset: u64,
    raw: Vec<u8>,
    records: u32,
    totals: SnapshotTotals,
    compressor: zstd::bulk::Compressor<'static>,
    cipher: Option<Arc<Cipher>>,
}

impl<F: File> Blocks<'_, F> {
    fn push(&mut self, record: &Bytes) -> Result<(), Error> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(Error::TooLarge {
                bytes: record.len() as u64,
                bytes_max: RECORD_BYTES_MAX as u64,
            });
        }
        self.raw
            .extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.raw.extend_from_slice(record);
        self.records += 1;
        if self.raw.len() >= BLOCK_RAW_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.records == 0 {
            return Ok(());
        }
        let mut stored = self
            .compressor
            .compress(&self.raw)
            .during("compress", self.path)?;
        let raw_len = self.raw.len();
        if let Some(cipher) = &self.cipher {
            let context = format::block_context(raw_len as u32, self.records, self.offset);
            let nonce = nonce_of(self.totals.blocks)?;
            cipher.seal(nonce, &context, &mut stored, 0)?;
        }
        let is_encrypted = self.cipher.is_some();
        let (head, block) =
            format::encode_block(&stored, is_encrypted, raw_len, self.records, self.offset);
        self.write(&block)?;
        self.totals.add(&head);
        self.raw.clear();
        self.records = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(SnapshotTotals, u64), Error> {
        self.flush()?;
        let footer = format::encode_footer(&self.totals, self.offset);
        self.write(&footer)?;
        Ok((self.totals, self.offset))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all_at(bytes, self.offset)
            .during("write", self.path)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
