//! How payloads are stored: compressed where that saves space, encrypted where the file has a key. The flags
//! of each record say which, so the options may change at any time.

use std::sync::Arc;

use crate::crypto::{Cipher, SESSION_BYTES, Session};
use crate::error::Error;

/// The payload begins with its length, then an LZ4 block.
pub(crate) const COMPRESSED: u8 = 1;
/// The payload begins with the session, then the ciphertext with its seal.
pub(crate) const ENCRYPTED: u8 = 2;

/// Shorter payloads are not compressed: that would save little, and a reader would have to decompress one
/// more record. See `docs/performance.md` for what was measured.
const COMPRESS_BYTES_MIN: usize = 256;

/// One byte of an LZ4 block decompresses to at most this many bytes.
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
    /// Turns the payload `buf[from..]` into its stored form, and returns its flags. `place` is its place in
    /// the file. `context` makes, from the flags, the context that an encrypted payload is authenticated
    /// with.
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

/// Returns the payload that [`Codec::store`] stored. `context` must be the one that it was stored with.
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
            let cipher = cipher.ok_or("it is encrypted, but the file names no key")?;
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
        // No LZ4 block expands further. So the memory reserved is at most a fixed multiple of the bytes read.
        let expanded_max = (block.len() as u64).saturating_mul(LZ4_RATIO_MAX);
        if u64::from(raw_len) > bytes_max.min(expanded_max) {
            return Err(format!("it claims {raw_len} bytes once decompressed"));
        }
        let raw = lz4_flex::block::decompress(block, raw_len as usize)
            .map_err(|error| format!("it does not decompress: {error}"))?;
        if raw.len() != raw_len as usize {
            return Err("its decompressed length differs from the length that it states".into());
        }
        payload = raw;
    }
    Ok(payload)
}
