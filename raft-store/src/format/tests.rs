#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::crypto::Keyring;
use crate::format::codec::{Codec, Sealer};
use crate::types::{Membership, NodeInfo};

fn at(segment: u64, offset: u64) -> LogPosition {
    LogPosition { segment, offset }
}

fn encoded(base: LogPosition, write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    encoded_with(&Codec::default(), base, write)
}

fn encoded_with(codec: &Codec, base: LogPosition, write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut buf = Buffer::default();
    write(&mut Encoder::new(&mut buf, codec, base));
    buf.bytes
}

#[test]
fn a_record_is_the_documented_bytes() {
    let bytes = encoded(at(3, 160), |encoder| encoder.committed(log_id(2, 9)));
    assert_eq!(bytes.len(), 32);
    assert_eq!(bytes[4..8], 16_u32.to_le_bytes());
    assert_eq!(bytes[8..12], [4, 0, 0, 0]);
    assert_eq!(bytes[12..20], 2_u64.to_le_bytes());
    assert_eq!(bytes[20..28], 9_u64.to_le_bytes());
    assert_eq!(bytes[28..], [0; 4]);
    let mut covered = Vec::new();
    covered.extend_from_slice(&3_u64.to_le_bytes());
    covered.extend_from_slice(&160_u64.to_le_bytes());
    covered.extend_from_slice(&bytes[4..]);
    assert_eq!(bytes[..4], crc32c(&covered).to_le_bytes());
}

#[test]
fn every_record_reads_back_as_written() {
    let info = NodeInfo {
        peer_addr: "a:1".into(),
        rcp_addr: "b:2".into(),
    };
    let nodes = BTreeMap::from([(1, info), (2, NodeInfo::default())]);
    let members = Membership::new(vec![[1].into(), [1, 2].into()], nodes).unwrap();
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Data(Bytes::from_static(b"data"))),
        EntryPayload::Normal(Data(Bytes::new())),
        EntryPayload::Membership(members),
    ];
    for payload in payloads {
        let entry = Entry {
            log_id: log_id(7, 8),
            payload,
        };
        let bytes = encoded(at(1, 0), |encoder| {
            encoder.entry(&entry).unwrap();
        });
        let (record, len) = decode_record(&bytes, at(1, 0), None).unwrap();
        assert_eq!(len, bytes.len());
        let LogRecord::Entry(found) = record else {
            panic!("{record:?}")
        };
        assert_eq!(found.to_entry().unwrap(), entry);
    }
    let mark = Mark {
        durable: LogPosition {
            segment: 1,
            offset: 2,
        },
        time_ms: 3,
    };
    let vote = Vote::new_committed(5, 6);
    let mut buf = Buffer::default();
    let codec = Codec::default();
    let mut encoder = Encoder::new(&mut buf, &codec, at(9, 64));
    encoder.mark(RecordType::Batch, mark);
    encoder.vote(&vote);
    encoder.truncate(None);
    encoder.truncate(Some(log_id(1, 1)));
    encoder.purge(log_id(1, 0));
    encoder.mark(RecordType::Close, mark);
    encoder.mark(RecordType::Seal, mark);
    let expected = [
        LogRecord::Batch(mark),
        LogRecord::Vote(vote),
        LogRecord::Truncate(None),
        LogRecord::Truncate(Some(log_id(1, 1))),
        LogRecord::Purge(log_id(1, 0)),
        LogRecord::Close(mark),
        LogRecord::Seal(mark),
    ];
    let bytes = buf.bytes;
    let mut start = 0;
    for record in expected {
        let place = at(9, 64 + start as u64);
        let (found, len) = decode_record(&bytes[start..], place, None).unwrap();
        assert_eq!(found, record);
        start += len;
    }
    assert_eq!(
        decode_record(&bytes[start..], at(9, 64 + start as u64), None),
        Err(RecordFault::End)
    );
}

