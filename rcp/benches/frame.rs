//! The time to write a frame with its CRC, and to read it back with the head of its request:
//! `cargo bench -p rstmdb-rcp --bench frame`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rstmdb_rcp::frame::{DecodedFrame, Flags, FrameLimits, decode, encode};
use rstmdb_rcp::message::RequestHead;

/// Bytes of the event's payload inside the request.
const SIZES: [usize; 2] = [100, 2_000];

/// An order's event with a payload of about so many bytes.
fn request(payload_bytes: usize) -> Vec<u8> {
    let note = "n".repeat(payload_bytes.saturating_sub(40));
    format!(
        r#"{{"type":"request","id":"7","op":"APPLY_EVENT","params":{{"instance_id":"order-000001",
        "event":"CHANGE","payload":{{"total":130.00,"note":"{note}"}}}}}}"#
    )
    .into_bytes()
}

fn encode_frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for payload_bytes in SIZES {
        let request = request(payload_bytes);
        let mut out = BytesMut::new();
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(format!("payload {payload_bytes}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode(&mut out, Flags::NONE, black_box(&request)).unwrap();
            });
        });
    }
    group.finish();
}

fn decode_frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for payload_bytes in SIZES {
        let mut bytes = BytesMut::new();
        encode(&mut bytes, Flags::NONE, &request(payload_bytes)).unwrap();
        let limits = FrameLimits::default();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("payload {payload_bytes}"), |bencher| {
            bencher.iter(|| payload_of(black_box(&bytes), &limits).len());
        });
        group.bench_function(
            format!("payload {payload_bytes}, with the request's head"),
            |bencher| {
                bencher.iter(|| {
                    let payload = payload_of(black_box(&bytes), &limits);
                    RequestHead::parse(payload).is_ok()
                });
            },
        );
        assert!(RequestHead::parse(payload_of(&bytes, &limits)).is_ok());
    }
    group.finish();
}

fn payload_of<'a>(bytes: &'a [u8], limits: &FrameLimits) -> &'a [u8] {
    match decode(bytes, limits) {
        DecodedFrame::Frame(frame) => frame.payload,
        other => panic!("a whole frame was written, {other:?} was read"),
    }
}

criterion_group!(benches, encode_frames, decode_frames);
criterion_main!(benches);
