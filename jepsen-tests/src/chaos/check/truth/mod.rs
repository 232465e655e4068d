//! The truth of a run: every fact that took effect, in the order of the log.

mod error;
mod locks;
mod logs;
mod timers;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rstmdb_engine::fact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::error::Error;
pub use self::locks::{LEDGER, LockVersion, LocksOfLog};
pub use self::timers::{AT_THE_END, TimersOfLog};
use crate::rcp::wal::ReadRecord;

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// It was created.
    Create,
    /// An event moved it.
    Event,
    /// It was deleted.
    Delete,
    /// One of its timers had no effect.
    Spent,
    /// Its timers were moved without an event.
    Moved,
}

/// One thing that happened to one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueFact {
    /// Its place in the log.
    pub offset: u64,
    /// Its place among the facts of the same entry.
    pub position: usize,
    /// What happened.
    pub kind: FactKind,
    /// To which instance.
    pub instance: String,
    /// The instance's machine; empty for a deletion at the first feature level.
    pub machine: String,
    /// The event; empty unless it is one.
    pub event: String,
    /// The state before; empty for a creation, and for a deletion at the first feature level.
    pub from: String,
    /// The state after; empty for a deletion.
    pub to: String,
    /// The event's payload; null where there was none.
    #[serde(deserialize_with = "rstmdb_rcp::json::plain_value")]
    pub payload: Value,
    /// The context after; null for a deletion.
    #[serde(deserialize_with = "rstmdb_rcp::json::plain_value")]
    pub ctx: Value,
    /// The client's id of the event.
    pub event_id: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
    /// The states passed on the way.
    #[serde(default)]
    pub via: Vec<String>,
    /// The names that it emitted.
    #[serde(default)]
    pub emits: Vec<String>,
    /// What was said about the write, and by whom, as the protocol shows it, without the time.
    #[serde(default, deserialize_with = "rstmdb_rcp::json::plain_value")]
    pub meta: Value,
}

/// Every fact that took effect, in the order of the log.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    facts: Vec<TrueFact>,
    by_instance: HashMap<String, Vec<usize>>,
    by_event_id: HashMap<String, Vec<usize>>,
    by_key: HashMap<String, Vec<usize>>,
    /// The log's time, in Unix milliseconds, at each offset that took effect, in the order of the log; empty where it
    /// was not made from folders.
    pub times: Vec<(u64, u64)>,
    /// Where the feature level was raised, and to which; none if the nodes were at one level from the beginning.
    pub levels: Vec<(u64, u32)>,
    /// Where automation was paused (`true`) or resumed, and why.
    pub automation: Vec<(u64, bool, String)>,
    /// What the log says of timers.
    pub timers: Arc<TimersOfLog>,
    /// What the log says of locks.
    pub locks: Arc<LocksOfLog>,
    /// Where the committed log ends.
    pub last_offset: u64,
    /// Where the nodes' logs contradict each other or themselves; each is a violation.
    pub disagreements: Vec<String>,
    /// The digest of the state all facts lead to, as INFO shows it; empty where no engine made it.
    pub digest: String,
    /// The head of the chain over the log at each offset, as INFO shows it; none before the chain begins.
    pub heads: BTreeMap<u64, String>,
    /// How many nodes' logs it was made from.
    pub nodes: usize,
}

impl Truth {
    /// The truth of these facts, which are in the order of the log.
    pub fn from_facts(facts: Vec<TrueFact>) -> Self {
        let mut truth = Self {
            last_offset: facts.last().map_or(0, |fact| fact.offset),
            ..Self::default()
        };
        for (at, fact) in facts.iter().enumerate() {
            let of_instance = truth.by_instance.entry(fact.instance.clone());
            of_instance.or_default().push(at);
            if let Some(id) = &fact.event_id {
                truth.by_event_id.entry(id.clone()).or_default().push(at);
            }
            if let Some(key) = &fact.key {
                truth.by_key.entry(key.clone()).or_default().push(at);
            }
        }
        truth.facts = facts;
        truth
    }

