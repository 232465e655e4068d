#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::Code;

const LIMITS: FrameLimits = FrameLimits {
    payload_bytes_max: 1000,
};

fn valid(payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&mut out, Flags::NONE, payload).unwrap();
    out.to_vec()
}

/// A frame put together by hand, right or wrong.
fn raw(version: u16, flags: u16, extension: &[u8], payload: &[u8], crc: u32) -> Vec<u8> {
    let mut out = b"RCPX".to_vec();
    out.extend(version.to_be_bytes());
    out.extend(flags.to_be_bytes());
    out.extend(u16::try_from(extension.len()).unwrap().to_be_bytes());
    out.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend(crc.to_be_bytes());
    out.extend(extension);
    out.extend(payload);
    out
}

fn payload_of(buf: &[u8]) -> Vec<u8> {
    match decode(buf, &LIMITS) {
        DecodedFrame::Frame(frame) => frame.payload.to_vec(),
        other => panic!("no frame: {other:?}"),
    }
}

#[test]
fn the_header_is_laid_out_as_documented() {
    assert_eq!(
        valid(b"{}"),
        [
            b"RCPX".as_slice(),
            &[0, 1],
            &[0, 1],
            &[0, 0],
            &[0, 0, 0, 2],
            &crc32c::crc32c(b"{}").to_be_bytes(),
            b"{}"
        ]
        .concat()
    );
}

#[test]
fn every_bad_frame_is_rejected_with_its_field_and_value() {
    let mut too_long = valid(b"{}");
    too_long[10..14].copy_from_slice(&1001u32.to_be_bytes());
    let mut huge = valid(b"{}");
    huge[10..14].copy_from_slice(&u32::MAX.to_be_bytes());
    let table: &[(&[u8], Code, &str, bool)] = &[
        (
            b"GET / HTTP/1.1\r\n\r\n",
            Code::UnsupportedProtocol,
            "magic: expected \"RCPX\", got \"GET \"",
            false,
        ),
        (
            b"\x16\x03",
            Code::UnsupportedProtocol,
            "magic: expected \"RCPX\", got \"\\x16\\x03\"",
            false,
        ),
        (
            b"RCPY",
            Code::UnsupportedProtocol,
            "magic: expected \"RCPX\", got \"RCPY\"",
            false,
        ),
        (
            &raw(2, 0, b"", b"{}", 0),
            Code::UnsupportedProtocol,
            "version: expected 1, got 2",
            true,
        ),
        (
            &raw(0, 0, b"", b"{}", 0),
            Code::UnsupportedProtocol,
            "version: expected 1, got 0",
            true,
        ),
        (
            &raw(1, 0x10, b"", b"{}", 0),
            Code::BadRequest,
            "flags: only bits 0 to 3 are known, got 0x0010",
            true,
        ),
        (
            &raw(1, 0x8000, b"", b"{}", 0),
            Code::BadRequest,
            "flags: only bits 0 to 3 are known, got 0x8000",
            true,
        ),
        (
            &raw(1, 2, b"", b"{}", 0),
            Code::BadRequest,
            "flags: bit 1 (compressed)",
            true,
        ),
        (
            &too_long[..18],
            Code::BadRequest,
            "payload_len: at most 1000 bytes, got 1001",
            true,
        ),
        (
            &huge[..18],
            Code::BadRequest,
            "payload_len: at most 1000 bytes, got 4294967295",
            true,
        ),
        (
            &raw(1, 1, b"", b"{}", 7),
            Code::BadRequest,
            "crc32c: the header says 0x00000007",
            true,
        ),
    ];
    for (bytes, code, message, answerable) in table {
        let DecodedFrame::Reject(reject) = decode(bytes, &LIMITS) else {
            panic!("{message}: not rejected");
        };
        assert_eq!(reject.code, *code, "{message}");
        assert!(reject.message.contains(message), "{}", reject.message);
        assert_eq!(reject.answerable, *answerable, "{message}");
    }
}

#[test]
fn the_length_is_checked_before_the_payload_is_there() {
    let mut header = valid(b"{}")[..HEADER_BYTES].to_vec();
    header[10..14].copy_from_slice(&(17u32 * 1024 * 1024).to_be_bytes());
    assert!(matches!(
        decode(&header, &FrameLimits::default()),
        DecodedFrame::Reject(_)
    ));
    header[10..14].copy_from_slice(&(16u32 * 1024 * 1024).to_be_bytes());
    assert_eq!(
        decode(&header, &FrameLimits::default()),
        DecodedFrame::NeedMore(16 * 1024 * 1024)
    );
}