#[test]
fn a_payload_is_stored_smaller_and_unreadable_where_that_is_asked_for() {
    let ring = Keyring::parse(&format!("1 {}", "11".repeat(32))).unwrap();
    let (_, cipher) = ring.for_new_file().unwrap().unwrap();
    let sealer = Sealer {
        cipher: cipher.clone(),
        session: [3; 8],
    };
    let text = b"a secret that is long enough and repeats itself; ".repeat(20);
    let entry = Entry {
        log_id: log_id(7, 8),
        payload: EntryPayload::Normal(Data(Bytes::from(text.clone()))),
    };
    for (compress, sealer) in [
        (false, None),
        (true, None),
        (false, Some(sealer.clone())),
        (true, Some(sealer)),
    ] {
        let codec = Codec { compress, sealer };
        let bytes = encoded_with(&codec, at(1, 64), |encoder| encoder.entry(&entry).unwrap());
        assert_eq!(bytes.len() < text.len() / 4, compress);
        let is_clear = bytes.windows(8).any(|window| window == b"a secret");
        assert_eq!(is_clear, codec.sealer.is_none());
        let decode = |cipher| match decode_record(&bytes, at(1, 64), cipher) {
            Ok((LogRecord::Entry(found), _)) => found.to_entry(),
            other => panic!("{other:?}"),
        };
        assert_eq!(decode(Some(&cipher)), Ok(entry.clone()));
        assert_eq!(decode(None).is_err(), codec.sealer.is_some());
    }
}

#[test]
fn bytes_of_another_place_or_segment_never_pass() {
    let bytes = encoded(at(1, 64), |encoder| encoder.committed(log_id(1, 1)));
    assert!(decode_record(&bytes, at(1, 64), None).is_ok());
    assert!(matches!(
        decode_record(&bytes, at(1, 72), None),
        Err(RecordFault::Bad(_))
    ));
    assert!(matches!(
        decode_record(&bytes, at(2, 64), None),
        Err(RecordFault::Bad(_))
    ));
}

#[test]
fn unknown_flags_and_types_are_unsupported_not_damaged() {
    for (place, value) in [(9, 1), (9, 2), (9, 4), (8, 99)] {
        let mut bytes = encoded(at(1, 0), |encoder| encoder.committed(log_id(1, 1)));
        bytes[place] = value;
        let crc = record_crc(1, 0, &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(
            decode_record(&bytes, at(1, 0), None),
            Err(RecordFault::Unsupported(_))
        ));
    }
}

#[test]
fn a_header_reads_back_and_every_flip_in_it_is_found() {
    let header = SegmentHeader {
        cluster_id: 1 << 100,
        segment: 5,
        created_ms: 6,
        state: HardState {
            vote: Some(Vote::new(3, 4)),
            committed: None,
            purged: Some(log_id(1, 2)),
            last: Some(log_id(2, 40)),
        },
        allocated: 1 << 26,
        key: Keyring::parse(&format!("7 {}", "11".repeat(32)))
            .unwrap()
            .for_new_file()
            .unwrap()
            .map(|(tag, _)| tag),
    };
    assert_eq!(header.first_index(), 41);
    let bytes = header.encode();
    assert_eq!(
        SegmentHeader::decode(&bytes),
        Ok((header, SEGMENT_HEADER_BYTES))
    );
    for place in 0..bytes.len() {
        let mut flipped = bytes;
        flipped[place] ^= 1;
        assert!(
            matches!(
                SegmentHeader::decode(&flipped),
                Err(HeaderFault::Damaged(_))
            ),
            "{place}"
        );
        assert!(SegmentHeader::decode(&bytes[..place]).is_err());
    }
}

/// Counting on from it would overflow.
#[test]
fn an_index_that_no_log_has_is_damage() {
    for (index, is_read) in [(INDEX_END - 1, true), (INDEX_END, false), (u64::MAX, false)] {
        let id = log_id(1, index);
        let bytes = encoded(at(1, 0), |encoder| encoder.committed(id));
        assert_eq!(decode_record(&bytes, at(1, 0), None).is_ok(), is_read);
        let header = SegmentHeader {
            cluster_id: 1,
            segment: 1,
            created_ms: 1,
            state: HardState {
                committed: Some(id),
                ..HardState::default()
            },
            allocated: 0,
            key: None,
        };
        assert_eq!(SegmentHeader::decode(&header.encode()).is_ok(), is_read);
    }
}

/// The decoder reserves as much memory as a payload claims, so a payload must not claim more than it can hold.
#[test]
fn a_payload_cannot_claim_more_than_its_block_expands_to() {
    let raw = vec![7; 1 << 20];
    let block = lz4_flex::block::compress(&raw);
    let stored = |claimed: u32| [claimed.to_le_bytes().as_slice(), &block].concat();
    let load = |claimed| {
        let none = Vec::new;
        codec::load(
            &stored(claimed),
            codec::COMPRESSED,
            None,
            0,
            none,
            PAYLOAD_BYTES_MAX,
        )
    };
    assert_eq!(load(1 << 20), Ok(raw.clone()));
    assert!(load(1 << 28).unwrap_err().contains("claims"));
}
