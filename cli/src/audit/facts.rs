//! The facts of a proof, as WAL_READ shows them.

use bytes::Bytes;
use rstmdb_engine::fact::{
    Body, CreateInstance, Entry, Fact, Fired, Key, SetTimers, TimerSpent, Timers,
};
use rstmdb_rcp::message::meta::{FactMeta, Fence};
use rstmdb_rcp::message::storage::timers::{ArmedTimer, FiredTimer, Timed};
use rstmdb_rcp::message::storage::{FactOrigin, Imported, WalEntry};
use serde::Serialize;
use serde_json::value::RawValue;

/// A fact, in the form of a record of WAL_READ.
#[derive(Debug, Serialize)]
pub struct ShownFact {
    /// Its place in the log.
    pub sequence: u64,
    /// The same.
    pub offset: u64,
    /// What it says.
    pub entry: WalEntry<'static>,
    /// What is known about the write.
    pub meta: FactMeta<'static>,
}

/// What is known about the write, as WAL_READ shows it with `include_meta`.
pub(super) fn said(entry: &Entry) -> FactMeta<'static> {
    let meta = entry.meta.clone().unwrap_or_default();
    let headers = meta.headers.into_iter();
    FactMeta {
        actor: (!entry.actor.is_empty()).then(|| entry.actor.clone().into()),
        time_ms: entry.time_ms,
        headers: headers
            .map(|header| (header.name.into(), header.value.into()))
            .collect(),
        reason: meta.reason.map(Into::into),
        correlation_id: meta.correlation_id.map(Into::into),
        causation_id: meta.causation_id.map(Into::into),
        fence: meta.fence.map(|fence| Fence::new(fence.lock, fence.token)),
    }
}

/// A fact as WAL_READ shows it.
pub(super) fn wal_entry(entry: &Entry, fact: &Fact) -> Result<WalEntry<'static>, String> {
    let origin = |prev_offset: u64, key: Option<&Key>| FactOrigin {
        time_ms: Some(entry.time_ms),
        actor: (!entry.actor.is_empty()).then(|| entry.actor.clone().into()),
        prev_offset: (prev_offset != 0).then_some(prev_offset),
        idempotency_key: key.map(|key| key.key.clone().into()),
        timed: timed(fact),
    };
    let names = |names: &[String]| names.iter().cloned().map(Into::into).collect();
    match &fact.body {
        Some(Body::CreateInstance(create)) => Ok(WalEntry::CreateInstance {
            instance_id: create.instance_id.clone().into(),
            machine: create.machine.clone().into(),
            version: create.version,
            initial_state: create.state.clone().into(),
            initial_ctx: std::borrow::Cow::Owned(json(&create.ctx)?),
            emits: names(&create.emits),
            via: names(&create.via),
            imported: imported(entry, create),
            origin: origin(create.prev_offset, create.key.as_ref()),
        }),
        Some(Body::ApplyEvent(apply)) => Ok(WalEntry::ApplyEvent {
            instance_id: apply.instance_id.clone().into(),
            event: apply.event.clone().into(),
            from_state: apply.from_state.clone().into(),
            to_state: apply.to_state.clone().into(),
            payload: match &apply.payload {
                Some(payload) => Some(std::borrow::Cow::Owned(json(payload)?)),
                None => None,
            },
            ctx: std::borrow::Cow::Owned(json(&apply.ctx)?),
            event_id: apply.event_id.clone().map(Into::into),
            emits: names(&apply.emits),
            via: names(&apply.via),
            origin: origin(apply.prev_offset, apply.key.as_ref()),
        }),
        Some(Body::DeleteInstance(delete)) => Ok(WalEntry::DeleteInstance {
            instance_id: delete.instance_id.clone().into(),
            origin: origin(delete.prev_offset, delete.key.as_ref()),
        }),
        Some(Body::TimerSpent(spent)) => Ok(spent_entry(spent, origin(spent.prev_offset, None))),
        Some(Body::SetTimers(set)) => {
            let origin = origin(set.prev_offset, set.key.as_ref());
            Ok(set_entry(set, origin))
        }
        Some(Body::FlushAll(_)) => Ok(WalEntry::FlushAll {
            origin: origin(0, None),
        }),
        Some(
            Body::PutMachine(_)
            | Body::DeleteMachine(_)
            | Body::SetLevel(_)
            | Body::SetAutomation(_)
            | Body::LockChanged(_),
        )
        | None => Err("it is not about an instance".to_owned()),
    }
}

/// The times that an instance has brought along.
fn imported(entry: &Entry, create: &CreateInstance) -> Option<Imported> {
    create.imported.as_ref()?;
    let (created_at, updated_at) = create.times(entry.time_ms);
    Some(Imported {
        created_at,
        updated_at,
    })
}

/// What a creation, an event or a deletion says of timers.
fn timed(fact: &Fact) -> Timed<'static> {
    let (fired, timers) = match &fact.body {
        Some(Body::CreateInstance(create)) => (None, create.timers.as_ref()),
        Some(Body::ApplyEvent(apply)) => (apply.fired.as_ref(), apply.timers.as_ref()),
        Some(Body::DeleteInstance(delete)) => (delete.fired.as_ref(), None),
        _ => (None, None),
    };
    Timed {
        timer: fired.map(fired_timer),
        timers: timers.map(armed_timers),
    }
}

fn fired_timer(fired: &Fired) -> FiredTimer<'static> {
    FiredTimer {
        name: fired.name.clone().into(),
        due_at: fired.due_ms,
        entry_offset: fired.entry,
    }
}

fn armed_timers(timers: &Timers) -> Vec<ArmedTimer<'static>> {
    let armed = timers.armed.iter().map(|timer| ArmedTimer {
        name: timer.name.clone().into(),
        due_at: timer.due_ms,
    });
    armed.collect()
}

fn spent_entry(spent: &TimerSpent, origin: FactOrigin<'static>) -> WalEntry<'static> {
    WalEntry::TimerSpent {
        instance_id: spent.instance_id.clone().into(),
        timer: fired_timer(spent.fired.as_ref().unwrap_or(&Fired::default())),
        event: (!spent.event.is_empty()).then(|| spent.event.clone().into()),
        code: spent.code.clone().into(),
        message: spent.message.clone().into(),
        origin,
    }
}

fn set_entry(set: &SetTimers, origin: FactOrigin<'static>) -> WalEntry<'static> {
    WalEntry::SetTimers {
        instance_id: set.instance_id.clone().into(),
        timers: set.timers.as_ref().map(armed_timers).unwrap_or_default(),
        origin,
    }
}

fn json(text: &Bytes) -> Result<Box<RawValue>, String> {
    let text = String::from_utf8(text.to_vec()).map_err(|error| error.to_string())?;
    RawValue::from_string(text).map_err(|error| error.to_string())
}
