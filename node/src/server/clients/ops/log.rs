//! WAL_READ and WAL_STATS.

pub(super) mod ancestors;
mod locks;
pub(super) mod look;
mod timers;

use std::sync::Arc;

use bytes::BytesMut;
use rstmdb_engine::Reach;
use rstmdb_engine::fact::{Body as FactBody, CreateInstance, Entry, Fact, Key, PutMachine};
use rstmdb_rcp::message::storage::{IoStats, WalRead, WalStatsResult};
use rstmdb_rcp::message::{ErrorBody, ReadOptions};
use rstmdb_rcp::{Code, PAYLOAD_BYTES_MAX};
use serde_json::value::RawValue;

use super::{Body, FRAME_ROOM_BYTES, Job, OpAnswer, RequestPlan, RunningJob, fresh, read_params};
use crate::replica::{LogItem, LogPage};
use crate::server::clients::order::ClaimTouch;
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::json::{self, ObjectWriter};
use crate::server::messages::meta;
use crate::server::product::block;

/// A page stops growing at this size, far below what a frame may carry.
pub(crate) const PAGE_BYTES: usize = 4 << 20;

/// What is shown of the log.
#[derive(Clone, Copy)]
pub(super) struct ShownFacts<'a> {
    /// What is known about the write.
    pub(super) meta: bool,
    /// The machines of a client that is limited to some.
    pub(super) reach: Option<&'a Reach>,
}

impl ShownFacts<'_> {
    /// Whether the client may see the fact. One whose machine is not known is of a machine that it may not see; one
    /// that is of no machine is shown.
    pub(super) fn shows(self, fact: &Fact) -> bool {
        let Some(reach) = self.reach else {
            return true;
        };
        let machine = match &fact.body {
            Some(FactBody::PutMachine(put)) => &put.machine,
            Some(FactBody::DeleteMachine(delete)) => &delete.machine,
            Some(FactBody::CreateInstance(create)) => &create.machine,
            Some(FactBody::ApplyEvent(apply)) => &apply.machine,
            Some(FactBody::DeleteInstance(delete)) => &delete.machine,
            Some(FactBody::TimerSpent(spent)) => &spent.machine,
            Some(FactBody::SetTimers(set)) => &set.machine,
            Some(
                FactBody::FlushAll(_)
                | FactBody::SetLevel(_)
                | FactBody::SetAutomation(_)
                | FactBody::LockChanged(_),
            ) => return true,
            // A fact of a newer version.
            None => return false,
        };
        !machine.is_empty() && reach.read.cover(machine)
    }
}

/// WAL_READ.
pub(super) fn read(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: WalRead = read_params(params)?;
    if params.limit == Some(0) {
        let problem = "expected an integer ≥ 1, got 0";
        return Err(failure::bad_request("params.limit", problem));
    }
    Ok(RequestPlan::read(
        ClaimTouch::Everything,
        Job::LogRead(params),
    ))
}

pub(super) fn start_read(
    shared: Arc<ServerShared>,
    request: WalRead,
    reach: Option<Arc<Reach>>,
) -> RunningJob {
    RunningJob::boxed(async move {
        fresh(&shared, ReadOptions::default()).await?;
        shared.replica.wait_for_history(request.from_offset).await;
        let shown = ShownFacts {
            meta: request.include_meta.unwrap_or_default(),
            reach: reach.as_deref(),
        };
        let limit = usize::try_from(request.page_limit()).unwrap_or(usize::MAX);
        let told = |error| failure::of_replica(&error, PossibleEffect::None);
        let history = shared.replica.hold_history(request.from_offset);
        let _held = history.await.map_err(told)?;
        let page = shared
            .replica
            .log_read(request.from_offset, limit)
            .map_err(told)?;
        Ok(OpAnswer {
            body: Body::Json(block(|| write_page(&page, limit, shown))?),
            wal_offset: None,
        })
    })
}

