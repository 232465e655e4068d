//! JSONL mode: one JSON object per line, `\n`-terminated, no header.

use bytes::{BufMut, BytesMut};

use crate::PAYLOAD_BYTES_MAX;
use crate::Reject;
use crate::frame::{EncodeError, FrameLimits};

/// What the start of a buffer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodedLine<'a> {
    /// A whole line.
    Line {
        /// Without its end.
        payload: &'a [u8],
        /// With its end.
        line_bytes: usize,
    },
    /// The beginning of a line.
    NeedMore,
    /// Longer than a line may be.
    Reject(Reject),
}

/// Decodes the line `buf` starts with. The first `scanned` bytes are known to hold no line end: a
/// caller that passes the length it last got [`DecodedLine::NeedMore`] for looks at every byte once.
pub fn decode<'a>(buf: &'a [u8], scanned: usize, limits: &FrameLimits) -> DecodedLine<'a> {
    let scanned = scanned.min(buf.len());
    let end = memchr::memchr(b'\n', &buf[scanned..]).map(|at| scanned + at);
    let line_bytes = end.unwrap_or(buf.len());
    if line_bytes > limits.payload_bytes_max {
        return DecodedLine::Reject(Reject::bad(format!(
            "line: at most {} bytes, got more",
            limits.payload_bytes_max
        )));
    }
    match end {
        None => DecodedLine::NeedMore,
        Some(end) => {
            let line = &buf[..end];
            DecodedLine::Line {
                payload: line.strip_suffix(b"\r").unwrap_or(line),
                line_bytes: end + 1,
            }
        }
    }
}

/// Appends a line whose JSON text `write` appends straight into the buffer. `write` must only append.
///
/// # Errors
/// [`EncodeError`] if `write` fails or the text exceeds [`PAYLOAD_BYTES_MAX`].
pub fn encode_with(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> serde_json::Result<()>,
) -> Result<(), EncodeError> {
    let start = out.len();
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error.into());
    }
    let line = out.get_mut(start..).unwrap_or_default();
    let payload_bytes = line.len();
    if payload_bytes > PAYLOAD_BYTES_MAX {
        out.truncate(start);
        return Err(EncodeError::TooLarge { payload_bytes });
    }
    // JSON strings hold no raw line ends, so any that is here came with a spliced document and is
    // white space between tokens.
    while let Some(at) = memchr::memchr2(b'\n', b'\r', line) {
        line[at] = b' ';
    }
    out.put_u8(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        payload_bytes_max: 10,
    };

    #[test]
    fn lines_come_out_one_by_one() {
        let buf = b"{\"a\":1}\r\n{}\n{";
        let DecodedLine::Line {
            payload,
            line_bytes,
        } = decode(buf, 0, &LIMITS)
        else {
            panic!("no line");
        };
        assert_eq!((payload, line_bytes), (&b"{\"a\":1}"[..], 9));
        assert_eq!(
            decode(&buf[9..], 0, &LIMITS),
            DecodedLine::Line {
                payload: b"{}",
                line_bytes: 3
            }
        );
        assert_eq!(decode(&buf[12..], 0, &LIMITS), DecodedLine::NeedMore);
    }

    #[test]
    fn the_longest_line_passes_and_one_byte_more_is_rejected_before_its_end_is_seen() {
        assert!(matches!(
            decode(b"0123456789\n", 10, &LIMITS),
            DecodedLine::Line { line_bytes: 11, .. }
        ));
        assert_eq!(decode(b"0123456789", 3, &LIMITS), DecodedLine::NeedMore);
        for scanned in [0, 11, 99] {
            assert!(matches!(
                decode(b"0123456789a", scanned, &LIMITS),
                DecodedLine::Reject(_)
            ));
        }
        assert!(matches!(
            decode(b"0123456789a\n", 0, &LIMITS),
            DecodedLine::Reject(_)
        ));
    }

    #[test]
    fn line_ends_inside_a_spliced_document_become_spaces() {
        let mut out = BytesMut::from(&b"x\n"[..]);
        encode_with(&mut out, |out| {
            out.put_slice(b"{\r\n\"a\":\n1}");
            Ok(())
        })
        .unwrap();
        assert_eq!(&out[..], b"x\n{  \"a\": 1}\n");
    }

    #[test]
    fn an_oversized_line_leaves_the_buffer_alone() {
        let mut out = BytesMut::from(&b"before"[..]);
        let refused = encode_with(&mut out, |out| {
            out.put_bytes(b' ', PAYLOAD_BYTES_MAX + 1);
            Ok(())
        });
        assert!(refused.is_err());
        assert_eq!(&out[..], b"before");
    }
}