    /// The truth as one node's WAL_READ tells it.
    ///
    /// # Errors
    /// When a record is of a type that no workload writes.
    pub fn from_wal_read(records: &[ReadRecord]) -> Result<Self, Error> {
        let mut facts: Vec<TrueFact> = Vec::new();
        for record in records {
            let before = facts.last().filter(|fact| fact.offset == record.offset);
            let position = before.map_or(0, |fact| fact.position + 1);
            facts.extend(of_record(record, position)?);
        }
        let mut truth = Self::from_facts(facts);
        truth.nodes = 1;
        truth.last_offset = records.last().map_or(0, |record| record.offset);
        Ok(truth)
    }

    /// All facts.
    pub fn facts(&self) -> &[TrueFact] {
        &self.facts
    }

    /// The facts of an instance.
    pub fn of_instance(&self, id: &str) -> impl DoubleEndedIterator<Item = &TrueFact> {
        self.pick(self.by_instance.get(id))
    }

    /// The events with this `event_id`. More than one means that a request took effect twice.
    pub fn of_event(&self, event_id: &str) -> impl DoubleEndedIterator<Item = &TrueFact> {
        self.pick(self.by_event_id.get(event_id))
    }

    /// The facts with this idempotency key; workloads give every key to one request only.
    pub fn of_key(&self, key: &str) -> impl DoubleEndedIterator<Item = &TrueFact> {
        self.pick(self.by_key.get(key))
    }

    fn pick<'a>(
        &'a self,
        found: Option<&'a Vec<usize>>,
    ) -> impl DoubleEndedIterator<Item = &'a TrueFact> {
        let places = found.map_or(&[][..], Vec::as_slice);
        places.iter().map(|at| &self.facts[*at])
    }

    /// Where two accounts of the same log differ first.
    pub fn difference(&self, other: &Truth) -> Option<String> {
        let mut pairs = self.facts.iter().zip(&other.facts);
        if let Some((one, two)) = pairs.find(|(one, two)| one != two) {
            return Some(format!("{one:?} is {two:?} in the other"));
        }
        let shorter = self.facts.len().min(other.facts.len());
        [self, other].into_iter().find_map(|truth| {
            let fact = truth.facts.get(shorter)?;
            Some(format!("{fact:?} is in one of them only"))
        })
    }
}

/// A fact of the log as WAL_READ shows it; `None` for what is not about an instance.
///
/// # Errors
/// When the record is of a type that no workload writes.
pub fn of_record(record: &ReadRecord, position: usize) -> Result<Option<TrueFact>, Error> {
    let text = |field: &str| record.text(field).to_owned();
    let optional = |field: &str| record.entry[field].as_str().map(str::to_owned);
    let kind = match record.kind() {
        "create_instance" => FactKind::Create,
        "apply_event" => FactKind::Event,
        "delete_instance" => FactKind::Delete,
        "timer_spent" => FactKind::Spent,
        "set_timers" => FactKind::Moved,
        "put_machine" | "lock_changed" | "checkpoint" | "snapshot" => return Ok(None),
        other => {
            return Err(Error::Entry {
                offset: record.offset,
                what: format!("a record of type {other:?}"),
            });
        }
    };
    let (to, ctx) = match kind {
        FactKind::Create => ("initial_state", "initial_ctx"),
        FactKind::Event | FactKind::Delete => ("to_state", "ctx"),
        FactKind::Spent | FactKind::Moved => ("state", "ctx"),
    };
    Ok(Some(TrueFact {
        offset: record.offset,
        position,
        kind,
        instance: text("instance_id"),
        machine: text("machine"),
        event: text("event"),
        from: text("from_state"),
        to: text(to),
        payload: record.entry["payload"].clone(),
        ctx: record.entry[ctx].clone(),
        event_id: optional("event_id"),
        key: optional("idempotency_key"),
        via: texts(&record.entry["via"]),
        emits: texts(&record.entry["emits"]),
        meta: record.meta(),
    }))
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .filter_map(|text| Some(text.as_str()?.to_owned()))
        .collect()
}

/// The same with the names of all objects in order: what was said has no order.
fn sorted(value: &Value) -> Value {
    let Some(object) = value.as_object() else {
        return value.clone();
    };
    let names: BTreeMap<&String, &Value> = object.iter().collect();
    let names = names.into_iter();
    Value::Object(
        names
            .map(|(name, value)| (name.clone(), sorted(value)))
            .collect(),
    )
}