/// Writes whole offsets until the page is full; `next_offset` says where to read on.
fn write_page(
    page: &LogPage,
    records_max: usize,
    shown: ShownFacts<'_>,
) -> Result<BytesMut, ErrorBody> {
    let mut out = BytesMut::new();
    let mut next_offset = page.next_offset;
    let mut records = 0;
    let mut result = ObjectWriter::begin(&mut out);
    let text = result.key("records");
    text.extend_from_slice(b"[");
    for (offset, item) in &page.items {
        let start = text.len();
        let count = write_item(text, records == 0, *offset, item, shown);
        let too_long = text.len() + FRAME_ROOM_BYTES > PAYLOAD_BYTES_MAX;
        let is_full = records + count > records_max || start > PAGE_BYTES || too_long;
        if is_full && records > 0 {
            text.truncate(start);
            next_offset = *offset;
            break;
        }
        if too_long {
            return Err(ErrorBody::new(
                Code::BadRequest,
                format!(
                    "the records at offset {offset} are larger than a frame can carry; read on \
                     from offset {}",
                    offset + 1
                ),
            ));
        }
        records += count;
    }
    text.extend_from_slice(b"]");
    result.int("next_offset", next_offset);
    result.end();
    Ok(out)
}

/// Writes the records of one offset, and says how many they are.
pub(super) fn write_item(
    out: &mut BytesMut,
    first: bool,
    offset: u64,
    item: &LogItem,
    shown: ShownFacts<'_>,
) -> usize {
    let facts: &[Fact] = match item {
        LogItem::Facts(entry) => &entry.facts,
        LogItem::Membership => &[],
    };
    let mut record = |position: usize, write: &dyn Fn(&mut ObjectWriter<'_>)| {
        if !(first && position == 0) {
            out.extend_from_slice(b",");
        }
        let mut record = ObjectWriter::begin(out);
        record.int("sequence", offset).int("offset", offset);
        let mut entry = record.object("entry");
        write(&mut entry);
        entry.end();
        if let LogItem::Facts(entry) = item
            && shown.meta
        {
            meta::write(record.object("meta"), entry);
        }
        record.end();
    };
    match item {
        LogItem::Membership => {
            record(0, &|entry| {
                entry.str("type", "checkpoint");
            });
            1
        }
        LogItem::Facts(entry) => {
            let visible = facts.iter().filter(|fact| shown.shows(fact));
            let mut count = 0;
            for fact in visible {
                record(count, &|out| write_fact(out, (offset, entry), fact));
                count += 1;
            }
            count
        }
    }
}

fn write_automation(out: &mut ObjectWriter<'_>, set: &rstmdb_engine::fact::SetAutomation) {
    out.str("type", "checkpoint")
        .str("fact", "set_automation")
        .str("automation", if set.paused { "paused" } else { "running" });
    if !set.reason.is_empty() {
        out.str("reason", &set.reason);
    }
    for (name, is_set) in [
        ("skip_overdue", set.skip_overdue),
        ("shift_timers", set.shift_timers),
    ] {
        if is_set {
            out.flag(name, true);
        }
    }
}

fn write_fact(out: &mut ObjectWriter<'_>, (offset, entry): (u64, &Entry), fact: &Fact) {
    match &fact.body {
        Some(FactBody::PutMachine(put)) => write_machine(out, entry, put),
        Some(FactBody::CreateInstance(create)) => {
            out.str("type", "create_instance")
                .str("instance_id", &create.instance_id)
                .str("machine", &create.machine)
                .int("version", u64::from(create.version))
                .str("initial_state", &create.state)
                .raw("initial_ctx", &create.ctx);
            write_course(out, &create.emits, &create.via);
            write_imported(out, entry, create);
            timers::write(out, create.timers.as_ref());
            write_origin(out, entry, create.prev_offset, create.key.as_ref());
        }
        Some(FactBody::ApplyEvent(apply)) => {
            out.str("type", "apply_event")
                .str("instance_id", &apply.instance_id)
                .str("event", &apply.event)
                .str("from_state", &apply.from_state)
                .str("to_state", &apply.to_state)
                .raw("payload", apply.payload.as_deref().unwrap_or(b"null"))
                .raw("ctx", &apply.ctx)
                .str("machine", &apply.machine)
                .int("version", u64::from(apply.version));
            if let Some(event_id) = &apply.event_id {
                out.str("event_id", event_id);
            }
            write_course(out, &apply.emits, &apply.via);
            timers::write_fired(out, apply.fired.as_ref());
            timers::write(out, apply.timers.as_ref());
            write_origin(out, entry, apply.prev_offset, apply.key.as_ref());
        }
        Some(FactBody::DeleteInstance(delete)) => {
            out.str("type", "delete_instance")
                .str("instance_id", &delete.instance_id);
            if !delete.machine.is_empty() {
                out.str("machine", &delete.machine)
                    .int("version", u64::from(delete.version))
                    .str("from_state", &delete.from_state);
            }
            timers::write_fired(out, delete.fired.as_ref());
            write_origin(out, entry, delete.prev_offset, delete.key.as_ref());
        }
        Some(FactBody::FlushAll(_)) => {
            out.str("type", "flush_all");
            write_origin(out, entry, 0, None);
        }
        // Clients know this type: to them it is an entry like those of the consensus.
        Some(FactBody::SetLevel(set)) => {
            out.str("type", "checkpoint")
                .str("fact", "set_level")
                .int("level", u64::from(set.level));
            write_origin(out, entry, 0, None);
        }
        other => write_other(out, (offset, entry), other.as_ref()),
    }
}

