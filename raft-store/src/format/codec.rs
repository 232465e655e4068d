//! How payloads are stored: compressed where that saves space, encrypted where the file has a key. The flags
//! of each record say which, so the options may change at any time.

use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::crypto::{Cipher, NonceSession, SESSION_BYTES};
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

/// From this length on, positions do not fit into the small table's numbers.
const LARGE_BYTES_MIN: usize = u16::MAX as usize;

/// The tables that LZ4 finds repetitions with: kept, because each is larger than most payloads. There are two,
/// because each payload clears all of its table.
#[derive(Default)]
pub(crate) struct Compressor {
    small: Option<CompressTable>,
    large: Option<CompressTable>,
}

/// What a file open for writing is encrypted with.
#[derive(Clone, Debug)]
pub(crate) struct Sealer {
    pub(crate) cipher: Arc<Cipher>,
    pub(crate) session: NonceSession,
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
        compressor: &mut Compressor,
        place: u32,
        context: impl FnOnce(u8) -> Vec<u8>,
    ) -> Result<u8, Error> {
        let mut flags = 0;
        if self.compress && compressor.compress(buf, from) {
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

impl Compressor {
    /// Replaces `buf[from..]` by its compressed form, if that is worth it.
    fn compress(&mut self, buf: &mut Vec<u8>, from: usize) -> bool {
        let end = buf.len();
        let raw_bytes = end - from;
        let Ok(raw_len) = u32::try_from(raw_bytes) else {
            return false;
        };
        if raw_bytes < COMPRESS_BYTES_MIN {
            return false;
        }
        let table = if raw_bytes < LARGE_BYTES_MIN {
            self.small.get_or_insert_with(CompressTable::small)
        } else {
            self.large.get_or_insert_with(CompressTable::large)
        };
        // Compressed behind the payload in the same buffer, which is there and large enough for the next one, too.
        buf.resize(end + get_maximum_output_size(raw_bytes), 0);
        let (raw, out) = buf.split_at_mut(end);
        let compressed = compress_into_with_table(&raw[from..], out, table);
        // Nothing fails here: the output has the most room that LZ4 may need.
        let compressed = compressed.unwrap_or(raw_bytes);
        let worth_it = compressed + 4 < raw_bytes - raw_bytes / 8;
        if worth_it {
            buf[from..from + 4].copy_from_slice(&raw_len.to_le_bytes());
            buf.copy_within(end..end + compressed, from + 4);
            buf.truncate(from + 4 + compressed);
        } else {
            buf.truncate(end);
        }
        worth_it
    }
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
