//! What each fuzz target does with one input. The test `fuzz_corpus` does it with each input of the corpora.

pub mod decode;
pub mod json;
pub mod response;

use bytes::BytesMut;
use rstmdb_rcp::WireMode;
use rstmdb_rcp::frame::FrameLimits;
use rstmdb_rcp::wire::Decoder;

/// Hands over the payload of each message that the bytes hold in either wire mode, and the bytes as they are.
fn each_payload(data: &[u8], take: impl Fn(&[u8])) {
    for mode in [WireMode::Binary, WireMode::Jsonl] {
        let limits = FrameLimits {
            payload_bytes_max: 4096,
        };
        let mut decoder = Decoder::new(mode, limits);
        let mut buf = BytesMut::from(data);
        while let Ok(Some(message)) = decoder.take(&mut buf) {
            take(&message.payload);
        }
    }
    take(data);
}
