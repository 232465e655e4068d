//! How payloads are stored: compressed where that saves something, encrypted where the file has a
//! key. What is read says itself which it is, so options may change at any time.

use std::sync::Arc;

use crate::crypto::{Cipher, SESSION_BYTES, Session};
use crate::error::Error;

/// The payload begins with its length, then an LZ4 block.
pub(crate) const COMPRESSED: u8 = 1;
/// The payload begins with the session, then the ciphertext with its seal.
pub(crate) const ENCRYPTED: u8 = 2;

/// Shorter payloads are stored as they are: there is little to save, and a record more has to be
/// looked at when it is read. See `docs/performance.md` for what was measured.
const COMPRESS_BYTES_MIN: usize = 256;

/// A byte of an LZ4 block stands for at most so many bytes.
const LZ4_RATIO_MAX: u64 = 255;

/// What a file open for writing is encrypted with.
#[derive(Clone, Debug)]
pub(crate) struct Sealer {
    pub(crate) cipher: Arc<Cipher>,
    pub(crate) session: Session,
}

/// How the payloads of a file are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codec {
    pub(crate) compress: bool,
    pub(crate) sealer: Option<Sealer>,
}

impl Codec {
    /// Stores `buf[from..]`, which is a payload, as it is to be written, and says with which flags.
    /// `place` is where in the file, `context` makes what an encrypted payload is bound to from the
    /// flags.
    pub(crate) fn store(
        &self,
        buf: &mut Vec<u8>,
        from: usize,
        place: u32,
        context: impl FnOnce(u8) -> Vec<u8>,
    ) -> Result<u8, Error> {
        let mut flags = 0;
        if self.compress && compress(buf, from) {
            flags |= COMPRESSED;
        }
        if let Some(sealer) = &self.sealer {
            flags |= ENCRYPTED;
            let context = context(flags);
            buf.splice(from..from, sealer.session);
            sealer
                .cipher
                .seal((sealer.session, place), &context, buf, from + SESSION_BYTES)?;
        }
        Ok(flags)
    }
}

/// Replaces `buf[from..]` by its compressed form, if that is worth it.
fn compress(buf: &mut Vec<u8>, from: usize) -> bool {
    let raw = &buf[from..];
    let Ok(raw_len) = u32::try_from(raw.len()) else {
        return false;
    };
    if raw.len() < COMPRESS_BYTES_MIN {
        return false;
    }
    let compressed = lz4_flex::block::compress(raw);
    let worth_it = compressed.len() + 4 < raw.len() - raw.len() / 8;
    if worth_it {
        buf.truncate(from);
        buf.extend_from_slice(&raw_len.to_le_bytes());
        buf.extend_from_slice(&compressed);
    }
    worth_it
}

/// The payload that [`Codec::store`] stored. The context is what it was bound to.
pub(crate) fn load(
    stored: &[u8],
    flags: u8,
    cipher: Option<&Cipher>,
    place: u32,
    context: impl FnOnce() -> Vec<u8>,
    bytes_max: u64,
) -> Result<Vec<u8>, String> {
    let mut payload = match flags & ENCRYPTED {
        0 => stored.to_vec(),
        _ => {
            let cipher = cipher.ok_or("it is encrypted, in a file that names no key")?;
            let (session, sealed) = stored
                .split_first_chunk()
                .ok_or("it is too short to be encrypted")?;
            cipher
                .open((*session, place), &context(), sealed)
                .ok_or("it does not decrypt")?
        }
    };
    if flags & COMPRESSED != 0 {
        let (raw_len, block) = payload
            .split_first_chunk()
            .ok_or("it is too short to be compressed")?;
        let raw_len = u32::from_le_bytes(*raw_len);
        // No LZ4 block expands further: what is reserved never exceeds a multiple of what was read.
        let expanded_max = (block.len() as u64).saturating_mul(LZ4_RATIO_MAX);
        if u64::from(raw_len) > bytes_max.min(expanded_max) {
            return Err(format!("it claims {raw_len} bytes once decompressed"));
        }
        let raw = lz4_flex::block::decompress(block, raw_len as usize)
            .map_err(|error| format!("it does not decompress: {error}"))?;
        if raw.len() != raw_len as usize {
            return Err("it decompresses to another length than it says".into());
        }
        payload = raw;
    }
    Ok(payload)
}
