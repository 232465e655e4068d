//! One decoder and one encoder over both wire modes.

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::{self, EncodeError, Flags, FrameLimits};
use crate::{Reject, jsonl};

/// How messages follow each other on a connection, once HELLO is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WireMode {
    /// Binary frames around JSON: `binary_json`.
    #[default]
    Binary,
    /// One JSON object per line: `jsonl`.
    Jsonl,
}

impl WireMode {
    /// The name in HELLO.
    pub fn name(self) -> &'static str {
        match self {
            WireMode::Binary => "binary_json",
            WireMode::Jsonl => "jsonl",
        }
    }

    /// The mode of this name in HELLO.
    pub fn from_name(name: &str) -> Option<WireMode> {
        match name {
            "binary_json" => Some(WireMode::Binary),
            "jsonl" => Some(WireMode::Jsonl),
            _ => None,
        }
    }

    /// The first of the offered modes that is supported; binary if none is.
    pub fn negotiate<S: AsRef<str>>(offered: impl IntoIterator<Item = S>) -> WireMode {
        offered
            .into_iter()
            .find_map(|name| WireMode::from_name(name.as_ref()))
            .unwrap_or_default()
    }
}

/// One message as it came off the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireMessage {
    /// The frame's flags; none in JSONL mode.
    pub flags: Flags,
    /// The payload, not yet known to be JSON.
    pub payload: Bytes,
}

/// The most memory that is reserved because of a header, before the payload arrives.
const RESERVE_BYTES_MAX: usize = 256 * 1024;

/// A shorter line does not count as large.
const LINE_BYTES_FREE: usize = 64 * 1024;

/// Takes messages off the front of a connection's read buffer.
#[derive(Debug, Default)]
pub struct Decoder {
    mode: WireMode,
    limits: FrameLimits,
    scanned_bytes: usize,
}

impl Decoder {
    /// A decoder for this mode.
    pub fn new(mode: WireMode, limits: FrameLimits) -> Self {
        Self {
            mode,
            limits,
            scanned_bytes: 0,
        }
    }

    /// Switches the mode, after the HELLO exchange.
    pub fn set_mode(&mut self, mode: WireMode) {
        self.mode = mode;
        self.scanned_bytes = 0;
    }

    /// Accepts this much from the next message on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// The mode.
    pub fn mode(&self) -> WireMode {
        self.mode
    }

    /// Takes the next whole message off `buf`; `None` if more has to be read first.
    ///
    /// # Errors
    /// A [`Reject`]: what `buf` starts with is not a message and the connection has to be closed.
    pub fn take(&mut self, buf: &mut BytesMut) -> Result<Option<WireMessage>, Reject> {
        match self.mode {
            WireMode::Binary => self.take_frame(buf),
            WireMode::Jsonl => self.take_line(buf),
        }
    }

    /// The total length of the message at the front of `buf`; 0 while its header has not arrived. A line does
    /// not tell its length. So once the line and another read of `chunk` bytes could be a large message, this
    /// is the longest possible line.
    pub fn announced_bytes(&self, buf: &[u8], chunk: usize) -> usize {
        match self.mode {
            WireMode::Binary => frame::announced_bytes(buf, &self.limits).unwrap_or(0),
            WireMode::Jsonl if buf.len() + chunk < LINE_BYTES_FREE => buf.len(),
            WireMode::Jsonl => self.limits.payload_bytes_max + 1,
        }
    }

    fn take_frame(&self, buf: &mut BytesMut) -> Result<Option<WireMessage>, Reject> {
        match frame::decode(buf, &self.limits) {
            frame::DecodedFrame::Reject(reject) => Err(reject),
            frame::DecodedFrame::NeedMore(more_bytes) => {
                // Avoids the first reallocations of a large frame. More is reserved only as bytes arrive.
                buf.reserve(more_bytes.min(RESERVE_BYTES_MAX));
                Ok(None)
            }
            frame::DecodedFrame::Frame(frame) => {
                let (flags, payload_bytes) = (frame.flags, frame.payload.len());
                let mut payload = buf.split_to(frame.frame_bytes);
                payload.advance(payload.len() - payload_bytes);
                Ok(Some(WireMessage {
                    flags,
                    payload: payload.freeze(),
                }))
            }
        }
    }

