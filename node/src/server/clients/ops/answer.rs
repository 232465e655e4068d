//! The answers of the operations, and their JSON.

pub(super) mod fresh;

use std::fmt::Display;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use rstmdb_engine::Reply;
use rstmdb_rcp::PAYLOAD_BYTES_MAX;
use rstmdb_rcp::message::ErrorBody;
use serde::Serialize;

use super::JobOutcome;
use crate::replica::{self, Done, Replied, Watch};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::json::{self, ObjectWriter};
use crate::server::messages::reply;
use crate::server::messages::too_long::{self, RequestFate};
use crate::server::product::Product;

/// What an envelope adds to a result, at most: the longest id, escaped, and the meta.
pub(crate) const FRAME_ROOM_BYTES: usize = 4096;

/// One operation's part of a best-effort batch.
pub(crate) struct BatchItemAnswer {
    /// What it may have changed.
    pub(crate) effect: PossibleEffect,
    /// Its result.
    pub(crate) outcome: Result<Replied, ErrorBody>,
    /// Where it took effect; `None` when nothing was written.
    pub(crate) wal_offset: Option<u64>,
}

impl BatchItemAnswer {
    fn fate(&self) -> Result<RequestFate, &ErrorBody> {
        let replied = self.outcome.as_ref()?;
        Ok(RequestFate::new(
            self.effect,
            Some(replied),
            self.wal_offset,
        ))
    }
}

/// A successful answer.
pub(crate) struct OpAnswer {
    /// The result.
    pub(crate) body: Body,
    /// For `meta`.
    pub(crate) wal_offset: Option<u64>,
}

/// A result.
pub(crate) enum Body {
    /// What the engine replied, here or at the leader.
    Reply(Replied),
    /// The operations of a best-effort batch.
    Items(Vec<BatchItemAnswer>),
    /// JSON text.
    Json(BytesMut),
    /// A watch has begun; the session gives it a name and writes the result.
    Watch(Box<BegunWatching>),
}

/// A watch that has begun.
pub(crate) struct BegunWatching {
    /// Where its events come from.
    pub(crate) watch: Watch<Product>,
    /// What its events show.
    pub(crate) shown: ShownParts,
    /// For WATCH_INSTANCE: the instance, and how it stands at the watch's head, if it exists.
    pub(crate) instance: Option<(String, Option<Reply>)>,
}

/// What the events of a watch show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownParts {
    /// The context.
    pub(crate) ctx: bool,
    /// What kind they are.
    pub(crate) kind: bool,
    /// What is known about the write.
    pub(crate) meta: bool,
}

impl Body {
    /// A result that is serialized here and now.
    pub(crate) fn json(result: &impl Serialize) -> Self {
        let mut out = BytesMut::new();
        json::serialized(&mut out, result);
        Self::Json(out)
    }

    /// Takes out what is shown only to clients that have offered `cluster`.
    pub(crate) fn for_legacy(&mut self) {
        match self {
            Self::Reply(replied) => reply::hide_extensions(replied),
            Self::Items(items) => {
                let replies = items
                    .iter_mut()
                    .filter_map(|item| item.outcome.as_mut().ok());
                replies.for_each(reply::hide_extensions);
            }
            Self::Json(_) | Self::Watch(_) => {}
        }
    }

    /// Takes out what only clients that have offered `lifecycle` get.
    pub(crate) fn hide_tried(&mut self) {
        if let Self::Items(items) = self {
            let errors = items
                .iter_mut()
                .filter_map(|item| item.outcome.as_mut().err());
            errors.for_each(failure::hide_tried);
        }
    }

    /// The error in place of this result, which is longer than a frame. It is the result of a request with this effect,
    /// which took effect at `offset`.
    pub(crate) fn too_long(
        &self,
        why: &dyn Display,
        effect: PossibleEffect,
        offset: Option<u64>,
    ) -> ErrorBody {
        match self {
            Self::Reply(replied) => {
                too_long::error(why, RequestFate::new(effect, Some(replied), offset))
            }
            Self::Items(items) => {
                let fates = items.iter().map(BatchItemAnswer::fate);
                too_long::error_of_items(why, fates, effect != PossibleEffect::None)
            }
            Self::Json(_) | Self::Watch(_) => {
                too_long::error(why, RequestFate::new(effect, None, offset))
            }
        }
    }

    /// Writes the result. Stops early when the text is already longer than a frame may be.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Reply(replied) => reply::write(out, replied),
            Self::Items(items) => {
                let mut object = ObjectWriter::begin(out);
                reply::write_results(&mut object, items, write_item);
                object.end();
            }
            Self::Json(text) => out.put_slice(text),
            // The session writes it, because it knows the watch's name.
            Self::Watch(_) => out.put_slice(b"{}"),
        }
    }
}

fn write_item(out: &mut BytesMut, item: &BatchItemAnswer) {
    let mut object = ObjectWriter::begin(out);
    match &item.outcome {
        Ok(replied) => reply::write(object.str("status", "ok").key("result"), replied),
        Err(error) => {
            object.str("status", "error").value("error", error);
        }
    }
    object.end();
}

/// The answer to a write.
pub(super) fn answer_of(done: Done) -> OpAnswer {
    OpAnswer {
        body: Body::Reply(done.reply),
        wal_offset: done.offset,
    }
}

/// The answer to a write, with the context that a replayed one has lost.
pub(super) async fn completed(shared: Arc<ServerShared>, mut done: Done) -> JobOutcome {
    let mut room = PAYLOAD_BYTES_MAX;
    shared.replica.complete(&mut done.reply, &mut room).await;
    Ok(answer_of(done))
}

/// The answer to a read.
pub(super) fn of_read(read: Result<Reply, replica::Error>) -> JobOutcome {
    let read = read.map_err(|error| failure::of_replica(&error, PossibleEffect::None));
    read.map(|reply| OpAnswer {
        body: Body::Reply(reply.into()),
        wal_offset: None,
    })
}