/// A fact that no client has asked for as such, or one about timers or a lock alone.
fn write_other(
    out: &mut ObjectWriter<'_>,
    (offset, entry): (u64, &Entry),
    body: Option<&FactBody>,
) {
    match body {
        Some(FactBody::LockChanged(change)) => {
            locks::write(out, offset, change);
            write_origin(out, entry, change.prev_offset, None);
        }
        Some(FactBody::TimerSpent(spent)) => {
            timers::write_spent(out, spent);
            write_origin(out, entry, spent.prev_offset, None);
        }
        Some(FactBody::SetTimers(set)) => {
            timers::write_set(out, set);
            write_origin(out, entry, set.prev_offset, set.key.as_ref());
        }
        // Clients know this type: to them it is an entry like those of the consensus.
        Some(FactBody::DeleteMachine(delete)) => {
            out.str("type", "checkpoint")
                .str("fact", "delete_machine")
                .str("machine", &delete.machine)
                .value("versions", &delete.versions);
            write_origin(out, entry, 0, None);
        }
        Some(FactBody::SetAutomation(set)) => {
            write_automation(out, set);
            write_origin(out, entry, 0, None);
        }
        // A fact of a newer version: this node knows only that there is one.
        _ => _ = out.str("type", "unknown"),
    }
}

fn write_machine(out: &mut ObjectWriter<'_>, entry: &Entry, put: &PutMachine) {
    out.str("type", "put_machine")
        .str("machine", &put.machine)
        .int("version", u64::from(put.version))
        .str("definition_hash", &put.checksum)
        .raw("definition", &put.definition);
    if put.format > 1 {
        out.int("format", u64::from(put.format));
    }
    write_origin(out, entry, 0, None);
}

/// The times that an instance has brought along.
fn write_imported(out: &mut ObjectWriter<'_>, entry: &Entry, create: &CreateInstance) {
    if create.imported.is_none() {
        return;
    }
    let (created_ms, updated_ms) = create.times(entry.time_ms);
    let mut imported = out.object("imported");
    imported
        .int("created_at", created_ms)
        .int("updated_at", updated_ms);
    imported.end();
}

/// What a machine of format 2 emitted, and the states that were passed on the way.
fn write_course(out: &mut ObjectWriter<'_>, emits: &[String], via: &[String]) {
    if !emits.is_empty() {
        out.value("emits", &emits);
    }
    if !via.is_empty() {
        out.value("via", &via);
    }
}

fn write_origin(out: &mut ObjectWriter<'_>, entry: &Entry, prev_offset: u64, key: Option<&Key>) {
    out.int("time_ms", entry.time_ms);
    if !entry.actor.is_empty() {
        out.str("actor", &entry.actor);
    }
    if prev_offset != 0 {
        out.int("prev_offset", prev_offset);
    }
    if let Some(key) = key {
        json::string(out.key("idempotency_key"), &key.key);
    }
}

/// WAL_STATS.
pub(super) fn stats(shared: &ServerShared) -> RequestPlan {
    let stats = shared.replica.store_stats();
    RequestPlan::answered(Body::json(&WalStatsResult {
        entry_count: stats.entry_count,
        segment_count: stats.segment_count,
        total_size_bytes: stats.total_size_bytes,
        latest_offset: stats.latest_index,
        io_stats: IoStats {
            bytes_written: stats.bytes_written,
            bytes_read: stats.bytes_read,
            writes: stats.writes,
            reads: stats.reads,
            fsyncs: stats.fsyncs,
        },
    }))
}