    fn take_line(&mut self, buf: &mut BytesMut) -> Result<Option<WireMessage>, Reject> {
        match jsonl::decode(buf, self.scanned_bytes, &self.limits) {
            jsonl::DecodedLine::Reject(reject) => Err(reject),
            jsonl::DecodedLine::NeedMore => {
                self.scanned_bytes = buf.len();
                Ok(None)
            }
            jsonl::DecodedLine::Line {
                payload,
                line_bytes,
            } => {
                let payload_bytes = payload.len();
                self.scanned_bytes = 0;
                let mut line = buf.split_to(line_bytes);
                line.truncate(payload_bytes);
                Ok(Some(WireMessage {
                    flags: Flags::NONE,
                    payload: line.freeze(),
                }))
            }
        }
    }
}

/// Appends one message in this mode; `write` appends its JSON text straight into the buffer.
///
/// # Errors
/// [`EncodeError`] if `write` fails or the text exceeds what a frame may carry.
pub fn encode_with(
    mode: WireMode,
    out: &mut BytesMut,
    flags: Flags,
    write: impl FnOnce(&mut BytesMut) -> serde_json::Result<()>,
) -> Result<(), EncodeError> {
    match mode {
        WireMode::Binary => frame::encode_with(out, flags, write),
        WireMode::Jsonl => jsonl::encode_with(out, write),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_supported_mode_wins_and_binary_is_the_default() {
        assert_eq!(
            WireMode::negotiate(["cbor", "jsonl", "binary_json"]),
            WireMode::Jsonl
        );
        assert_eq!(WireMode::negotiate(["cbor"]), WireMode::Binary);
        assert_eq!(WireMode::negotiate::<&str>([]), WireMode::Binary);
    }

    #[test]
    fn jsonl_is_spoken_after_a_framed_hello() {
        let mut buf = BytesMut::new();
        frame::encode(&mut buf, Flags::NONE, b"{}").unwrap();
        buf.extend_from_slice(b"{\"a\":1}\n");
        let mut decoder = Decoder::default();
        assert_eq!(&decoder.take(&mut buf).unwrap().unwrap().payload[..], b"{}");
        decoder.set_mode(WireMode::Jsonl);
        assert_eq!(
            &decoder.take(&mut buf).unwrap().unwrap().payload[..],
            b"{\"a\":1}"
        );
        assert_eq!(decoder.take(&mut buf).unwrap(), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_out_again_however_it_is_split(
            payloads in prop::collection::vec("[ -~]{0,300}", 1..8),
            cuts in prop::collection::vec(1usize..200, 1..50),
            jsonl in any::<bool>(),
        ) {
            let mode = if jsonl { WireMode::Jsonl } else { WireMode::Binary };
            let mut stream = BytesMut::new();
            for payload in &payloads {
                encode_with(mode, &mut stream, Flags::STREAM, |out| {
                    out.put_slice(payload.as_bytes());
                    Ok(())
                }).unwrap();
            }
            let mut decoder = Decoder::new(mode, FrameLimits::default());
            let (mut buf, mut got) = (BytesMut::new(), Vec::new());
            let mut cuts = cuts.into_iter().cycle();
            while !stream.is_empty() {
                let cut = cuts.next().unwrap().min(stream.len());
                buf.extend_from_slice(&stream.split_to(cut));
                while let Some(message) = decoder.take(&mut buf).unwrap() {
                    got.push(String::from_utf8(message.payload.to_vec()).unwrap());
                }
            }
            prop_assert_eq!(got, payloads);
            prop_assert!(buf.is_empty());
        }
    }
}
