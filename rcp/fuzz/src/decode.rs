//! Any bytes, in either wire mode, through everything that looks at what a peer sends.

use bytes::BytesMut;
use rstmdb_rcp::WireMode;
use rstmdb_rcp::frame::Limits;
use rstmdb_rcp::message::asking::AllowedEvents;
use rstmdb_rcp::message::batch::Batch;
use rstmdb_rcp::message::instance::{ApplyEvent, CreateInstance, ListInstances};
use rstmdb_rcp::message::machine::PutMachine;
use rstmdb_rcp::message::watch::{End, Event, Progress, WatchAll, WatchInstance};
use rstmdb_rcp::message::{Incoming, Params, RequestHead};
use rstmdb_rcp::wire::Decoder;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    for mode in [WireMode::Binary, WireMode::Jsonl] {
        let mut decoder = Decoder::new(
            mode,
            Limits {
                payload_bytes_max: 4096,
            },
        );
        let mut buf = BytesMut::from(data);
        while let Ok(Some(message)) = decoder.take(&mut buf) {
            look_into(&message.payload);
        }
    }
    look_into(data);
}

fn look_into(payload: &[u8]) {
    match Incoming::parse(payload) {
        Ok(Incoming::Event) => drop(serde_json::from_slice::<Event<'_>>(payload)),
        Ok(Incoming::Progress) => drop(serde_json::from_slice::<Progress<'_>>(payload)),
        Ok(Incoming::End) => drop(serde_json::from_slice::<End<'_>>(payload)),
        Ok(Incoming::Response { .. } | Incoming::Unknown) | Err(_) => {}
    }
    let Ok(head) = RequestHead::parse(payload) else {
        return;
    };
    let _ = ApplyEvent::read(head.params);
    let _ = CreateInstance::read(head.params);
    let _ = ListInstances::read(head.params);
    let _ = PutMachine::read(head.params);
    let _ = AllowedEvents::read(head.params);
    let _ = WatchAll::read(head.params);
    let _ = WatchInstance::read(head.params);
    let _ = Batch::read(head.params);
}