#[test]
fn the_crc_counts_only_when_its_flag_is_set() {
    assert_eq!(payload_of(&raw(1, 0, b"", b"{}", 7)), b"{}");
}

#[test]
fn the_extension_is_skipped_and_not_part_of_the_crc() {
    let extension = vec![0xAA; usize::from(u16::MAX)];
    let frame = raw(
        1,
        1 | 4 | 8,
        &extension,
        b"{\"a\":1}",
        crc32c::crc32c(b"{\"a\":1}"),
    );
    let DecodedFrame::Frame(decoded) = decode(&frame, &LIMITS) else {
        panic!("no frame");
    };
    assert_eq!(decoded.payload, b"{\"a\":1}");
    assert_eq!(decoded.frame_bytes, frame.len());
    assert!(decoded.flags.contains(Flags::STREAM | Flags::END_OF_STREAM));
}

#[test]
fn the_longest_payload_passes_and_an_empty_one_too() {
    assert_eq!(payload_of(&valid(&[b'x'; 1000])).len(), 1000);
    assert_eq!(payload_of(&valid(b"")), b"");
}

#[test]
fn what_cannot_be_encoded_leaves_the_buffer_as_it_was() {
    let mut out = BytesMut::from(&b"before"[..]);
    let oversized = vec![b' '; PAYLOAD_BYTES_MAX + 1];
    assert!(matches!(
        encode(&mut out, Flags::NONE, &oversized),
        Err(EncodeError::TooLarge { payload_bytes }) if payload_bytes == PAYLOAD_BYTES_MAX + 1
    ));
    let failing = |_: &mut BytesMut| Err(serde::de::Error::custom("no"));
    assert!(matches!(
        encode_with(&mut out, Flags::NONE, failing),
        Err(EncodeError::Json(_))
    ));
    assert_eq!(&out[..], b"before");
}

proptest! {
    #[test]
    fn every_prefix_of_a_valid_frame_needs_exactly_as_much_as_is_missing_or_its_header(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        extension in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let frame = raw(1, 1, &extension, &payload, crc32c::crc32c(&payload));
        for cut in 0..frame.len() {
            let missing = if cut < HEADER_BYTES { HEADER_BYTES } else { frame.len() } - cut;
            prop_assert_eq!(decode(&frame[..cut], &LIMITS), DecodedFrame::NeedMore(missing));
        }
        prop_assert_eq!(payload_of(&frame), payload);
    }

    #[test]
    fn decoding_gives_back_what_was_encoded(payload in prop::collection::vec(any::<u8>(), 0..1000)) {
        prop_assert_eq!(payload_of(&valid(&payload)), payload);
    }
}

/// Seeded, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len().max(1));
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 => bytes.truncate(at),
                3 => bytes.insert(at.min(bytes.len()), self.below(256) as u8),
                4 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                // The header is where the interesting faults are.
                _ if bytes.len() >= HEADER_BYTES => {
                    let at = self.below(HEADER_BYTES);
                    bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][self.below(5)];
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_hundred_thousand_mutated_frames_are_each_a_frame_a_beginning_or_a_rejection() {
    let mut random = Random(0x5EED);
    let seeds = [
        valid(br#"{"type":"request","id":"1","op":"PING"}"#),
        valid(br#"{"type":"request","id":"2","op":"APPLY_EVENT","params":{"instance_id":"i","event":"E","payload":{"a":[1,{"b":"\"}"}]}}}"#),
        raw(1, 0, b"extension", br#"{"id":"3"}"#, 0),
        valid(b""),
    ];
    let (mut frames, mut beginnings, mut rejections) = (0u32, 0u32, 0u32);
    for _ in 0..100_000 {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        random.mutate(&mut bytes);
        match decode(&bytes, &LIMITS) {
            DecodedFrame::Frame(frame) => {
                frames += 1;
                assert!(frame.frame_bytes <= bytes.len());
                assert!(frame.payload.len() <= LIMITS.payload_bytes_max);
            }
            DecodedFrame::NeedMore(more_bytes) => {
                beginnings += 1;
                assert!(more_bytes > 0);
                let frame_bytes_max =
                    HEADER_BYTES + usize::from(u16::MAX) + LIMITS.payload_bytes_max;
                assert!(bytes.len() + more_bytes <= frame_bytes_max);
            }
            DecodedFrame::Reject(reject) => {
                rejections += 1;
                assert!(!reject.message.is_empty() && reject.message.len() < 200);
            }
        }
    }
    // The mutations reach all three outcomes, or the test shows nothing.
    assert!(frames > 1000 && beginnings > 1000 && rejections > 1000);
}
