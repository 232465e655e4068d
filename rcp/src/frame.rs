//! Binary frames: an 18-byte header, an extension that v1 skips, the payload.
//!
//! [`decode`] is pure: it classifies the bytes that have arrived. It checks the whole header before any byte
//! of the payload must have arrived, so what a caller buffers for one
//! frame is bounded by [`FrameLimits`] plus 65,535 bytes of extension.
//!
//! | what is wrong | code | answered |
//! |---|---|---|
//! | magic | UNSUPPORTED_PROTOCOL | no: the peer speaks something else |
//! | version | UNSUPPORTED_PROTOCOL | yes |
//! | a flag v1 does not have, or `compressed` | BAD_REQUEST | yes |
//! | payload_len beyond the limit | BAD_REQUEST | yes |
//! | CRC (checked only when flag bit 0 is set) | BAD_REQUEST | yes |

mod reject;

use bytes::{BufMut, BytesMut};

pub use reject::Reject;

use crate::{PAYLOAD_BYTES_MAX, PROTOCOL_VERSION};

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"RCPX";
/// The length of the header.
pub const HEADER_BYTES: usize = 18;

/// The flags of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// The header's CRC is that of the payload.
    pub const CRC: Flags = Flags(1);
    /// The payload is compressed; never set in v1.
    pub const COMPRESSED: Flags = Flags(1 << 1);
    /// The frame belongs to a stream (a watch's event).
    pub const STREAM: Flags = Flags(1 << 2);
    /// The frame is the last of its stream.
    pub const END_OF_STREAM: Flags = Flags(1 << 3);

    const KNOWN: u16 = 0b1111;

    /// The bits on the wire.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other` is set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// What a decoder accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest payload in bytes, inclusive.
    pub payload_bytes_max: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            payload_bytes_max: PAYLOAD_BYTES_MAX,
        }
    }
}

/// One frame, borrowed from the buffer it was decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The flags, all of them known.
    pub flags: Flags,
    /// The payload; its CRC is right if it had one.
    pub payload: &'a [u8],
    /// The whole frame's length: header, extension, payload. The payload is its tail.
    pub frame_bytes: usize,
}

/// What the start of a buffer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodedFrame<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// The beginning of a frame; at least this many more bytes are needed (never 0).
    NeedMore(usize),
    /// Not a frame this side accepts, whatever follows.
    Reject(Reject),
}

struct Header {
    flags: Flags,
    extension_bytes: usize,
    payload_bytes: usize,
    crc: u32,
}

/// Decodes the frame `buf` starts with.
pub fn decode<'a>(buf: &'a [u8], limits: &FrameLimits) -> DecodedFrame<'a> {
    // Reject another protocol at its first wrong byte, because such a peer may never send 18 bytes.
    let magic_bytes = buf.len().min(MAGIC.len());
    if buf[..magic_bytes] != MAGIC[..magic_bytes] {
        return DecodedFrame::Reject(bad_magic(&buf[..magic_bytes]));
    }
    let Some((header, rest)) = buf.split_first_chunk::<HEADER_BYTES>() else {
        return DecodedFrame::NeedMore(HEADER_BYTES - buf.len());
    };
    let header = match check_header(header, limits) {
        Ok(header) => header,
        Err(reject) => return DecodedFrame::Reject(reject),
    };
    // Cannot overflow: 65,535 plus at most the limit.
    let body_bytes = header.extension_bytes + header.payload_bytes;
    let Some(body) = rest.get(..body_bytes) else {
        return DecodedFrame::NeedMore(body_bytes - rest.len());
    };
    let payload = &body[header.extension_bytes..];
    if header.flags.contains(Flags::CRC) {
        let found = crc32c::crc32c(payload);
        if found != header.crc {
            return DecodedFrame::Reject(Reject::bad(format!(
                "crc32c: the header says {:#010x}, the payload's is {found:#010x}",
                header.crc
            )));
        }
    }
    DecodedFrame::Frame(Frame {
        flags: header.flags,
        payload,
        frame_bytes: HEADER_BYTES + body_bytes,
    })
}

/// The length of the whole frame at the start of `buf`, from its header; `None` without a valid header.
pub fn announced_bytes(buf: &[u8], limits: &FrameLimits) -> Option<usize> {
    let header = buf.first_chunk::<HEADER_BYTES>()?;
    let header = check_header(header, limits).ok()?;
    Some(HEADER_BYTES + header.extension_bytes + header.payload_bytes)
}

