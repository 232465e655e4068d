//! ANCESTORS: from a write to its cause, from that write to its own cause, and so on.

use std::sync::Arc;

use bytes::BytesMut;
use rstmdb_engine::Reach;
use rstmdb_engine::fact::offset_in;
use rstmdb_rcp::message::storage::ancestors::{Ancestors, AncestorsEnd};
use rstmdb_rcp::message::{ErrorBody, ReadOptions};
use rstmdb_rcp::{Code, PAYLOAD_BYTES_MAX};
use serde_json::value::RawValue;

use super::look::{FoundEntry, look_at};
use super::{PAGE_BYTES, ShownFacts, write_item};
use crate::replica::LogItem;
use crate::server::clients::ops::{
    Body, FRAME_ROOM_BYTES, Job, OpAnswer, RequestPlan, RunningJob, fresh, read_params,
};
use crate::server::clients::order::ClaimTouch;
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::json::ObjectWriter;
use crate::server::product::block;

/// ANCESTORS.
pub(in crate::server::clients::ops) fn read(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: Ancestors = read_params(params)?;
    let job = Job::Ancestors(params);
    Ok(RequestPlan::read(ClaimTouch::Everything, job))
}

pub(in crate::server::clients::ops) fn start(
    shared: Arc<ServerShared>,
    request: Ancestors,
    reach: Option<Arc<Reach>>,
) -> RunningJob {
    RunningJob::boxed(async move {
        fresh(&shared, ReadOptions::default()).await?;
        Ok(OpAnswer {
            body: Body::Json(walk(&shared, request, reach.as_deref()).await?),
            wal_offset: None,
        })
    })
}

async fn walk(
    shared: &ServerShared,
    request: Ancestors,
    reach: Option<&Reach>,
) -> Result<BytesMut, ErrorBody> {
    let shown = ShownFacts { meta: true, reach };
    let mut out = BytesMut::new();
    let mut result = ObjectWriter::begin(&mut out);
    result.key("facts").extend_from_slice(b"[");
    let mut offset = request.offset;
    let mut steps = 0;
    let ended = loop {
        let found = look_at(shared, offset).await?;
        // What the client may not see is to it as if it were not there.
        let item = match found.within(shown) {
            FoundEntry::Write(item) => item,
            FoundEntry::NoWrite if steps == 0 => return Err(no_write(offset)),
            FoundEntry::NoWrite => break AncestorsEnd::NotAnOffset,
            FoundEntry::Compacted(error) if steps == 0 => {
                return Err(failure::of_replica(&error, PossibleEffect::None));
            }
            FoundEntry::Compacted(_) => break AncestorsEnd::Compacted,
        };
        let start = result.written();
        let text = result.open();
        block(|| write_item(text, steps == 0, offset, &item, shown));
        let too_long = result.written() + FRAME_ROOM_BYTES > PAYLOAD_BYTES_MAX;
        if steps > 0 && (start > PAGE_BYTES || too_long) {
            result.open().truncate(start);
            break AncestorsEnd::Limit;
        }
        steps += 1;
        let cause = match &item {
            LogItem::Facts(entry) => entry
                .meta
                .as_ref()
                .and_then(|meta| meta.causation_id.as_deref()),
            LogItem::Membership => None,
        };
        let Some(cause) = cause else {
            break AncestorsEnd::Root;
        };
        // A cause comes before its effect. So this ends, whatever clients have written.
        let Some(earlier) = offset_in(cause).filter(|earlier| *earlier < offset) else {
            break AncestorsEnd::NotAnOffset;
        };
        offset = earlier;
        if steps >= request.steps_max() {
            break AncestorsEnd::Limit;
        }
    };
    result.open().extend_from_slice(b"]");
    result.value("ended", &ended);
    if ended == AncestorsEnd::Limit {
        result.int("next", offset);
    }
    result.end();
    Ok(out)
}

fn no_write(offset: u64) -> ErrorBody {
    let problem = format!("no write took effect at offset {offset}");
    let mut error = ErrorBody::new(Code::NotFound, problem);
    error.details = Some(serde_json::json!({ "field": "params.offset", "offset": offset }));
    error
}
