//! What waits to be sent on one connection: responses, events, ends of streams.

use std::fmt::Display;

use bytes::BytesMut;
use rstmdb_rcp::Code;
use rstmdb_rcp::feature::Features;
use rstmdb_rcp::frame::Flags;
use rstmdb_rcp::message::response::encode_error;
use rstmdb_rcp::message::watch::WatchEnd;
use rstmdb_rcp::message::watch::encode_end;
use rstmdb_rcp::message::{ErrorBody, ResponseMeta};
use rstmdb_rcp::wire::{self, WireMode};

use super::told;
use crate::replica::WatchEvent;
use crate::server::clients::ops::ShownParts;
use crate::server::messages::failure;
use crate::server::messages::json::ObjectWriter;
use crate::server::messages::too_long::{self, RequestFate};

/// Above this the session adds nothing that can wait: it does no work for a client that does not read.
const FULL_BYTES: usize = 256 * 1024;
/// Bytes kept for the next answer when the buffer is empty.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Encoded answers, events and ends of watches that the socket has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: BytesMut,
    /// The most that the buffer has held since its memory was allocated.
    touched_bytes: usize,
    mode: WireMode,
    features: Features,
    /// Whether this node leads, for `meta`.
    pub(crate) leader: bool,
}

impl Outbox {
    /// What is to be sent.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether there is nothing to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the client has to read before more is done for it.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= FULL_BYTES
    }

    /// Takes back what was added behind the first `bytes` of what waits.
    pub(crate) fn cut_to(&mut self, bytes: usize) {
        self.note_touched();
        self.buffer.truncate(bytes);
        self.give_back(false);
    }

    /// Gives back the memory of sent bytes, all of it if nothing will follow soon.
    pub(crate) fn give_back(&mut self, at_rest: bool) {
        let touched = self.touched_bytes();
        let keeps = if at_rest { KEPT_BYTES_MAX } else { FULL_BYTES };
        if self.buffer.is_empty() && touched > keeps {
            self.buffer = BytesMut::new();
            self.touched_bytes = 0;
        } else if touched > 4 * self.buffer.len().max(FULL_BYTES) {
            self.buffer = BytesMut::from(&self.buffer[..]);
            self.touched_bytes = self.buffer.len();
        }
    }

    /// Bytes of memory it holds.
    pub(crate) fn touched_bytes(&self) -> usize {
        self.touched_bytes.max(self.buffer.len())
    }

    /// Remembers how much there is, before some is taken away.
    pub(crate) fn note_touched(&mut self) {
        self.touched_bytes = self.touched_bytes();
    }

    /// From the next message on, what HELLO has agreed upon is in force.
    pub(crate) fn agree(&mut self, mode: WireMode, features: Features) {
        self.mode = mode;
        self.features = features;
    }

    /// Whether the client has agreed on the feature `cluster`.
    pub(crate) fn cluster(&self) -> bool {
        self.features.contains(Features::CLUSTER)
    }

    /// Adds the response to a request of the session itself, which is short; `result` writes the result.
    pub(crate) fn ok(&mut self, id: &str, result: impl FnOnce(&mut BytesMut)) {
        let too_long = |why: &dyn Display| too_long::error(why, RequestFate::NoWrite);
        let _ = self.answer(id, (None, None), result, too_long);
    }

    /// Adds a successful response; `result` writes the result. If the response does not fit into a frame, it becomes the
    /// error that `too_long` makes of the reason, and the error's code is returned.
    pub(crate) fn answer(
        &mut self,
        id: &str,
        (wal_offset, trace_id): (Option<u64>, Option<&str>),
        result: impl FnOnce(&mut BytesMut),
        too_long: impl FnOnce(&dyn Display) -> ErrorBody,
    ) -> Result<(), Code> {
        let leader = self.leader;
        let encoded = wire::encode_with(self.mode, &mut self.buffer, Flags::NONE, |out| {
            let mut response = ObjectWriter::begin(out);
            response
                .str("type", "response")
                .str("id", id)
                .str("status", "ok");
            result(response.key("result"));
            let mut meta = response.object("meta");
            meta.flag("leader", leader);
            if let Some(offset) = wal_offset {
                meta.int("wal_offset", offset);
            }
            if let Some(id) = trace_id {
                meta.str("trace_id", id);
            }
            meta.end();
            response.end();
            Ok(())
        });
        if let Err(error) = encoded {
            // The long text has made the buffer grow, and is cut off already.
            self.buffer = BytesMut::from(&self.buffer[..]);
            let error = too_long(&error);
            let code = error.code.clone();
            self.error(id, error, trace_id);
            return Err(code);
        }
        Ok(())
    }

    /// Adds an error response, with the codes this client knows.
    pub(crate) fn error(&mut self, id: &str, error: ErrorBody, trace_id: Option<&str>) {
        let error = self.told(error);
        let meta = ResponseMeta {
            leader: Some(self.leader),
            trace_id: trace_id.map(str::to_owned),
            ..ResponseMeta::default()
        };
        let encoded = encode_error(self.mode, &mut self.buffer, id, &error, Some(&meta));
        if let Err(error) = encoded {
            tracing::error!(%error, "an error response could not be encoded");
        }
    }

    /// Adds the event of a watch.
    pub(crate) fn event(&mut self, subscription_id: &str, event: &WatchEvent, shown: ShownParts) {
        let encoded = wire::encode_with(self.mode, &mut self.buffer, Flags::STREAM, |out| {
            let mut frame = ObjectWriter::begin(out);
            frame
                .str("type", "event")
                .str("subscription_id", subscription_id);
            told::write(&mut frame, event, shown);
            frame.end();
            Ok(())
        });
        if let Err(error) = encoded {
            // Contexts and payloads are bounded well below a frame.
            tracing::error!(%error, offset = event.offset, "an event does not fit into a frame");
        }
    }

    /// Adds a notice of a watch's progress; only for clients that know of it.
    pub(crate) fn progress(&mut self, subscription_id: &str, wal_offset: u64) {
        let encoded = wire::encode_with(self.mode, &mut self.buffer, Flags::STREAM, |out| {
            let mut frame = ObjectWriter::begin(out);
            frame
                .str("type", "progress")
                .str("subscription_id", subscription_id)
                .int("wal_offset", wal_offset);
            frame.end();
            Ok(())
        });
        if let Err(error) = encoded {
            tracing::error!(%error, "the progress of a watch could not be encoded");
        }
    }

    /// Adds the last frame of a watch, for clients that know of it.
    pub(crate) fn end(&mut self, subscription_id: &str, error: ErrorBody) {
        if !self.cluster() {
            return;
        }
        let end = WatchEnd {
            subscription_id: subscription_id.into(),
            error,
        };
        if let Err(error) = encode_end(self.mode, &mut self.buffer, &end) {
            tracing::error!(%error, "the end of a watch could not be encoded");
        }
    }

    /// Whether the client has agreed on the feature `lifecycle`.
    pub(crate) fn lifecycle(&self) -> bool {
        self.features.contains(Features::LIFECYCLE)
    }

    fn told(&self, mut error: ErrorBody) -> ErrorBody {
        if !self.lifecycle() {
            failure::hide_tried(&mut error);
        }
        if self.cluster() {
            error
        } else {
            error.for_legacy()
        }
    }
}