fn bad_magic(found: &[u8]) -> Reject {
    Reject {
        answerable: false,
        ..Reject::unsupported(format!(
            "magic: expected \"RCPX\", got \"{}\"",
            found.escape_ascii()
        ))
    }
}

fn check_header(header: &[u8; HEADER_BYTES], limits: &FrameLimits) -> Result<Header, Reject> {
    let [
        _,
        _,
        _,
        _,
        v0,
        v1,
        f0,
        f1,
        h0,
        h1,
        l0,
        l1,
        l2,
        l3,
        c0,
        c1,
        c2,
        c3,
    ] = *header;
    let version = u16::from_be_bytes([v0, v1]);
    if version != PROTOCOL_VERSION {
        return Err(Reject::unsupported(format!(
            "version: expected {PROTOCOL_VERSION}, got {version}"
        )));
    }
    let flags = Flags(u16::from_be_bytes([f0, f1]));
    if flags.0 & !Flags::KNOWN != 0 {
        return Err(Reject::bad(format!(
            "flags: only bits 0 to 3 are known, got {:#06x}",
            flags.0
        )));
    }
    if flags.contains(Flags::COMPRESSED) {
        return Err(Reject::bad(format!(
            "flags: bit 1 (compressed) is never set in version 1, got {:#06x}",
            flags.0
        )));
    }
    let payload_len = u32::from_be_bytes([l0, l1, l2, l3]);
    let payload_bytes = usize::try_from(payload_len)
        .ok()
        .filter(|bytes| *bytes <= limits.payload_bytes_max)
        .ok_or_else(|| {
            Reject::bad(format!(
                "payload_len: at most {} bytes, got {payload_len}",
                limits.payload_bytes_max
            ))
        })?;
    Ok(Header {
        flags,
        extension_bytes: usize::from(u16::from_be_bytes([h0, h1])),
        payload_bytes,
        crc: u32::from_be_bytes([c0, c1, c2, c3]),
    })
}

/// Why a message was not written; the buffer is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The payload is longer than a frame may carry.
    #[error(
        "a payload of {payload_bytes} bytes exceeds the {PAYLOAD_BYTES_MAX} bytes a frame may carry"
    )]
    TooLarge {
        /// What it would have been.
        payload_bytes: usize,
    },
    /// The message has no JSON form.
    #[error("the message cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Appends a frame with this payload, with its CRC.
///
/// # Errors
/// [`EncodeError::TooLarge`] if the payload exceeds [`PAYLOAD_BYTES_MAX`].
pub fn encode(out: &mut BytesMut, flags: Flags, payload: &[u8]) -> Result<(), EncodeError> {
    out.reserve(HEADER_BYTES + payload.len().min(PAYLOAD_BYTES_MAX));
    encode_with(out, flags, |out| {
        out.put_slice(payload);
        Ok(())
    })
}

/// Appends a frame whose payload `write` appends straight into the buffer: no copy in between.
/// `write` must only append.
///
/// # Errors
/// [`EncodeError`] if `write` fails or the payload exceeds [`PAYLOAD_BYTES_MAX`].
pub fn encode_with(
    out: &mut BytesMut,
    flags: Flags,
    write: impl FnOnce(&mut BytesMut) -> serde_json::Result<()>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_bytes(0, HEADER_BYTES);
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error.into());
    }
    let payload = out.get(start + HEADER_BYTES..).unwrap_or_default();
    let (payload_bytes, crc) = (payload.len(), crc32c::crc32c(payload));
    let Some(payload_len) = u32::try_from(payload_bytes)
        .ok()
        .filter(|_| payload_bytes <= PAYLOAD_BYTES_MAX)
    else {
        out.truncate(start);
        return Err(EncodeError::TooLarge { payload_bytes });
    };
    let mut header = &mut out[start..start + HEADER_BYTES];
    header.put_slice(&MAGIC);
    header.put_u16(PROTOCOL_VERSION);
    header.put_u16((flags | Flags::CRC).0);
    header.put_u16(0);
    header.put_u32(payload_len);
    header.put_u32(crc);
    Ok(())
}

#[cfg(test)]
mod tests;
