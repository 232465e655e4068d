//! Reads a snapshot file, and verifies all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::format::{
    self, BLOCK_HEAD_BYTES, BlockHead, FOOTER_BYTES, HEAD_BYTES, SnapshotHead, SnapshotTotals,
};
use super::write::nonce_of;
use crate::crypto::{Cipher, Keyring};
use crate::error::{Error, IoContext};
use crate::fs::File;

const ADVICE: &str = "restore the file, or the whole folder, from a backup; with other nodes that hold the data, \
     empty this one with `rstmdb rejoin`";

pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Error {
    Error::Damaged {
        file: path.to_owned(),
        offset,
        what: what.into(),
        covers: "the whole state of the snapshot".into(),
        advice: ADVICE,
    }
}

/// The records of a snapshot, in the order written. The end of the iteration without an error
/// means that every record was there and intact.
pub struct SnapshotReader<F> {
    file: Arc<F>,
    path: PathBuf,
    offset: u64,
    len: u64,
    block: Bytes,
    seen: SnapshotTotals,
    cipher: Option<Arc<Cipher>>,
    done: bool,
}

impl<F: File> SnapshotReader<F> {
    pub(super) fn new(
        file: Arc<F>,
        path: PathBuf,
        keys: &Keyring,
    ) -> Result<(SnapshotHead, Self), Error> {
        let len = file.len().during("measure", &path)?;
        let (head, head_len, totals) = read_head(&*file, &path)?;
        let cipher = keys.for_file(head.key.as_ref(), &path)?;
        let reader = SnapshotReader {
            file,
            path,
            offset: head_len,
            len,
            block: Bytes::new(),
            seen: totals,
            cipher,
            done: false,
        };
        Ok((head, reader))
    }

    fn next_record(&mut self) -> Result<Option<Bytes>, Error> {
        while self.block.is_empty() {
            if !self.next_block()? {
                return Ok(None);
            }
        }
        let bad = || damaged(&self.path, self.offset, "a record is longer than its block");
        if self.block.len() < 4 {
            return Err(bad());
        }
        let len = self.block.get_u32_le() as usize;
        if len > self.block.len() {
            return Err(bad());
        }
        Ok(Some(self.block.split_to(len)))
    }

    /// Loads the next block of records; false at the footer.
    fn next_block(&mut self) -> Result<bool, Error> {
        let at = self.offset;
        let bad = |what: String| damaged(&self.path, at, what);
        let (head, data) = read_block(&*self.file, &self.path, at, self.len)?;
        self.offset += (BLOCK_HEAD_BYTES + data.len()) as u64;
        if head.is_footer() {
            let matches =
                SnapshotTotals::decode(&data) == Some(self.seen) && self.offset == self.len;
            return if matches {
                Ok(false)
            } else {
                Err(bad("the totals do not add up".into()))
            };
        }
        let data = match head.is_encrypted() {
            true => self.decrypt(&head, at, &data)?,
            false => data,
        };
        let raw = zstd::bulk::decompress(&data, head.raw_len as usize)
            .map_err(|error| bad(format!("a block does not decompress: {error}")))?;
        if raw.len() != head.raw_len as usize {
            return Err(bad("a block is shorter than its head says".into()));
        }
        self.seen.add(&head);
        self.block = raw.into();
        Ok(true)
    }
}

impl<F: File> SnapshotReader<F> {
    fn decrypt(&self, head: &BlockHead, at: u64, data: &[u8]) -> Result<Vec<u8>, Error> {
        let bad = |what: &str| damaged(&self.path, at, what);
        let cipher = self.cipher.as_ref();
        let cipher =
            cipher.ok_or_else(|| bad("a block is encrypted, but the file's head names no key"))?;
        let context = format::block_context(head.raw_len, head.records, at);
        cipher
            .open(nonce_of(self.seen.blocks)?, &context, data)
            .ok_or_else(|| bad("a block does not decrypt"))
    }
}

impl<F: File> Iterator for SnapshotReader<F> {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.next_record().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The head, its length, and the totals to go on from.
pub(super) fn read_head(
    file: &impl File,
    path: &Path,
) -> Result<(SnapshotHead, u64, SnapshotTotals), Error> {
    let bad = |what: String| damaged(path, 0, what);
    let mut fixed = [0; HEAD_BYTES];
    file.read_exact_at(&mut fixed, 0)
        .map_err(|error| cut_off(path, 0, error))?;
    let mut message = vec![0; SnapshotHead::message_len(&fixed).map_err(bad)?];
    file.read_exact_at(&mut message, HEAD_BYTES as u64)
        .map_err(|error| cut_off(path, 0, error))?;
    let head = SnapshotHead::decode(&fixed, &message).map_err(bad)?;
    Ok((
        head,
        (HEAD_BYTES + message.len()) as u64,
        SnapshotTotals::of_head(&fixed),
    ))
}

/// Reads the footer only: enough to tell a whole file from one that is cut off.
pub(super) fn read_footer(file: &impl File, path: &Path) -> Result<(SnapshotTotals, u64), Error> {
    let len = file.len().during("measure", path)?;
    let at = len.saturating_sub(FOOTER_BYTES as u64);
    let (head, data) = read_block(file, path, at, len)?;
    match SnapshotTotals::decode(&data).filter(|_| head.is_footer()) {
        Some(totals) => Ok((totals, len)),
        None => Err(damaged(path, at, "it does not end with its totals")),
    }
}

fn read_block(
    file: &impl File,
    path: &Path,
    at: u64,
    file_len: u64,
) -> Result<(BlockHead, Vec<u8>), Error> {
    let bad = |what: String| damaged(path, at, what);
    let mut bytes = [0; BLOCK_HEAD_BYTES];
    file.read_exact_at(&mut bytes, at)
        .map_err(|error| cut_off(path, at, error))?;
    let head = BlockHead::decode(&bytes).map_err(bad)?;
    let from = at + BLOCK_HEAD_BYTES as u64;
    if u64::from(head.stored_len) > file_len.saturating_sub(from) {
        return Err(bad("it is cut off".into()));
    }
    let mut data = vec![0; head.stored_len as usize];
    file.read_exact_at(&mut data, from)
        .map_err(|error| cut_off(path, at, error))?;
    head.check(&bytes, &data, at).map_err(bad)?;
    Ok((head, data))
}

fn cut_off(path: &Path, at: u64, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged(path, at, "it is cut off"),
        _ => Error::io("read", path, error),
    }
}
