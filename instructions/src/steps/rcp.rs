//! The protocol: from a frame to parameters, and an answer.

use std::hint::black_box;

use bytes::BytesMut;
use rstmdb_rcp::frame::{DecodedFrame, Flags, FrameLimits, decode, encode};
use rstmdb_rcp::message::instance::ApplyEvent;
use rstmdb_rcp::message::{Params, RequestHead};

use crate::count;

fn request() -> Vec<u8> {
    let note = "n".repeat(60);
    let text = format!(
        r#"{{"type":"request","id":"1048","op":"APPLY_EVENT","params":{{"instance_id":"order-000001","event":"CHANGE","payload":{{"total":130.00,"note":"{note}"}}}}}}"#
    );
    text.into_bytes()
}

pub(super) fn frame_decode() {
    let (mut frame, limits) = (BytesMut::new(), FrameLimits::default());
    // An error leaves the buffer empty, which the check below finds.
    drop(encode(&mut frame, Flags::NONE, &request()));
    let whole = |bytes: &[u8]| matches!(decode(bytes, &limits), DecodedFrame::Frame(_));
    assert!(whole(&frame), "the frame is not whole");
    count(|| {
        black_box(whole(black_box(&frame)));
    });
}

pub(super) fn request_parse() {
    let request = request();
    assert!(RequestHead::parse(&request).is_ok(), "not a request");
    count(|| drop(black_box(RequestHead::parse(black_box(&request)))));
}

pub(super) fn params_read() {
    let request = request();
    let head = RequestHead::parse(&request);
    let Ok(head) = &head else {
        panic!("not a request: {head:?}");
    };
    assert!(ApplyEvent::read(head.params).is_ok(), "not an event");
    count(|| drop(black_box(ApplyEvent::read(black_box(head.params)))));
}