/// What the protocol shows of an entry's metadata, but the time.
pub(super) fn meta(entry: &fact::Entry) -> Value {
    let mut shown = serde_json::Map::new();
    let mut show = |name: &str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            shown.insert(name.to_owned(), Value::from(text));
        }
    };
    show("actor", Some(&entry.actor));
    if let Some(meta) = &entry.meta {
        show("reason", meta.reason.as_deref());
        show("correlation_id", meta.correlation_id.as_deref());
        show("causation_id", meta.causation_id.as_deref());
        let headers = meta.headers.iter();
        let headers: serde_json::Map<_, _> = headers
            .map(|header| (header.name.clone(), Value::from(header.value.clone())))
            .collect();
        if !headers.is_empty() {
            shown.insert("headers".to_owned(), Value::Object(headers));
        }
        if let Some(fence) = &meta.fence {
            let fence = json!({"lock": fence.lock, "token": fence.token});
            shown.insert("fence".to_owned(), fence);
        }
    }
    Value::Object(shown)
}

/// A fact of the log as the engine decodes it; `None` if the fact is not about an instance.
pub(super) fn of_engine(
    offset: u64,
    position: usize,
    fact: &fact::Fact,
) -> Result<Option<TrueFact>, Error> {
    let found = match &fact.body {
        Some(
            fact::Body::PutMachine(_)
            | fact::Body::DeleteMachine(_)
            | fact::Body::SetLevel(_)
            | fact::Body::SetAutomation(_)
            | fact::Body::LockChanged(_),
        ) => return Ok(None),
        Some(fact::Body::CreateInstance(create)) => TrueFact {
            machine: create.machine.clone(),
            to: create.state.clone(),
            ctx: read(offset, &create.ctx)?,
            via: create.via.clone(),
            emits: create.emits.clone(),
            key: create.key.as_ref().map(|key| key.key.clone()),
            ..TrueFact::bare(offset, FactKind::Create, &create.instance_id)
        },
        Some(fact::Body::ApplyEvent(apply)) => TrueFact {
            machine: apply.machine.clone(),
            event: apply.event.clone(),
            from: apply.from_state.clone(),
            to: apply.to_state.clone(),
            payload: match apply.payload.as_deref() {
                Some(payload) => read(offset, payload)?,
                None => Value::Null,
            },
            ctx: read(offset, &apply.ctx)?,
            via: apply.via.clone(),
            emits: apply.emits.clone(),
            event_id: apply.event_id.clone(),
            key: apply.key.as_ref().map(|key| key.key.clone()),
            ..TrueFact::bare(offset, FactKind::Event, &apply.instance_id)
        },
        Some(fact::Body::DeleteInstance(delete)) => TrueFact {
            machine: delete.machine.clone(),
            from: delete.from_state.clone(),
            key: delete.key.as_ref().map(|key| key.key.clone()),
            ..TrueFact::bare(offset, FactKind::Delete, &delete.instance_id)
        },
        Some(fact::Body::TimerSpent(spent)) => timers::spent(offset, spent),
        Some(fact::Body::SetTimers(set)) => timers::moved(offset, set),
        Some(fact::Body::FlushAll(_)) | None => {
            return Err(Error::Entry {
                offset,
                what: "a fact that no workload asks for".to_owned(),
            });
        }
    };
    Ok(Some(TrueFact { position, ..found }))
}

fn read(offset: u64, bytes: &[u8]) -> Result<Value, Error> {
    rstmdb_rcp::json::value_of_bytes(bytes).map_err(|error| Error::Entry {
        offset,
        what: error.to_string(),
    })
}

impl TrueFact {
    /// Its offset, and a fingerprint of all that it says but its place within its entry.
    pub fn fingerprint(&self) -> (u64, u64) {
        let mut hasher = DefaultHasher::new();
        let placed = Self {
            position: 0,
            meta: sorted(&self.meta),
            ..self.clone()
        };
        format!("{placed:?}").hash(&mut hasher);
        (self.offset, hasher.finish())
    }

    /// A fact of this kind with all other fields empty.
    pub fn bare(offset: u64, kind: FactKind, instance: &str) -> Self {
        Self {
            offset,
            position: 0,
            kind,
            instance: instance.to_owned(),
            machine: String::new(),
            event: String::new(),
            from: String::new(),
            to: String::new(),
            payload: Value::Null,
            ctx: Value::Null,
            event_id: None,
            key: None,
            via: Vec::new(),
            emits: Vec::new(),
            meta: Value::Object(serde_json::Map::new()),
        }
    }
}
