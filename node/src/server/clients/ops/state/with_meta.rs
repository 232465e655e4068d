//! GET_INSTANCE with what is known about the write that changed the instance last.
//!
//! The state has only that write's offset. What its client said is in the log, so it costs no memory, and it can be told
//! for as long as the log or the archive has the write.

use std::sync::Arc;

use bytes::BytesMut;
use rstmdb_engine::{Query, Reach, Reply};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::{ErrorBody, ReadOptions};

use crate::replica::{LogItem, Traced};
use crate::server::clients::ops::log::look::{FoundEntry, look_at};
use crate::server::clients::ops::{Body, OpAnswer, RunningJob, fresh_recorded};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::json::ObjectWriter;
use crate::server::messages::{meta, reply};

/// Answers.
pub(in crate::server::clients::ops) fn start(
    shared: Arc<ServerShared>,
    (query, options): (Query, ReadOptions),
    reach: Option<Arc<Reach>>,
    trace: Option<Traced>,
) -> RunningJob {
    RunningJob::boxed(async move {
        fresh_recorded(&shared, options, trace).await?;
        let found = shared.replica.look_up(&query, reach.as_deref()).await;
        let instance =
            match found.map_err(|error| failure::of_replica(&error, PossibleEffect::None))? {
                Reply::Instance(instance) => instance,
                _ => return Err(ErrorBody::new(Code::InternalError, "this is no instance")),
            };
        let write = look_at(&shared, instance.last_wal_offset).await?;
        let mut out = BytesMut::new();
        let mut object = ObjectWriter::begin(&mut out);
        reply::write_instance(&mut object, &instance);
        match write {
            FoundEntry::Write(LogItem::Facts(entry)) => meta::write(object.object("meta"), &entry),
            // A node whose log begins with a snapshot, or whose retention has dropped the write, does not know it.
            FoundEntry::Write(LogItem::Membership)
            | FoundEntry::NoWrite
            | FoundEntry::Compacted(_) => {
                object.key("meta").extend_from_slice(b"null");
            }
        }
        object.end();
        Ok(OpAnswer {
            body: Body::Json(out),
            wal_offset: None,
        })
    })
}
